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

// strain measures what callers notice of training and of overload.
func strain(ctx context.Context, o options) (rows []row, err error) {
	dir, err := os.MkdirTemp("", "nexus-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s, _, err := startServer(ctx, o.binary, dir)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	lessons := makeLessons(o.lessons)
	if err := s.teach(ctx, lessons[:200]); err != nil {
		return nil, err
	}
	idle, err := s.latencies(ctx, lessons, 3000)
	if err != nil {
		return nil, err
	}
	busy, err := s.whileTraining(ctx, lessons)
	if err != nil {
		return rows, err
	}
	rows = append(rows,
		row{"interact p50 / p99 at rest", ms(idle[len(idle)/2]) + " / " + ms(idle[len(idle)*99/100]), ""},
		row{"interact p50 / p99 while training", ms(busy[len(busy)/2]) + " / " + ms(busy[len(busy)*99/100]), ""},
		row{"p99 while training / at rest", fmt.Sprintf("%.2f", float64(busy[len(busy)*99/100])/float64(idle[len(idle)*99/100])), "≤ 1.5"})
	more, err := s.overload(ctx, lessons, o)
	return append(rows, more...), err
}

// whileTraining asks one prompt after the other until a large job has ended.
func (s *server) whileTraining(ctx context.Context, lessons []lesson) ([]time.Duration, error) {
	trained := make(chan error, 1)
	go func() { trained <- s.teach(ctx, lessons) }()
	c, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var out []time.Duration
	for i := 0; ; i++ {
		select {
		case err := <-trained:
			slices.Sort(out)
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
	normal := s.press(ctx, lessons, o.callers, o.load)
	before, err := s.resident()
	if err != nil {
		return nil, err
	}
	over := s.press(ctx, lessons, 5*o.callers, o.overload)
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
		{"memory before / after", fmt.Sprintf("%d / %d MB", before>>20, after>>20), "flat"},
		{"recovered after", recovered.Round(time.Millisecond).String(), "≤ 2 s"},
	}, nil
}
