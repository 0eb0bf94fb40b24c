package heartbeat

import (
	"cmp"
	"maps"
	"math"
	"os"
	"sync"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat/gather"
)

// Options say who records.
type Options struct {
	// ID tells the process from all others; empty makes a fresh one.
	ID      string
	Roles   []string
	Host    string // empty: the host's own name
	Version string
	Now     func() time.Time // nil: time.Now
}

// Recorder counts what one process does. All methods may be called from any
// goroutine, and on a nil Recorder, which records nothing.
type Recorder struct {
	id        string
	roles     []string
	host      string
	version   string
	startedAt time.Time
	now       func() time.Time
	events    *gather.Batch[event]

	mu     sync.Mutex
	total  Counts
	life   sketches // of all but the slices in ring
	ring   [windowSlices]slice
	second [rateSeconds]secondCount
	fills  []func(*Beat)
}

// rateSeconds is one more than the whole seconds that a rate is taken over.
const rateSeconds = 11

type secondCount struct {
	at        int64
	requests  int
	interacts int
}

type slice struct {
	at     int64 // number of the slice since the epoch
	counts Counts
	sketches
}

type sketches struct {
	latency, queue, compute, depth, confidence *ddsketch.DDSketchWithExactSummaryStatistics
}

// New returns a recorder for this process.
func New(opt Options) *Recorder {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.ID == "" {
		opt.ID = job.NewID()
	}
	if opt.Host == "" {
		// A host without a name is rare and harmless: the id still tells it apart.
		opt.Host, _ = os.Hostname()
	}
	r := &Recorder{
		id: opt.ID, roles: opt.Roles, host: opt.Host, version: opt.Version,
		startedAt: opt.Now(), now: opt.Now,
	}
	r.events = gather.New(r.count)
	return r
}

// ID is the id under which the process beats.
func (r *Recorder) ID() string { return r.id }

// Fill registers a function that adds facts to every snapshot: the model, the
// mode, slots. It must be quick and must not call the recorder.
func (r *Recorder) Fill(f func(*Beat)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fills = append(r.fills, f)
}

// Served counts an interact that an API process answered in full.
func (r *Recorder) Served(took time.Duration) { r.add(event{kind: served, took: took}) }

// Accepted counts an interact that an API process put off with 202.
func (r *Recorder) Accepted() { r.add(event{kind: accepted}) }

// Unserved counts an interact that an API process had to answer with a 5xx.
func (r *Recorder) Unserved(took time.Duration) { r.add(event{kind: unserved, took: took}) }

// Answer counts an interact that a worker computed.
func (r *Recorder) Answer(a *job.Answer) { r.add(event{kind: computed, Measures: a.Measures()}) }

// JobFailed counts an interact that a worker could not compute and for which
// no caller waits.
func (r *Recorder) JobFailed() { r.add(event{kind: jobFailed}) }

type kind uint8

const (
	served kind = iota
	accepted
	unserved
	computed
	jobFailed
)

// event is something to be counted.
type event struct {
	at           time.Time
	kind         kind
	took         time.Duration // served, unserved
	job.Measures               // computed
}

func (r *Recorder) add(e event) {
	if r == nil {
		return
	}
	e.at = r.now()
	r.events.Add(e)
}

func (r *Recorder) count(events []event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range events {
		e := &events[i]
		s := r.slice(e.at)
		r.total.count(e)
		s.counts.count(e)
		s.observe(e)
		switch second := r.tick(e.at); e.kind {
		case served, accepted, unserved:
			second.requests++
		case computed, jobFailed:
			second.interacts++
		}
	}
}

func (c *Counts) count(e *event) {
	switch e.kind {
	case served:
		c.Requests++
	case accepted:
		c.Requests++
		c.Accepted++
	case unserved:
		c.Requests++
		c.Failed++
	case computed:
		c.answer(&e.Measures)
	case jobFailed:
		c.JobsFailed++
	}
}

func (c *Counts) answer(a *job.Measures) {
	if a.Responded {
		c.Answered++
	} else {
		c.Refused++
		if c.Refusals == nil {
			c.Refusals = make(map[string]int64)
		}
		c.Refusals[cmp.Or(a.Reason, "unknown")]++
	}
	if a.Depth > 0 {
		c.Flowed++
		if a.Converged {
			c.Converged++
		}
	}
}

