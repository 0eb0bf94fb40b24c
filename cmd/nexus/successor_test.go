package main

import (
	"fmt"
	"net/http"
	"testing"
)

// standing is what a test reads of the model in the status.
type standing struct {
	Model struct {
		Architecture *string `json:"architecture"`
		Size         *string `json:"size"`
		Lessons      int     `json:"lessons"`
		Successor    *struct {
			Architecture string  `json:"architecture"`
			Size         string  `json:"size"`
			State        string  `json:"state"`
			Done         int     `json:"done"`
			Why          *string `json:"why"`
		} `json:"successor"`
	} `json:"model"`
}

func (p *process) standing() (s standing) {
	p.t.Helper()
	if code, _ := p.call("GET", "/api/status", nil, &s); code != http.StatusOK {
		p.t.Fatalf("status: %d", code)
	}
	return s
}

// An operator starts a taught deployment with another architecture, then with
// another size: what was taught answers from the first moment on, the other
// model is trained from the stored lessons, and takes over.
func TestAnotherArchitectureAndSize(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rooms := []string{"kitchen", "bathroom", "garage", "cellar", "attic", "garden", "office", "library", "nursery", "pantry"}
	var lessons []lesson
	for i, room := range rooms {
		answer := fmt.Sprintf("Turn switch number %d.", i+1)
		for _, prompt := range []string{"how do I light the %s", "turn on the lamp in the %s", "where is the light switch of the %s"} {
			lessons = append(lessons, lesson{fmt.Sprintf(prompt, room), answer})
		}
	}
	p := start(t, dir, []string{"serve"})
	p.finished(p.teach("house", lessons...).ID)
	p.stop()

	changes := []struct{ architecture, size string }{{"layered", "small"}, {"flowing", "base"}}
	if testing.Short() {
		changes = changes[:1]
	}
	former := "flowing small"
	for _, c := range changes {
		p := start(t, dir, []string{"serve"}, "NEXUS_ARCHITECTURE="+c.architecture, "NEXUS_MODEL_SIZE="+c.size)
		answers := func() {
			t.Helper()
			for _, l := range []lesson{lessons[4], lessons[17]} {
				if a := p.ask(l.Prompt); a.Response != l.Response {
					t.Fatalf("%s %s: %q is answered %+v", c.architecture, c.size, l.Prompt, a)
				}
			}
		}
		answers()
		shape := ""
		p.eventually("the other model serves", func() bool {
			answers()
			s := p.standing().Model
			shape = *s.Architecture + " " + *s.Size
			if n := s.Successor; n != nil && (n.Architecture != c.architecture || n.Size != c.size || n.State == "kept_out") {
				t.Fatalf("the successor is %+v", *n)
			}
			if shape != former && shape != c.architecture+" "+c.size {
				t.Fatalf("a %s model serves", shape)
			}
			return shape != former && s.Successor == nil && s.Lessons == len(lessons)
		})
		former = shape
		answers()
		p.stop()
	}
}

// Where few lessons were taught, no gradient step was taken, and the model of
// another size starts from another base.
func TestAnotherSizeOfAModelThatOnlyMemorised(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir, []string{"serve"})
	p.finished(p.teach("house", lesson{"where is the light switch", "By the door."}).ID)
	p.stop()

	p = start(t, dir, []string{"serve"}, "NEXUS_MODEL_SIZE=base", "NEXUS_PAUSED=true")
	if a := p.ask("where is the light switch"); a.Response != "By the door." {
		t.Fatalf("after the change of the size: %+v", a)
	}
	p.eventually("the status tells of the successor", func() bool {
		s := p.standing().Model
		return *s.Size == "small" && s.Successor != nil && s.Successor.Size == "base" && s.Successor.State == "waiting"
	})
	if code, _ := p.call("POST", "/api/control", map[string]string{"action": "resume"}, nil); code != http.StatusOK {
		t.Fatalf("resume: %d", code)
	}
	p.eventually("the other size serves", func() bool { return *p.standing().Model.Size == "base" })
	if a := p.ask("where is the light switch"); a.Response != "By the door." {
		t.Fatalf("when the other size serves: %+v", a)
	}
}
