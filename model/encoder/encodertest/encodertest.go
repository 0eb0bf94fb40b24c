// Package encodertest is the conformance suite that every architecture passes.
package encodertest

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// Architecture is what the suite needs to know of one.
type Architecture struct {
	// New makes untrained weights.
	New func(seed uint64) encoder.Weights
	// Load makes weights of the same shape from stored sections.
	Load func(stored []encoder.Section) (encoder.Weights, error)
}

// Run checks one architecture. The caller must not be a parallel test, since
// allocations are counted.
func Run(t *testing.T, a Architecture) {
	t.Helper()
	t.Run("EncodingAllocatesNothing", func(t *testing.T) { allocations(t, a) })
	for name, check := range map[string]func(*testing.T, Architecture){
		"VectorsHaveLengthOne":             vectors,
		"EmptyPromptIsLikeNothing":         emptyPrompt,
		"WordOrderIsSeen":                  wordOrder,
		"SameSeedSameWeights":              sameSeed,
		"CallersDoNotDisturbEachOther":     concurrency,
		"ScratchKeepsNothingOfThePrompt":   scratch,
		"StoredSectionsMakeTheSameEncoder": stored,
		"DamagedSectionsAreRefused":        damaged,
		"CloneIsIndependent":               clone,
		"UnknownFeaturesAreCounted":        unknown,
		"OptionsOutOfRangeAreRefused":      options,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, a)
		})
	}
}

// prompts of one word, of many, and of the most that are kept.
func prompts() []string {
	return []string{
		"hello", "how do i reset my password ?", "東京 はどこ",
		strings.Repeat("very ", text.MaxWords+3) + "long",
	}
}

func read(w encoder.Weights, s string) *text.Prompt {
	_, buckets := w.Shape()
	p := &text.Prompt{}
	text.Reader{Buckets: uint32(buckets)}.Read(p, s)
	return p
}

func pack(t *testing.T, w encoder.Weights) encoder.Encoder {
	t.Helper()
	e, err := w.Encoder(encoder.Options{})
	if err != nil {
		t.Fatalf("pack weights: %v", err)
	}
	return e
}

func encode(e encoder.Encoder, p *text.Prompt) ([]float32, encoder.Info) {
	h := make([]float32, e.Dim())
	info := e.Encode(p, h, e.NewScratch())
	return h, info
}

func vectors(t *testing.T, a Architecture) {
	w := a.New(1)
	e := pack(t, w)
	for _, s := range prompts() {
		h, info := encode(e, read(w, s))
		if n := kernel.Norm(h); math.Abs(float64(n)-1) > 1e-5 {
			t.Errorf("%.20q: length %v, want 1", s, n)
		}
		if !info.Converged || info.Depth < 1 || info.Saturation <= 0 || info.Saturation > 1 {
			t.Errorf("%.20q: %+v, want convergence, some depth and a saturation in (0,1]", s, info)
		}
	}
}

func emptyPrompt(t *testing.T, a Architecture) {
	w := a.New(1)
	h, info := encode(pack(t, w), read(w, ""))
	if kernel.Norm(h) != 0 {
		t.Errorf("vector of the empty prompt has length %v, want 0", kernel.Norm(h))
	}
	if want := (encoder.Info{Converged: true, Unknown: 1}); info != want {
		t.Errorf("info %+v, want %+v", info, want)
	}
}

func wordOrder(t *testing.T, a Architecture) {
	w := a.New(1)
	e := pack(t, w)
	h, _ := encode(e, read(w, "dog bites man"))
	g, _ := encode(e, read(w, "man bites dog"))
	if slices.Equal(h, g) {
		t.Error("prompts that differ only in word order have the same vector")
	}
	if c := kernel.Dot(h, g); c < 0.9 {
		t.Errorf("their cosine is %.3f before any training, want above 0.9: the words are the same", c)
	}
}

func sameSeed(t *testing.T, a Architecture) {
	w, v, other := a.New(3), a.New(3), a.New(4)
	h, _ := encode(pack(t, w), read(w, "hello there"))
	g, _ := encode(pack(t, v), read(v, "hello there"))
	k, _ := encode(pack(t, other), read(other, "hello there"))
	if !slices.Equal(h, g) {
		t.Error("the same seed made different weights")
	}
	if slices.Equal(h, k) {
		t.Error("different seeds made the same weights")
	}
}

func allocations(t *testing.T, a Architecture) {
	w := a.New(1)
	e := pack(t, w)
	s, h := e.NewScratch(), make([]float32, e.Dim())
	for _, in := range prompts() {
		p := read(w, in)
		e.Encode(p, h, s)
		if n := testing.AllocsPerRun(100, func() { e.Encode(p, h, s) }); n > 0 {
			t.Errorf("%.20q: %.0f allocations a prompt, want none", in, n)
		}
	}
}