func (k *sketches) observe(e *event) {
	switch e.kind {
	case served, unserved:
		observe(&k.latency, milliseconds(e.took))
	case computed:
		observe(&k.queue, e.QueueMS)
		observe(&k.compute, e.ComputeMS)
		observe(&k.confidence, e.Confidence)
		if e.Depth > 0 {
			observe(&k.depth, float64(e.Depth))
		}
	case accepted, jobFailed:
	}
}

// slice returns the slice of the window that now lies in. The caller holds mu.
func (r *Recorder) slice(now time.Time) *slice {
	n := now.UnixNano() / int64(sliceLength)
	s := &r.ring[n%windowSlices]
	if s.at != n {
		r.retire(s)
		s.at = n
	}
	return s
}

// retire adds a slice that is over to the life of the process and empties it.
// The caller holds mu.
func (r *Recorder) retire(s *slice) {
	r.life.merge(s.sketches)
	*s = slice{sketches: s.cleared()}
}

// tick returns the counter of the second that now lies in. The caller holds mu.
func (r *Recorder) tick(now time.Time) *secondCount {
	at := now.Unix()
	s := &r.second[at%rateSeconds]
	if s.at != at {
		*s = secondCount{at: at}
	}
	return s
}

// Snapshot returns what the process says of itself now. Resources are those
// that the Fill functions put in.
func (r *Recorder) Snapshot() Beat {
	r.events.Count()
	now := r.now()
	b := Beat{
		ID: r.id, Roles: r.roles, Host: r.host, PID: os.Getpid(), Version: r.version,
		StartedAt: job.At(r.startedAt), At: job.At(now),
	}
	r.mu.Lock()
	r.measure(&b, now)
	fills := r.fills
	r.mu.Unlock()
	for _, f := range fills {
		f(&b)
	}
	return b
}

func (r *Recorder) measure(b *Beat, now time.Time) {
	b.Total = r.total
	b.Total.Refusals = maps.Clone(r.total.Refusals)
	b.RatePerSecond, b.InteractRatePerSecond = r.rates(now)

	var recent sketches
	oldest := now.UnixNano()/int64(sliceLength) - windowSlices + 1
	for i := range r.ring {
		s := &r.ring[i]
		if s.at < oldest {
			r.retire(s)
			continue
		}
		b.Recent.Add(s.counts)
		recent.merge(s.sketches)
	}
	b.Latency = encode(either(recent.latency, r.life.latency))
	b.Queue = encode(either(recent.queue, r.life.queue))
	b.Compute = encode(either(recent.compute, r.life.compute))
	b.Depth = encode(either(recent.depth, r.life.depth))
	b.Confidence = encode(either(recent.confidence, r.life.confidence))
}

// rates averages over the whole seconds before now, or over those that the
// process has lived if they are fewer.
func (r *Recorder) rates(now time.Time) (requests, interacts float64) {
	lived := now.Unix() - r.startedAt.Unix()
	over := max(1, min(rateSeconds-1, lived))
	for _, s := range r.second {
		if s.at < now.Unix() && s.at >= now.Unix()-over {
			requests += float64(s.requests)
			interacts += float64(s.interacts)
		}
	}
	return requests / float64(over), interacts / float64(over)
}

func observe(s **ddsketch.DDSketchWithExactSummaryStatistics, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	if *s == nil {
		*s = newSketch()
	}
	// Add fails only for values that no mapping can index; those were kept out
	// above, and a clock that stepped back gives at worst a negative duration.
	_ = (*s).Add(max(v, 0))
}

func (k *sketches) each() []**ddsketch.DDSketchWithExactSummaryStatistics {
	return []**ddsketch.DDSketchWithExactSummaryStatistics{&k.latency, &k.queue, &k.compute, &k.depth, &k.confidence}
}

// cleared empties the sketches and keeps their memory.
func (k *sketches) cleared() sketches {
	for _, s := range k.each() {
		if *s != nil {
			(*s).Clear()
		}
	}
	return *k
}

func (k *sketches) merge(o sketches) {
	mine, others := k.each(), o.each()
	for i, from := range others {
		if *from == nil || (*from).IsEmpty() {
			continue
		}
		if *mine[i] == nil {
			*mine[i] = newSketch()
		}
		// Both were made by newSketch, so their mappings agree.
		_ = (*mine[i]).MergeWith(*from)
	}
}

func either(a, b *ddsketch.DDSketchWithExactSummaryStatistics) *ddsketch.DDSketchWithExactSummaryStatistics {
	if a == nil || a.IsEmpty() {
		return b
	}
	return a
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// finite turns what JSON cannot say into zero.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}
