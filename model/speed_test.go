package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// spoken makes n lessons of made-up words, one of every perAnswer for an answer
// of its own.
func spoken(n, perAnswer int) []Lesson {
	rng := rand.New(rand.NewPCG(1, 1))
	word := func() string {
		b := make([]byte, 3+rng.IntN(6))
		for i := range b {
			b[i] = "aeioubcdfghklmnprstvw"[rng.IntN(21)]
		}
		return string(b)
	}
	vocabulary := make([]string, 8000)
	for i := range vocabulary {
		vocabulary[i] = word()
	}
	out := make([]Lesson, n)
	for i := range out {
		p := "how do i"
		for range 6 {
			// Few words are frequent and most are rare, as in language.
			u := rng.Float64()
			p += " " + vocabulary[int(u*u*u*float64(len(vocabulary)))]
		}
		out[i] = Lesson{Topic: "t", Prompt: p, Response: fmt.Sprintf("answer %d", i/perAnswer)}
	}
	return out
}

func knowing(b *testing.B, n int) (*Model, []Lesson) {
	b.Helper()
	m, err := New(Config{Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	all := spoken(n+1000, 5)
	m, _ = m.Memorise(all[:n])
	return m, all
}

func BenchmarkAsk(b *testing.B) {
	for _, n := range []int{1, 1_000, 10_000} {
		m, all := knowing(b, n)
		for _, batch := range []int{1, 32} {
			b.Run(fmt.Sprintf("lessons=%d/batch=%d", n, batch), func(b *testing.B) {
				queries, verdicts := make([]Query, batch), make([]Verdict, 0, batch)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					for j := range queries {
						queries[j].Prompt = all[i%len(all)].Prompt + " now"
						i += 7
					}
					m.AskInto(verdicts[:0], queries)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/prompt")
			})
		}
	}
}

// BenchmarkAskCLINC150 asks the test prompts of CLINC150, in and out of scope,
// of a memory of 10 000 of its lessons.
func BenchmarkAskCLINC150(b *testing.B) {
	data := readCLINC(b)
	lessons, _ := data.lessons()
	m, err := New(Config{Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	m, _ = m.Memorise(lessons[:10_000])
	asked := slices.Concat(data["test"], data["oos_test"])
	b.ReportAllocs()
	var query [1]Query
	var verdict [1]Verdict
	i := 0
	for b.Loop() {
		query[0].Prompt = asked[i%len(asked)][0]
		m.AskInto(verdict[:0], query[:])
		i += 7
	}
}

func BenchmarkMemorise(b *testing.B) {
	for _, n := range []int{1_000, 15_000, 50_000} {
		m, all := knowing(b, n)
		b.Run(fmt.Sprintf("known=%d/new=100", n), func(b *testing.B) {
			for b.Loop() {
				m.Memorise(all[n : n+100])
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	m, _ := knowing(b, 15_000)
	parts := m.Parts()
	size := 0
	for _, p := range parts {
		size += len(p.Data)
	}
	b.Run("lessons=15000", func(b *testing.B) {
		for b.Loop() {
			if _, err := Open(Config{}, parts); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(size)/1e6, "MB")
	})
}
