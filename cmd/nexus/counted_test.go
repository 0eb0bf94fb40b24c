package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/nexus-continuum/nexus/queue/provider/redistest"
)

// What a client was answered is counted in the next status that it reads, whichever API
// answered and whichever tells; and a status that is read after `memorised` knows the
// lessons.
func TestAnswersAreCountedInTheNextStatus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"NEXUS_REDIS_URL=redis://" + redistest.Start(t).Addr, "NEXUS_DATA_DIR=" + dir}
	launch(t, dir, []string{"worker"}, env...)
	launch(t, dir, []string{"worker"}, env...)
	one := start(t, dir, []string{"api"}, env...)
	two := start(t, dir, []string{"api"}, env...)

	type status struct {
		Metrics struct {
			Requests struct{ Total, Answered, Refused, Accepted int }
		}
		Model struct{ Lessons int }
	}
	read := func(p *process) (s status) {
		if code, _ := p.call("GET", "/api/status", nil, &s); code != http.StatusOK {
			t.Fatalf("status: %d", code)
		}
		return s
	}
	apis := []*process{one, two}
	for i := range 20 {
		asked, told := apis[i%2], apis[(i/2)%2]
		asked.ask(fmt.Sprintf("where is room %d", i))
		if r := read(told).Metrics.Requests; r.Total != i+1 || r.Answered+r.Refused != i+1 {
			t.Fatalf("after %d answers the next status counts %+v", i+1, r)
		}
	}
	for i := range 10 {
		var j task
		apis[i%2].call("POST", "/api/jobs", map[string]string{"kind": "interact", "prompt": "who is there"}, &j)
		if r := read(apis[(i+1)%2]).Metrics.Requests; r.Accepted != i+1 {
			t.Fatalf("after %d jobs were taken the next status counts %+v", i+1, r)
		}
	}
	for i := range 5 {
		asked, told := apis[i%2], apis[(i+1)%2]
		j := asked.teach("rooms", lesson{fmt.Sprintf("where is hall %d", i), fmt.Sprintf("on floor %d", i)})
		asked.eventually("the lesson is memorised", func() bool {
			got := asked.job(j.ID)
			return got.Progress.Phase == "memorised" || got.State == "succeeded"
		})
		if n := read(told).Model.Lessons; n != i+1 {
			t.Fatalf("lesson %d is memorised, and the next status counts %d", i+1, n)
		}
	}
}
