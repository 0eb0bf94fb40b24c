package model

import (
	"flag"
	"os"
	"testing"

	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/topic"
)

var writeStandIn = flag.Bool("standin.write", false, "write gate/standin.bin anew")

// pack gives the lessons of general_knowledge.
func pack(t testing.TB) []Lesson {
	t.Helper()
	library, err := topic.Open("")
	if err != nil {
		t.Fatalf("open packs: %v", err)
	}
	p, err := library.Pack("general_knowledge")
	if err != nil {
		t.Fatalf("general_knowledge: %v", err)
	}
	out := make([]Lesson, 0, len(p.Lessons))
	for _, l := range p.Lessons {
		out = append(out, Lesson{Prompt: l.Prompt, Response: l.Response, Topic: p.Name})
	}
	return out
}

// judgedBy gives the records of up to n lessons.
func judgedBy(m *Model, lessons []uint32) []gate.Record {
	j := &judging{model: m, lessons: lessons, foreign: elsewhere()}
	for j.step() {
	}
	return j.records
}

// TestStandInTable writes the calibration that ships, or checks that a fresh
// model, calibrated by it, keeps its promise on the pack it was made from.
func TestStandInTable(t *testing.T) {
	t.Parallel()
	lessons := pack(t)
	m, err := New(Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	m, _ = m.Memorise(lessons)
	var every []uint32
	m.store.Each(0, func(n, _ uint32) bool {
		if n%2 == 0 || *writeStandIn {
			every = append(every, n)
		}
		return true
	})
	records := judgedBy(m, every)
	if *writeStandIn {
		l, err := m.Learner(LearnOptions{Fresh: idsOf(lessons), Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		for l.Done() < l.Total() {
			if _, err := l.Step(); err != nil {
				t.Fatal(err)
			}
		}
		trained, report, err := l.Finish(m)
		if err != nil || !report.Promoted {
			t.Fatalf("train: %v, %+v", err, report)
		}
		records = append(records, trained.gate.Records()...)
		if err := os.WriteFile("gate/standin.bin", gate.MakeStandIn(records), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	var own []gate.Record
	for i := range records {
		if !records[i].Foreign {
			own = append(own, records[i])
		}
	}
	f, all := figures(m.gate, own), figures(m.gate, records)
	t.Logf("%+v, with foreign ones %+v", f, all)
	if f.WrongAnswered > m.cfg.TargetError/2 {
		t.Errorf("%.3f of the prompts answered wrongly, the stand-in promises at most %.3f", f.WrongAnswered, m.cfg.TargetError/2)
	}
	if all.ForeignRefused < 0.9 {
		t.Errorf("%.3f of prompts whose answer was left out are refused, want at least 0.9", all.ForeignRefused)
	}
}

func idsOf(lessons []Lesson) []string {
	out := make([]string, len(lessons))
	for i, l := range lessons {
		out[i] = LessonID(l.Topic, l.Prompt)
	}
	return out
}
