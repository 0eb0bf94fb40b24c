package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// trainingRounds is how often a caller is measured at rest and while training,
// in turns, so that what else the machine does befalls both.
const trainingRounds = 3

// training measures what a caller notices of training.
func training(ctx context.Context, o options) (rows []row, err error) {
	s, lessons, stop, err := taught(ctx, o)
	if err != nil {
		return nil, err
	}
	defer stop()
	var idle, busy []time.Duration
	each := len(lessons) / trainingRounds
	for i := range trainingRounds {
		rest, err := s.latencies(ctx, lessons[:200], 1000)
		if err != nil {
			return nil, err
		}
		trained, err := s.whileTraining(ctx, lessons, lessons[i*each:(i+1)*each])
		if err != nil {
			return nil, err
		}
		idle, busy = append(idle, rest...), append(busy, trained...)
	}
	slices.Sort(idle)
	slices.Sort(busy)
	at := func(of []time.Duration, share int) time.Duration { return of[len(of)*share/100] }
	return []row{
		{"interact p50 / p90 / p99 at rest", ms(at(idle, 50)) + " / " + ms(at(idle, 90)) + " / " + ms(at(idle, 99)), ""},
		{"interact p50 / p90 / p99 while training", ms(at(busy, 50)) + " / " + ms(at(busy, 90)) + " / " + ms(at(busy, 99)), ""},
		{"p99 while training / at rest", fmt.Sprintf("%.2f", float64(at(busy, 99))/float64(at(idle, 99))), "≤ 1.5"},
	}, nil
}

// overload measures what callers notice of overload.
func overload(ctx context.Context, o options) ([]row, error) {
	s, lessons, stop, err := taught(ctx, o)
	if err != nil {
		return nil, err
	}
	defer stop()
	return s.overload(ctx, lessons, o)
}

// taught is a server that knows the first 200 of the lessons.
func taught(ctx context.Context, o options) (s *server, lessons []lesson, stop func(), err error) {
	dir, err := os.MkdirTemp("", "nexus-bench-")
	if err != nil {
		return nil, nil, nil, err
	}
	s, _, err = startServer(ctx, o.binary, dir)
	if err != nil {
		return nil, nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop = func() {
		s.stop()
		_ = os.RemoveAll(dir)
	}
	lessons = makeLessons(o.lessons)
	if err := s.teach(ctx, lessons[:200]); err != nil {
		stop()
		return nil, nil, nil, err
	}
	return s, lessons, stop, nil
}

// whileTraining asks one prompt after the other until a large job has ended.
func (s *server) whileTraining(ctx context.Context, lessons, fresh []lesson) ([]time.Duration, error) {
	trained := make(chan error, 1)
	go func() { trained <- s.teach(ctx, fresh) }()
	c, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var out []time.Duration
	for i := 0; ; i++ {
		select {
		case err := <-trained:
			if err == nil && len(out) < 100 {
				err = errors.New("training ended before it could be measured; teach more -lessons")
			}
			return out, err
		default:
		}
		began := time.Now()
		if err := c.answered(lessons[i*7%200].Prompt); err != nil {
			return nil, err
		}
		out = append(out, time.Since(began))
	}
}

// crowd is what callers met.
type crowd struct {
	mu       sync.Mutex
	accepted []time.Duration
	refused  []time.Duration
	failed   atomic.Int64
}

func (c *crowd) quantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return of[int(q*float64(len(of)-1))]
}

// press has callers ask without a pause, whatever they are answered.
func (s *server) press(ctx context.Context, lessons []lesson, callers int, load time.Duration) *crowd {
	all := &crowd{}
	until := time.Now().Add(load)
	var wg sync.WaitGroup
	for n := range callers {
		wg.Go(func() {
			var accepted, refused []time.Duration
			c, err := s.caller(ctx)
			if err != nil {
				all.failed.Add(1)
				return
			}
			defer c.close()
			for i := n; time.Now().Before(until); i += callers {
				began := time.Now()
				code, err := c.ask(lessons[i*7%len(lessons)].Prompt)
				switch took := time.Since(began); {
				case err == nil && code == http.StatusOK:
					accepted = append(accepted, took)
				case err == nil && code == http.StatusServiceUnavailable:
					refused = append(refused, took)
				default:
					all.failed.Add(1)
				}
			}
			all.mu.Lock()
			defer all.mu.Unlock()
			all.accepted, all.refused = append(all.accepted, accepted...), append(all.refused, refused...)
		})
	}
	wg.Wait()
	return all
}

// overload asks with as many callers as is normal, and then with five times so
// many for a minute.
func (s *server) overload(ctx context.Context, lessons []lesson, o options) ([]row, error) {
	var used [4]time.Duration
	var errs [4]error
	used[0], errs[0] = s.cpu()
	normal := s.press(ctx, lessons, o.callers, o.load)
	used[1], errs[1] = s.cpu()
	before, err := s.resident()
	if err != nil {
		return nil, err
	}
	used[2], errs[2] = s.cpu()
	over := s.press(ctx, lessons, 5*o.callers, o.overload)
	used[3], errs[3] = s.cpu()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	// What an answer costs, and what a refusal does if answers cost the same then.
	answer := (used[1] - used[0]) / time.Duration(max(1, len(normal.accepted)))
	refusal := (used[3] - used[2] - answer*time.Duration(len(over.accepted))) / time.Duration(max(1, len(over.refused)))
	after, err := s.resident()
	if err != nil {
		return nil, err
	}
	ended := time.Now()
	calm := normal.quantile(normal.accepted, 0.5)
	for range 100 {
		began := time.Now()
		if err := s.ask(ctx, lessons[0].Prompt); err == nil {
			if time.Since(began) < calm {
				break
			}
		}
	}
	recovered := time.Since(ended)
	if n := over.failed.Load() + normal.failed.Load(); n > 0 {
		return nil, fmt.Errorf("%d asks were answered neither 200 nor 503", n)
	}
	n99, o99 := normal.quantile(normal.accepted, 0.99), over.quantile(over.accepted, 0.99)
	return []row{
		{fmt.Sprintf("p99 of %d callers", o.callers), ms(n99), ""},
		{fmt.Sprintf("accepted p99 of %d callers for %s", 5*o.callers, o.overload), ms(o99), ""},
		{"accepted p99, overload / normal", fmt.Sprintf("%.2f", float64(o99)/float64(n99)), "≤ 2"},
		{"answered a second, normal / overload", fmt.Sprintf("%.0f / %.0f", float64(len(normal.accepted))/o.load.Seconds(), float64(len(over.accepted))/o.overload.Seconds()), ""},
		{"refused with 503, p50 / p99", fmt.Sprintf("%d, %s / %s", len(over.refused), ms(over.quantile(over.refused, 0.5)), ms(over.quantile(over.refused, 0.99))), "≤ 50 ms"},
		{"processor time of an answer / a refusal", fmt.Sprintf("%d / %d µs", answer.Microseconds(), refusal.Microseconds()), ""},
		{"memory before / after", fmt.Sprintf("%d / %d MB", before>>20, after>>20), "flat"},
		{"recovered after", recovered.Round(time.Millisecond).String(), "≤ 2 s"},
	}, nil
}
