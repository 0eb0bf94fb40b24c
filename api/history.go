package api

import (
	"context"
	"math"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// historyBeat is how often the figures of the cluster are recorded.
const historyBeat = 10 * time.Second

// history has figures of the cluster over time, so that charts need no other program. It
// has an hour, a day and a week, each coarser than the one before. Full steps are stored
// in Redis too and read again after a restart (kepthistory.go).
type history struct {
	mu    sync.Mutex
	spans []*span
}

// span is a ring of points at equal distances.
type span struct {
	name   string
	step   time.Duration
	points []point // oldest first
	length int
	open   point // sums of the point that is being gathered
	n      int
	began  time.Time
}

// point holds figures in the order of figureNames.
type point struct {
	at      int64 // Unix seconds
	figures [figureCount]float64
}

const figureCount = 12

// figureNames are the series of GET /api/history. New ones come last: stored points have
// no names.
var figureNames = [figureCount]string{
	"requests_per_second", "refusal_rate", "success_rate", "p50_ms", "p95_ms", "cpu_percent", "memory_mb", "waiting", "lessons", "confidence_p50",
	"threshold", "target_error",
}

func newHistory() *history {
	return &history{spans: []*span{
		{name: "hour", step: historyBeat, length: 360},
		{name: "day", step: time.Minute, length: 1440},
		{name: "week", step: 10 * time.Minute, length: 1008},
	}}
}

// full is a point whose step has ended.
type full struct {
	span *span
	point
}

// note adds the figures of one moment and returns the points that became full by it.
func (h *history) note(at time.Time, figures [figureCount]float64) (ended []full) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.spans {
		if s.note(at, figures) {
			ended = append(ended, full{s, s.points[len(s.points)-1]})
		}
	}
	return ended
}

// note collects figures until a step is full and stores their mean.
func (s *span) note(at time.Time, figures [figureCount]float64) (ended bool) {
	if ended = s.n > 0 && at.Sub(s.began) >= s.step; ended {
		s.close()
	}
	if s.n == 0 {
		s.began = at
	}
	s.open.at = at.Unix()
	for i, f := range figures {
		s.open.figures[i] += f
	}
	s.n++
	return ended
}

func (s *span) close() {
	s.points = append(s.points, s.mean())
	if len(s.points) > s.length {
		s.points = append(s.points[:0:0], s.points[len(s.points)-s.length:]...)
	}
	s.open, s.n = point{}, 0
}

func (s *span) mean() point {
	p := s.open
	for i := range p.figures {
		p.figures[i] = round(p.figures[i] / float64(s.n))
	}
	return p
}

// before puts points in front of what was noted since the start.
func (h *history) before(s *span, older []point) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := int64(math.MaxInt64)
	if len(s.points) > 0 {
		first = s.points[0].at
	} else if s.n > 0 {
		first = s.began.Unix()
	}
	older = older[:sort.Search(len(older), func(i int) bool { return older[i].at >= first })]
	all := slices.Concat(older, s.points)
	s.points = all[max(0, len(all)-s.length):]
}

// read returns the points of a span up to now, including the one that is still being
// collected.
func (h *history) read(name string, now time.Time) (historyPage, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.spans {
		if s.name != name {
			continue
		}
		points := s.points
		if s.n > 0 {
			points = append(points[:len(points):len(points)], s.mean())
		}
		// After a rest of days, the last hour is empty.
		oldest := now.Add(-time.Duration(s.length) * s.step).Unix()
		points = points[sort.Search(len(points), func(i int) bool { return points[i].at >= oldest }):]
		out := historyPage{Range: name, StepMS: s.step.Milliseconds(), At: make([]int64, len(points)), Figures: map[string][]float64{}}
		for i, n := range figureNames {
			list := make([]float64, len(points))
			for j, p := range points {
				out.At[j], list[j] = p.at, p.figures[i]
			}
			out.Figures[n] = list
		}
		return out, true
	}
	return historyPage{}, false
}

// historyPage is the body of GET /api/history.
type historyPage struct {
	Range   string               `json:"range"`
	StepMS  int64                `json:"step_ms"`
	At      []int64              `json:"at"` // Unix seconds
	Figures map[string][]float64 `json:"figures"`
}

// keepHistory records figures until the server stops.
func (s *Server) keepHistory(ctx context.Context) {
	beat := time.NewTicker(historyBeat)
	defer beat.Stop()
	for known := s.keptPast.load(ctx, s.past); ; {
		select {
		case <-beat.C:
			if !known { // Redis could not be reached until now
				known = s.keptPast.load(ctx, s.past)
			}
			s.keptPast.save(ctx, s.note(s.status.view(ctx)))
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) note(v view) []full {
	k := v.cluster
	var waiting int64
	for _, l := range v.lanes {
		waiting += l.Pending
	}
	lessons, threshold, target := 0, 0.0, 0.0
	if m := k.Model; m != nil {
		lessons, threshold, target = m.Lessons, finite(m.ConfidenceThreshold), finite(m.TargetError)
	}
	return s.past.note(v.at, [figureCount]float64{
		finite(k.RatePerSecond), finite(k.RefusalRate), finite(k.SuccessRate), finite(k.Latency.P50), finite(k.Latency.P95),
		finite(k.CPUPercent), finite(k.Memory.CurrentMB), float64(waiting), float64(lessons), finite(k.Confidence.P50),
		threshold, target,
	})
}

// showHistory is GET /api/history.
func (s *Server) showHistory(c echo.Context) (historyPage, error) {
	name := c.QueryParam("range")
	if name == "" {
		name = "hour"
	}
	out, ok := s.past.read(name, s.now())
	if !ok {
		return historyPage{}, job.Errorf(job.CodeInvalid, "the range %q is unknown; it is hour, day or week", job.Clip(name, 20)).On("range")
	}
	return out, nil
}

type packList struct {
	Packs   []string `json:"packs"`
	Teacher *string  `json:"teacher"` // its model; nil without one
}

// listPacks is GET /api/packs.
func (s *Server) listPacks(echo.Context) (packList, error) {
	out := packList{Packs: some(s.topics.Names())}
	if s.opt.Teacher != nil {
		name := s.opt.Teacher.Name()
		out.Teacher = &name
	}
	return out, nil
}
