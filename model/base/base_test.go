package base_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/nexus-continuum/nexus/model/base"
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/pretrain"
	"github.com/nexus-continuum/nexus/model/text"
)

// With the base, prompts of like meaning in other words lie nearer to each
// other than to prompts of another meaning in like words; without it they do
// not.
func TestUnderstandsBeforeItIsTaught(t *testing.T) {
	t.Parallel()
	prompts := []struct{ asked, same, other string }{
		{"how is the weather today", "will it rain this afternoon", "how is the train today"},
		{"please turn up the volume", "make the music louder", "please turn up the heating"},
		{"book a table for two", "reserve a restaurant for me and my wife", "book a flight for two"},
		{"thanks a lot", "thank you very much", "not a lot"},
		{"i need a physician", "can i see a doctor", "i need a pizza"},
		{"buy a movie ticket", "purchase seats for the film", "buy a train ticket"},
	}
	with := func(f *base.File) (right int) {
		w := flow.New(128, 1<<15, 1)
		if err := f.Into(w); err != nil {
			t.Fatal(err)
		}
		e, err := w.Encoder(encoder.Options{})
		if err != nil {
			t.Fatal(err)
		}
		scratch := e.NewScratch()
		vector := func(s string) []float32 {
			var p text.Prompt
			text.Reader{Buckets: 1 << 15}.Read(&p, s)
			h := make([]float32, 128)
			e.Encode(&p, h, scratch)
			return h
		}
		for _, p := range prompts {
			h := vector(p.asked)
			if kernel.Dot(h, vector(p.same)) > kernel.Dot(h, vector(p.other)) {
				right++
			}
		}
		return right
	}
	if got := with(base.For("small")); got < len(prompts)-1 {
		t.Errorf("with the base %d of %d", got, len(prompts))
	}
	if got := with(base.None()); got > 1 {
		t.Errorf("without it %d of %d: the prompts are no test", got, len(prompts))
	}
}

// What comes with the program is small, and says what it was made from.
func TestRecipe(t *testing.T) {
	t.Parallel()
	r := base.For("small").Recipe()
	if r.Steps == 0 || len(r.Sources) == 0 {
		t.Fatalf("recipe %+v", r)
	}
	for _, s := range r.Sources {
		if s.Licence == "" || len(s.SHA256) != 64 {
			t.Errorf("source %+v has no licence or digest", s)
		}
	}
}

func TestNone(t *testing.T) {
	t.Parallel()
	for _, f := range []*base.File{base.None(), base.For("huge")} {
		w, same := flow.New(8, 64, 1), flow.New(8, 64, 1)
		if err := f.Into(w); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(w.Table, same.Table) || f.Digest() != "" {
			t.Error("no base changed the weights")
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	data, err := (&pretrain.Base{Dim: 8, Buckets: 64, Table: make([]float32, 512), Head: make([]float32, 64)}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	f, err := base.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	if dim, buckets := f.Shape(); dim != 8 || buckets != 64 || len(f.Digest()) != 64 {
		t.Errorf("shape %d×%d, digest %q", buckets, dim, f.Digest())
	}
	if err := f.Into(flow.New(128, 1<<15, 1)); !errors.Is(err, encoder.ErrShape) {
		t.Errorf("weights of another shape: %v", err)
	}
	if _, err := base.Open(data[:len(data)-1]); !errors.Is(err, pretrain.ErrFormat) {
		t.Errorf("a file cut short: %v", err)
	}
}

// BenchmarkInto is what a start with the base takes beyond one without.
func BenchmarkInto(b *testing.B) {
	w := flow.New(128, 1<<15, 1)
	for b.Loop() {
		if err := base.For("small").Into(w); err != nil {
			b.Fatal(err)
		}
	}
}