func concurrency(t *testing.T, a Architecture) {
	w := a.New(1)
	e := pack(t, w)
	var want [][]float32
	for _, s := range prompts() {
		h, _ := encode(e, read(w, s))
		want = append(want, h)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			scratch, h := e.NewScratch(), make([]float32, e.Dim())
			for range 50 {
				for i, s := range prompts() {
					e.Encode(read(w, s), h, scratch)
					if !slices.Equal(h, want[i]) {
						t.Errorf("%.20q: another vector beside other callers", s)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func scratch(t *testing.T, a Architecture) {
	w := a.New(1)
	e := pack(t, w)
	used, h := e.NewScratch(), make([]float32, e.Dim())
	for _, s := range append(prompts(), "", "hello", "a b") {
		want, _ := encode(e, read(w, s))
		e.Encode(read(w, s), h, used)
		if !slices.Equal(h, want) {
			t.Errorf("%.20q: used scratch gives another vector than fresh", s)
		}
	}
}

func stored(t *testing.T, a Architecture) {
	w := a.New(5)
	kept := slices.Clone(w.Sections())
	slices.Reverse(kept) // order must not matter
	v, err := a.Load(kept)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	h, _ := encode(pack(t, w), read(w, "hello there"))
	g, _ := encode(pack(t, v), read(v, "hello there"))
	if !slices.Equal(h, g) {
		t.Error("loaded weights encode otherwise")
	}
}

func damaged(t *testing.T, a Architecture) {
	change := func(f func([]encoder.Section) []encoder.Section) error {
		_, err := a.Load(f(a.New(5).Clone().Sections()))
		return err
	}
	for name, c := range map[string]struct {
		damage func([]encoder.Section) []encoder.Section
		want   error
	}{
		"missing": {func(s []encoder.Section) []encoder.Section { return s[1:] }, encoder.ErrShape},
		"twice":   {func(s []encoder.Section) []encoder.Section { return append(s[1:], s[1]) }, encoder.ErrShape},
		"renamed": {func(s []encoder.Section) []encoder.Section { s[0].Name = "tabel"; return s }, encoder.ErrShape},
		"shorter": {func(s []encoder.Section) []encoder.Section { s[0].Data = s[0].Data[1:]; return s }, encoder.ErrShape},
		"NaN": {func(s []encoder.Section) []encoder.Section {
			last := s[len(s)-1].Data
			last[len(last)-1] = float32(math.NaN())
			return s
		}, encoder.ErrNotFinite},
		"infinite": {func(s []encoder.Section) []encoder.Section { s[0].Data[7] = float32(math.Inf(-1)); return s }, encoder.ErrNotFinite},
	} {
		if err := change(c.damage); !errors.Is(err, c.want) {
			t.Errorf("%s section: error %v, want %v", name, err, c.want)
		}
	}
}

func clone(t *testing.T, a Architecture) {
	w := a.New(1)
	e := pack(t, w)
	before, _ := encode(e, read(w, "hello"))
	for _, s := range w.Clone().Sections() {
		clear(s.Data)
	}
	after, _ := encode(pack(t, w), read(w, "hello"))
	if !slices.Equal(before, after) {
		t.Error("clearing a clone changed the original")
	}
}

func unknown(t *testing.T, a Architecture) {
	w := a.New(1)
	p := read(w, "hello there")
	if _, info := encode(pack(t, w), p); info.Unknown != 1 {
		t.Errorf("untrained: unknown share %v, want 1", info.Unknown)
	}
	for _, s := range w.Sections() {
		if s.Name == "seen" {
			for _, f := range p.Features[:p.Offsets[1]] {
				s.Data[f] = 1
			}
		}
	}
	want := 1 - float32(p.Offsets[1])/float32(len(p.Features))
	if _, info := encode(pack(t, w), p); math.Abs(float64(info.Unknown-want)) > 0.1 {
		t.Errorf("one of two words trained: unknown share %v, want about %v", info.Unknown, want)
	}
}

func options(t *testing.T, a Architecture) {
	w := a.New(1)
	for _, o := range []encoder.Options{
		{Threshold: -1},
		{Threshold: 1},
		{Threshold: float32(math.NaN())},
		{MaxSteps: -1},
		{Damping: -0.5},
		{Damping: 1.5},
	} {
		if _, err := w.Encoder(o); !errors.Is(err, encoder.ErrOptions) {
			t.Errorf("%+v: error %v, want %v", o, err, encoder.ErrOptions)
		}
	}
}
