package pipeline

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/queue/provider/providertest"
)

// A call in company keeps to its own deadline: one that gives up soon does not take
// the others with it.
func TestCompanyKeepsItsOwnDeadlines(t *testing.T) {
	t.Parallel()
	ctx, provided := providertest.Start(t, provider.Options{Mode: provider.Child})
	p := &Pipeliner{client: provided.Client(), busy: maxInFlight} // as many are under way as may be
	slow := redis.NewScript("local t = 0 while t < 3000000 do t = t + 1 end return 1")
	if err := slow.Load(ctx, provided.Client()).Err(); err != nil {
		t.Fatal(err)
	}
	hasty, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	type result struct{ err error }
	soon, patient := make(chan result, 1), make(chan result, 1)
	go func() { soon <- result{p.Run(hasty, slow, nil).Err()} }()
	for p.Waiting() < 1 {
		runtime.Gosched()
	}
	go func() { patient <- result{p.Run(ctx, slow, nil).Err()} }()
	for p.Waiting() < 2 {
		runtime.Gosched()
	}
	<-hasty.Done()
	p.next(ctx)
	if r := <-patient; r.err != nil {
		t.Errorf("the patient call failed: %v", r.err)
	}
	if r := <-soon; r.err == nil {
		t.Error("the hasty call was not given up")
	}
}
