//go:build linux && cgo

package cuda_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/cuda"
	"github.com/nexus-continuum/nexus/model/cuda/cudatest"
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/layer"
	"github.com/nexus-continuum/nexus/model/text"
)

// setup opens a card over a driver of its own.
func setup(t *testing.T) (*cuda.Card, *cudatest.Driver) {
	t.Helper()
	d := cudatest.New(t)
	c, err := cuda.Open(cuda.Options{Library: d.Path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, d
}

const buckets = 1 << 10

// weights of both architectures, some of the table's rows trained.
func weights(t *testing.T, architecture string, dim int) encoder.Weights {
	t.Helper()
	var w encoder.Weights
	if architecture == "flowing" {
		w = flow.New(dim, buckets, 7)
	} else {
		w = layer.New(dim, buckets, 3, 7)
	}
	for _, s := range w.Sections() {
		if s.Name == "seen" {
			for i := range s.Data {
				s.Data[i] = float32(i % 3)
			}
		}
	}
	return w
}

func pack(t *testing.T, w encoder.Weights, opt encoder.Options) encoder.Encoder {
	t.Helper()
	e, err := w.Encoder(opt)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// read makes prompts of texts.
func read(texts ...string) []text.Prompt {
	out := make([]text.Prompt, len(texts))
	for i, s := range texts {
		text.Reader{Buckets: buckets}.Read(&out[i], s)
	}
	return out
}

// prompts are n prompts of none to more than the most words.
func prompts(n int) []text.Prompt {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	texts := make([]string, n)
	for i := range texts {
		words := r.IntN(14)
		switch i % 9 {
		case 1:
			words = 0
		case 5:
			words = text.MaxWords + 3
		case 7:
			words = 1
		}
		for range words {
			texts[i] += fmt.Sprintf("w%d%s ", r.IntN(300), strings.Repeat("x", r.IntN(6)))
		}
	}
	return read(texts...)
}

// same compares what a card and a core made of prompts.
func same(t *testing.T, c *cuda.Card, e encoder.Encoder, asked []text.Prompt) (left int) {
	t.Helper()
	d := e.Dim()
	h, infos := make([]float32, len(asked)*d), make([]encoder.Info, len(asked))
	if err := c.Encode(e, asked, h, infos); err != nil {
		t.Fatal(err)
	}
	want, scratch := make([]float32, d), e.NewScratch()
	for i := range asked {
		info := e.Encode(&asked[i], want, scratch)
		got := infos[i]
		if got.Depth == -1 {
			left++
			continue
		}
		// A residual that is within rounding of the threshold may take one step more or less.
		if diff := got.Depth - info.Depth; diff < -1 || diff > 1 || diff != 0 && info.Residual > 2e-4 {
			t.Errorf("prompt %d of %d words: depth %d, a core takes %d", i, asked[i].Words, got.Depth, info.Depth)
		}
		if got.Converged != info.Converged || got.Unknown != info.Unknown || math.Abs(float64(got.Saturation-info.Saturation)) > 1e-3 {
			t.Errorf("prompt %d of %d words: %+v, a core says %+v", i, asked[i].Words, got, info)
		}
		for j := range want {
			if !(math.Abs(float64(h[i*d+j]-want[j])) <= 1e-3) {
				t.Fatalf("prompt %d of %d words: element %d is %v, a core has %v", i, asked[i].Words, j, h[i*d+j], want[j])
			}
		}
	}
	return left
}

func TestPromptsComeOutAsOnACore(t *testing.T) {
	t.Parallel()
	for _, architecture := range []string{"flowing", "layered"} {
		for _, dim := range []int{4, 20, 32, 128} {
			t.Run(fmt.Sprintf("%s/%d", architecture, dim), func(t *testing.T) {
				t.Parallel()
				c, _ := setup(t)
				w := weights(t, architecture, dim)
				e := pack(t, w, encoder.Options{})
				if err := c.Load(e, w, encoder.Options{}); err != nil {
					t.Fatal(err)
				}
				for _, n := range []int{1, 3, 40} {
					if left := same(t, c, e, prompts(n)); left > n/10 {
						t.Errorf("%d of %d prompts were left to the caller", left, n)
					}
				}
			})
		}
	}
}

func TestOptionsOfTheIterationAreKept(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	w := weights(t, "flowing", 32)
	for _, opt := range []encoder.Options{
		{Damping: 0.5, Threshold: 1e-3, PlainSteps: 50},
		{MaxSteps: 3},
		{Threshold: 1e-2},
	} {
		e := pack(t, w, opt)
		if err := c.Load(e, w, opt); err != nil {
			t.Fatal(err)
		}
		if left := same(t, c, e, prompts(20)); left > 0 {
			t.Errorf("%+v: %d prompts were left to the caller", opt, left)
		}
	}
	// A prompt that acceleration would bring there is the caller's.
	opt := encoder.Options{PlainSteps: 2, Threshold: 1e-6}
	e := pack(t, w, opt)
	if err := c.Load(e, w, opt); err != nil {
		t.Fatal(err)
	}
	if left := same(t, c, e, read("how do i reset my password", "")); left != 1 {
		t.Errorf("%d prompts were left to the caller, want the one with words", left)
	}
}

func TestEachShapeIsCapturedOnce(t *testing.T) {
	t.Parallel()
	c, d := setup(t)
	w := weights(t, "flowing", 32)
	e := pack(t, w, encoder.Options{})
	if err := c.Load(e, w, encoder.Options{}); err != nil {
		t.Fatal(err)
	}
	asked := read("how do i reset my password", "where is my order")
	for range 3 {
		same(t, c, e, asked)
	}
	before := d.Calls()
	same(t, c, e, asked)
	if calls := d.Calls() - before; calls != 2 || d.Graphs() != 4 || d.Launches() != 4 {
		t.Errorf("a batch takes %d calls, %d graphs and %d kernels ran; want a launch and a wait each", calls, d.Graphs(), d.Launches())
	}
}

// gaussian fills a slice.
func gaussian(r *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

func TestSearchFindsWhatACoreFinds(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	r := rand.New(rand.NewPCG(3, 4))
	for _, s := range []struct{ n, dim, queries, k int }{
		{0, 16, 2, 3}, {1, 16, 1, 1}, {63, 20, 3, 32}, {64, 16, 33, 5}, {65, 36, 2, 256}, {1000, 128, 32, 32}, {5000, 8, 7, 40}, {140_000, 4, 2, 32},
	} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			vectors := gaussian(r, s.n*s.dim)
			if s.n > 40 {
				vectors[20*s.dim] = float32(math.NaN()) // never found
				copy(vectors[31*s.dim:32*s.dim], vectors[30*s.dim:31*s.dim])
			}
			rows := kernel.NewRows(s.dim).Append(vectors)
			queries := make([]kernel.Query, s.queries)
			some, none := kernel.NewBitmap(s.n), kernel.Bitmap{}
			for i := range s.n {
				if r.IntN(3) > 0 {
					some.Set(i)
				}
			}
			for i := range queries {
				queries[i].Vector = gaussian(r, s.dim)
				queries[i].Allowed = [...]kernel.Bitmap{nil, some, some[:len(some)/2], none}[i%4]
			}
			if err := c.Place(rows); err != nil {
				t.Fatal(err)
			}
			got, want := make([][]kernel.Hit, s.queries), make([][]kernel.Hit, s.queries)
			if err := c.Top(rows, queries, s.k, got); err != nil {
				t.Fatal(err)
			}
			var scanner kernel.Scanner
			scanner.TopManyExact(rows, queries, s.k, want)
			for i := range want {
				if len(got[i]) != len(want[i]) {
					t.Fatalf("query %d has %d hits, want %d", i, len(got[i]), len(want[i]))
				}
				for j, w := range want[i] {
					// Rows whose scores are within rounding may change places.
					if g := got[i][j]; math.Abs(float64(g.Score-w.Score)) > 1e-4 ||
						g.Row != w.Row && math.Abs(float64(kernel.Dot(rows.Row(g.Row), queries[i].Vector)-w.Score)) > 1e-4 {
						t.Fatalf("query %d: hit %d is %+v, want %+v", i, j, g, w)
					}
				}
			}
		})
	}
}

func TestOnlyNewExemplarsGoUp(t *testing.T) {
	t.Parallel()
	c, d := setup(t)
	r := rand.New(rand.NewPCG(5, 6))
	const dim = 16
	first := kernel.NewRows(dim).Append(gaussian(r, 4*kernel.BlockRows*dim))
	if err := c.Place(first); err != nil {
		t.Fatal(err)
	}
	second := first.Append(gaussian(r, 30*dim))
	before := d.Calls()
	if err := c.Place(second); err != nil {
		t.Fatal(err)
	}
	if calls := d.Calls() - before; calls != 1 {
		t.Errorf("30 more exemplars took %d calls, want one copy", calls)
	}
	seen := kernel.NewBitmap(second.Len())
	seen.Set(second.Len() - 1)
	seen.Set(5)
	q := []kernel.Query{{Vector: second.Row(second.Len() - 1), Allowed: seen}}
	hits := make([][]kernel.Hit, 1)
	if err := c.Top(second, q, 1, hits); err != nil || hits[0][0].Row != second.Len()-1 {
		t.Errorf("the last exemplar is not found: %v %v", hits, err)
	}
	if err := c.Top(first, q, 1, hits); !errors.Is(err, cuda.ErrNotHere) {
		t.Errorf("a memory that is not on the card gives %v", err)
	}
	// A memory with other rows at the same places.
	other := kernel.NewRows(dim).Append(gaussian(r, (3*kernel.BlockRows+7)*dim))
	if err := c.Place(other); err != nil {
		t.Fatal(err)
	}
	q[0].Vector = other.Row(5)
	if err := c.Top(other, q, 1, hits); err != nil || math.Abs(float64(hits[0][0].Score-kernel.Dot(other.Row(hits[0][0].Row), other.Row(5)))) > 1e-4 {
		t.Errorf("the rows of the memory before answer: %v %v", hits, err)
	}
}

func TestMemoryIsReservedBeforeItIsTaken(t *testing.T) {
	t.Parallel()
	d := cudatest.New(t)
	d.Memory(64<<20, 20<<20)
	c, err := cuda.Open(cuda.Options{Library: d.Path, MemoryLimit: 50})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := weights(t, "flowing", 128)
	e := pack(t, w, encoder.Options{})
	if err := c.Load(e, w, encoder.Options{}); err != nil {
		t.Fatal(err)
	}
	same(t, c, e, prompts(4))
	used := d.Used()
	// 12 of 32 MB are left for us, and others take more.
	d.Memory(64<<20, 31<<20)
	rows := kernel.NewRows(128).Append(make([]float32, 10_000*128))
	if err := c.Place(rows); !errors.Is(err, cuda.ErrMemoryLimit) {
		t.Errorf("5 MB of exemplars beyond the limit give %v", err)
	}
	if now := d.Used(); now != used {
		t.Errorf("%d bytes are held after a refusal, %d before", now, used)
	}
	same(t, c, e, prompts(4)) // what is there goes on
	d.Memory(64<<20, 0)
	if err := c.Place(rows); err != nil {
		t.Errorf("the memory is free again: %v", err)
	}
	u, err := c.Usage()
	if err != nil || u.Used != u.Ours || u.Total != 64<<20 || u.Ours < 5<<20 {
		t.Errorf("usage %+v, %v", u, err)
	}
}

// TestEveryCallMayFail goes the whole way as often as it has calls, with another one failing
// each time: the failure comes out as an error, nothing is answered from a card that failed,
// and closing it gives everything back.
func TestEveryCallMayFail(t *testing.T) {
	t.Parallel()
	d := cudatest.New(t)
	w, rows := weights(t, "flowing", 16), kernel.NewRows(16).Append(gaussian(rand.New(rand.NewPCG(1, 1)), 600*16))
	e := pack(t, w, encoder.Options{})
	asked := read("how do i reset my password")
	way := func() error {
		c, err := cuda.Open(cuda.Options{Library: d.Path})
		if err != nil {
			return err
		}
		defer c.Close()
		h, infos, hits := make([]float32, 16), make([]encoder.Info, 1), make([][]kernel.Hit, 1)
		steps := []func() error{
			func() error { return c.Load(e, w, encoder.Options{}) },
			func() error { return c.Encode(e, asked, h, infos) },
			func() error { return c.Place(rows) },
			func() error { return c.Top(rows, []kernel.Query{{Vector: h}}, 4, hits) },
			func() error { _, err := c.Usage(); return err },
		}
		for i, step := range steps {
			if err := step(); err != nil {
				var broken *cuda.DriverError
				if !errors.As(err, &broken) {
					return fmt.Errorf("no driver error: %w", err)
				}
				for _, later := range steps[i:] {
					if later() == nil {
						return errors.New("a card that failed goes on")
					}
				}
				return err
			}
		}
		return nil
	}
	before := d.Calls()
	if err := way(); err != nil {
		t.Fatal(err)
	}
	calls := d.Calls() - before
	if calls < 50 {
		t.Fatalf("the whole way has %d calls only", calls)
	}
	failed, unnoticed := int64(0), []int64{}
	for n := int64(1); n <= calls; n++ {
		d.Fail(n, 1, cudatest.LaunchFails)
		err := way()
		if err != nil {
			failed++
			if !strings.Contains(err.Error(), "CUDA_ERROR_LAUNCH_FAILED") {
				t.Errorf("call %d of %d fails with: %v", n, calls, err)
			}
		}
		if err == nil {
			unnoticed = append(unnoticed, n)
		}
		if d.Used() != 0 {
			t.Fatalf("%d bytes are held after call %d of %d failed", d.Used(), n, calls)
		}
	}
	// Those of Close alone may fail unnoticed.
	if failed < calls-3 {
		t.Errorf("%d of %d failures came out; not those of calls %v", failed, calls, unnoticed)
	}
}

func TestALostCardStaysLost(t *testing.T) {
	t.Parallel()
	c, d := setup(t)
	w := weights(t, "layered", 16)
	e := pack(t, w, encoder.Options{})
	if err := c.Load(e, w, encoder.Options{}); err != nil {
		t.Fatal(err)
	}
	d.Lose(cudatest.Uncorrected)
	h, infos := make([]float32, 16), make([]encoder.Info, 1)
	var broken *cuda.DriverError
	if err := c.Encode(e, read("hello"), h, infos); !errors.As(err, &broken) || broken.Name != "CUDA_ERROR_ECC_UNCORRECTABLE" {
		t.Errorf("a lost card gives %v", err)
	}
	d.Lose(0)
	if err := c.Encode(e, read("hello"), h, infos); err == nil {
		t.Error("a card that was lost computes without having been opened again")
	}
}

func TestCardsAreListed(t *testing.T) {
	t.Parallel()
	d := cudatest.New(t)
	d.Devices(3)
	cards, err := cuda.List(d.Path)
	if err != nil || len(cards) != 3 {
		t.Fatalf("%d cards, %v; want 3", len(cards), err)
	}
	if c := cards[1]; c.Name != "Stand-in 1" || c.Capability != "7.5" || c.MemoryMB != 1024 || c.UUID != "10111213-1415-1617-1819-1a1b1c1d1e1f" {
		t.Errorf("card 1 is %+v", c)
	}
	if _, err := cuda.List("libcuda-that-is-not-there.so"); !errors.Is(err, cuda.ErrNoDriver) {
		t.Errorf("without a driver: %v", err)
	}
}
