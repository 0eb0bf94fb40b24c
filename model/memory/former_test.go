package memory_test

import (
	"runtime"
	"testing"
	"weak"

	"github.com/nexus-continuum/nexus/model/memory"
)

// A store that was replaced is free, however it was replaced: a service that is taught
// for months would hold every one that it ever had.
func TestAStoreDoesNotKeepItsPredecessors(t *testing.T) {
	t.Parallel()
	hide := func(topic, _ string, _ bool) bool { return topic == "topic 1" }
	for name, next := range map[string]func(s *memory.Store, l memory.Lesson) *memory.Store{
		"taught": func(s *memory.Store, l memory.Lesson) *memory.Store {
			s, _ = s.Add([]memory.Lesson{l}, encode)
			return s
		},
		"known": func(s *memory.Store, _ memory.Lesson) *memory.Store { s, _ = s.Add(lessons(1), encode); return s },
		"unlearned": func(s *memory.Store, l memory.Lesson) *memory.Store {
			s, _ = s.Remove(func(o memory.Lesson) bool { return o.Prompt == l.Prompt }, encode)
			return s
		},
		"hidden":  func(s *memory.Store, _ memory.Lesson) *memory.Store { return s.Hiding(hide) },
		"recoded": func(s *memory.Store, _ memory.Lesson) *memory.Store { return s.Recode(dim, encode).Finish() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := memory.New(dim).Add(lessons(20), encode)
			var former []weak.Pointer[memory.Store]
			for _, l := range lessons(60)[15:35] {
				before := s
				if s = next(s, l); s != before {
					former = append(former, weak.Make(before))
				}
			}
			runtime.GC()
			kept := 0
			for _, f := range former {
				if f.Value() != nil {
					kept++
				}
			}
			if kept > 0 || len(former) == 0 {
				t.Errorf("%d of %d former stores are kept", kept, len(former))
			}
			runtime.KeepAlive(s)
		})
	}
}
