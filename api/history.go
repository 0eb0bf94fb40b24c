package api

import (
	"context"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// historyBeat is how often the figures of the cluster are recorded.
const historyBeat = 10 * time.Second

// history keeps figures of the cluster over time in this process, so that charts need
// no other program. It has an hour, a day and a week, each coarser than the one before.
// A restart clears it.
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

// figureNames are the series of GET /api/history.
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

// note adds the figures of one moment.
func (h *history) note(at time.Time, figures [figureCount]float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.spans {
		s.note(at, figures)
	}
}

// note collects figures until a step is full and stores their mean.
func (s *span) note(at time.Time, figures [figureCount]float64) {
	if s.n > 0 && at.Sub(s.began) >= s.step {
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

// read returns the points of a span, including the one that is still being collected.
func (h *history) read(name string) (historyPage, bool) {
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
	for {
		select {
		case <-beat.C:
			s.note(s.status.view(ctx))
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) note(v view) {
	k := v.cluster
	var waiting int64
	for _, l := range v.lanes {
		waiting += l.Pending
	}
	lessons, threshold, target := 0, 0.0, 0.0
	if m := k.Model; m != nil {
		lessons, threshold, target = m.Lessons, finite(m.ConfidenceThreshold), finite(m.TargetError)
	}
	s.past.note(v.at, [figureCount]float64{
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
	out, ok := s.past.read(name)
	if !ok {
		return historyPage{}, job.Errorf(job.CodeInvalid, "the range %q is unknown; it is hour, day or week", job.Clip(name, 20)).On("range")
	}
	return out, nil
}

type packList struct {
	Packs []string `json:"packs"`
}

// listPacks is GET /api/packs.
func (s *Server) listPacks(echo.Context) (packList, error) {
	return packList{Packs: some(s.topics.Names())}, nil
}
