package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStopBeforeStartAndTwice(t *testing.T) {
	t.Parallel()
	var l lifecycle.Life
	if err := l.Stop(t.Context()); err != nil || l.Cause() != nil {
		t.Errorf("a stop before the start: %v, cause %v", err, l.Cause())
	}
	began, ended := 0, 0
	begin := func(context.Context) error {
		began++
		l.Go(func(ctx context.Context) { <-ctx.Done() })
		return nil
	}
	for range 2 {
		if err := l.Start(t.Context(), begin); err != nil {
			t.Fatal(err)
		}
	}
	wrong := errors.New("a port would not close")
	for range 2 {
		err := l.Stop(t.Context(), func(context.Context) error { ended++; return wrong })
		if !errors.Is(err, wrong) {
			t.Errorf("stop: %v", err)
		}
	}
	if began != 1 || ended != 1 || !errors.Is(l.Cause(), lifecycle.ErrStopped) {
		t.Errorf("began %d times, ended %d times, cause %v", began, ended, l.Cause())
	}
	if err := l.Start(t.Context(), begin); !errors.Is(err, lifecycle.ErrAgain) {
		t.Errorf("a start after the stop: %v", err)
	}
}

// The life goes on when the context of Start ends, and its values stay.
func TestALifeOutlivesTheContextOfItsStart(t *testing.T) {
	t.Parallel()
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	var l lifecycle.Life
	if err := l.Start(ctx, func(ctx context.Context) error {
		if ctx.Value(key{}) != "value" {
			t.Error("the context of the life has lost its values")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if l.Context().Err() != nil {
		t.Error("the life ended with the context of its start")
	}
	if err := l.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAStartThatFailsEndsWhatItBeganAndMayBeTriedAgain(t *testing.T) {
	t.Parallel()
	var l lifecycle.Life
	wrong := errors.New("the port is taken")
	var ended atomic.Bool
	if err := l.Start(t.Context(), func(context.Context) error {
		l.Go(func(ctx context.Context) { <-ctx.Done(); ended.Store(errors.Is(context.Cause(ctx), wrong)) })
		return wrong
	}); !errors.Is(err, wrong) || !ended.Load() || l.Started() {
		t.Errorf("start: %v; its goroutine ended with the cause: %v", err, ended.Load())
	}
	if err := l.Start(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := l.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAFailureIsTheCause(t *testing.T) {
	t.Parallel()
	var l lifecycle.Life
	if err := l.Start(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	lost := errors.New("the lease was lost")
	l.Fail(lost)
	<-l.Context().Done()
	if err := l.Stop(t.Context()); err != nil || !errors.Is(l.Cause(), lost) {
		t.Errorf("stop %v, cause %v", err, l.Cause())
	}
}

func TestStopGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	var l lifecycle.Life
	release := make(chan struct{})
	if err := l.Start(t.Context(), func(context.Context) error {
		l.Go(func(context.Context) { <-release })
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Stop(short); !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v", err)
	}
	close(release)
	if err := l.Stop(t.Context()); err != nil {
		t.Errorf("the second stop: %v", err)
	}
}

func TestStartsAndStopsAtOnce(t *testing.T) {
	t.Parallel()
	var l lifecycle.Life
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_ = l.Start(t.Context(), func(context.Context) error {
				l.Go(func(ctx context.Context) { <-ctx.Done() })
				return nil
			})
		})
		wg.Go(func() {
			if err := l.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := l.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEvery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l lifecycle.Life
		var n atomic.Int64
		if err := l.Start(t.Context(), func(context.Context) error {
			l.Every(time.Second, func(context.Context) { n.Add(1) })
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3500 * time.Millisecond) // fake time
		synctest.Wait()
		if n.Load() != 3 {
			t.Errorf("%d calls in 3.5 s, want 3", n.Load())
		}
		if err := l.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func ExampleLife() {
	var life lifecycle.Life
	ready := make(chan string)
	start := func(ctx context.Context) error {
		return life.Start(ctx, func(context.Context) error {
			life.Go(func(ctx context.Context) {
				ready <- "working"
				<-ctx.Done()
			})
			return nil
		})
	}
	if err := start(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-ready)
	fmt.Println(life.Stop(context.Background()), life.Cause())
	// Output:
	// working
	// <nil> stopped
}
