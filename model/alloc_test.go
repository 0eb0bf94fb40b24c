//go:build !race

package model

import (
	"fmt"
	"testing"
)

// TestNothingAllocates covers a prompt from its text to the verdict. It cannot run beside other tests, which would allocate
// too. Nor can it run under the race detector: there sync.Pool drops at random what is put back, to shake out races.
func TestNothingAllocates(t *testing.T) {
	for _, architecture := range []string{Flowing, Layered} {
		// Few lessons are searched in float32, many in 8 bits.
		for _, lessons := range []int{0, 50, 4200} {
			if architecture == Layered && lessons > 50 {
				continue
			}
			m, err := New(Config{Architecture: architecture, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			all := spoken(lessons+1, 5)
			m, _ = m.Memorise(all)
			m, _ = m.Memorise([]Lesson{{Topic: "other", Prompt: "may i smoke in here", Refusal: true}, {Topic: "other", Prompt: "how do i reset my password", Response: "Write to us."}})
			batch := make([]Query, MaxBatch+3)
			for i := range batch {
				batch[i].Prompt = all[i%len(all)].Prompt + " now"
			}
			for name, queries := range map[string][]Query{
				"near a lesson":    {{Prompt: "please reset the password for me"}},
				"like its lessons": {{Prompt: all[0].Prompt + " now"}},
				"a repeat":         {{Prompt: "How do I reset my PASSWORD?"}},
				"a slip":           {{Prompt: "how do i reset my pasword"}},
				"a taught refusal": {{Prompt: "may I smoke in here?"}},
				"about else":       {{Prompt: "Wie wird das Wetter morgen in Kyōto 東京?"}},
				"in one topic":     {{Prompt: "reset the password", Topic: "other"}},
				"untaught topic":   {{Prompt: "reset the password", Topic: "nothing"}},
				"no words":         {{Prompt: " \n"}},
				"many":             batch,
			} {
				t.Run(fmt.Sprintf("%s/%d/%s", architecture, lessons, name), func(t *testing.T) {
					out := make([]Verdict, 0, len(queries))
					run := func() { out = m.AskInto(out[:0], queries) }
					run()
					// A garbage collection may empty the pool of working memory in one of the runs, hence less than one.
					if n := testing.AllocsPerRun(5, run); n >= 1 {
						t.Errorf("%v allocations, want none", n)
					}
				})
			}
		}
	}
}
