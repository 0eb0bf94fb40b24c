package learn

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// train runs all steps and returns the losses.
func train(t testing.TB, tr *Trainer) []float64 {
	t.Helper()
	var losses []float64
	for tr.Done() < tr.Total() {
		loss, err := tr.Step(context.Background())
		if err != nil {
			t.Fatalf("step %d: %v", tr.Done(), err)
		}
		losses = append(losses, loss)
	}
	return losses
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// accuracy is the share of examples whose nearest prototype is their own.
func accuracy(t testing.TB, w encoder.Weights, prototypes []float32, examples []Example) float64 {
	t.Helper()
	enc, err := w.Encoder(encoder.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := enc.Dim()
	h, s, right := make([]float32, d), enc.NewScratch(), 0
	for i := range examples {
		if info := enc.Encode(&examples[i].Prompt, h, s); !info.Converged {
			t.Errorf("example %d does not converge: %+v", i, info)
		}
		best, at := float32(-2), -1
		for l := 0; l*d < len(prototypes); l++ {
			if c := kernel.Dot(h, prototypes[l*d:(l+1)*d]); c > best {
				best, at = c, l
			}
		}
		if at == examples[i].Label {
			right++
		}
	}
	return float64(right) / float64(len(examples))
}

// orders are prompts that only word order tells apart, in ever new words.
func orders() (taught, held []Example) {
	names := []string{"anna", "ben", "carl", "dora", "emil", "fritz", "gerd", "hanna"}
	for i, a := range names {
		for j, b := range names {
			if i == j {
				continue
			}
			into := &taught
			if (i+2*j)%5 == 0 {
				into = &held
			}
			*into = append(*into,
				read(a+" owes money to "+b+" whom "+a+" knows", 0),
				read("money "+a+" to owes "+b+" knows "+a+" whom", 1))
		}
	}
	return taught, held
}

func TestBothArchitecturesLearnToAnswerNewPhrasings(t *testing.T) {
	t.Parallel()
	for name, w := range architectures(32, 1) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrainer(t, w, task(10, 1), Options{Seed: 1})
			losses := train(t, tr)
			// Not to zero: word dropout takes the deciding word away now and then.
			if first, last := mean(losses[:10]), mean(losses[len(losses)-10:]); last > 0.7*first {
				t.Errorf("loss went from %.3f to %.3f, want at most 0.7 of it", first, last)
			}
			if got := accuracy(t, tr.Weights(), tr.Prototypes(), task(20, 99)); got < 0.97 {
				t.Errorf("accuracy on other phrasings %.3f, want at least 0.97", got)
			}
		})
	}
}

func TestWordOrderIsLearned(t *testing.T) {
	t.Parallel()
	taught, held := orders()
	for name, w := range architectures(32, 1) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrainer(t, w, taught, Options{Seed: 1, MinSteps: 400, WordDropout: None, Dropout: None})
			train(t, tr)
			if got := accuracy(t, tr.Weights(), tr.Prototypes(), held); got < 0.9 {
				t.Errorf("accuracy where only word order decides %.3f, want at least 0.9 (words alone: 0.5)", got)
			}
		})
	}
}

func TestImplicitGradientLearnsAsWell(t *testing.T) {
	t.Parallel()
	tr := newTrainer(t, architectures(32, 1)["flowing"], task(10, 1), Options{Seed: 1, Gradient: Implicit})
	train(t, tr)
	if got := accuracy(t, tr.Weights(), tr.Prototypes(), task(20, 99)); got < 0.97 {
		t.Errorf("accuracy %.3f, want at least 0.97", got)
	}
}

func TestCertificateHoldsAfterTraining(t *testing.T) {
	t.Parallel()
	tr := newTrainer(t, architectures(32, 1)["flowing"], task(10, 1), Options{Seed: 1, Rate: 0.05})
	for tr.Done() < tr.Total() {
		if _, err := tr.Step(context.Background()); err != nil {
			t.Fatal(err)
		}
		if tr.Done()%20 != 0 {
			continue
		}
		w, ok := tr.Weights().(*flow.Weights)
		if !ok {
			t.Fatalf("weights are %T", tr.Weights())
		}
		if err := w.Certify().Verify(); err != nil {
			t.Fatalf("after %d steps: %v", tr.Done(), err)
		}
	}
}

func TestSameSeedTrainsTheSameWeights(t *testing.T) {
	t.Parallel()
	for name, w := range architectures(32, 1) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := func(seed uint64) []encoder.Section {
				tr := newTrainer(t, w, task(6, 1), Options{Seed: seed, MinSteps: 30})
				train(t, tr)
				return tr.Weights().Sections()
			}
			same := func(a, b []encoder.Section) bool {
				return slices.EqualFunc(a, b, func(a, b encoder.Section) bool { return slices.Equal(a.Data, b.Data) })
			}
			first := run(5)
			if !same(first, run(5)) {
				t.Error("the same seed trained other weights")
			}
			if same(first, run(6)) {
				t.Error("another seed trained the same weights")
			}
		})
	}
}

func TestGivenWeightsAreNeverChanged(t *testing.T) {
	t.Parallel()
	for name, w := range architectures(32, 1) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := w.Clone()
			tr := newTrainer(t, w, task(6, 1), Options{MinSteps: 20})
			train(t, tr)
			for i, s := range w.Sections() {
				if !slices.Equal(s.Data, before.Sections()[i].Data) {
					t.Errorf("section %q was changed", s.Name)
				}
			}
		})
	}
}

func TestFewLessonsAreEnough(t *testing.T) {
	t.Parallel()
	for name, examples := range map[string][]Example{
		"one lesson":  {read("what is your name", 0)},
		"two":         {read("what is your name", 0), read("where do you live", 1)},
		"one answer":  {read("what is your name", 0), read("who are you", 0), read("hi", 0)},
		"five":        {read("a b c", 0), read("d e f", 1), read("g h i", 2), read("a b", 0), read("e f", 1)},
		"one word":    {read("yes", 0), read("no", 1)},
		"same prompt": {read("yes", 0), read("yes", 1), read("no", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, w := range architectures(32, 1) {
				tr := newTrainer(t, w, examples, Options{Seed: 1})
				train(t, tr)
				if name == "same prompt" {
					continue // nothing to be right about; it must only not diverge
				}
				if got := accuracy(t, tr.Weights(), tr.Prototypes(), examples); got < 1 {
					t.Errorf("accuracy on what was taught %.2f, want 1", got)
				}
			}
		})
	}
}

func TestTrainingGoesOnWithNewAnswers(t *testing.T) {
	t.Parallel()
	for name, w := range architectures(32, 1) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := slices.DeleteFunc(task(10, 1), func(e Example) bool { return e.Label >= 3 })
			first := newTrainer(t, w, old, Options{Seed: 1})
			train(t, first)

			all := task(10, 2)
			grown := append(first.Prototypes(), make([]float32, 3*32)...)
			second, err := New(first.Weights(), all, 6, grown, Options{Seed: 2, MinSteps: 60})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := second.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			losses := train(t, second)
			if losses[0] > 2 {
				t.Errorf("going on starts at a loss of %.2f, want below 2: what was learned is kept", losses[0])
			}
			if got := accuracy(t, second.Weights(), second.Prototypes(), task(20, 99)); got < 0.95 {
				t.Errorf("accuracy over old and new answers %.3f, want at least 0.95", got)
			}
		})
	}
}

func TestOnlyTouchedRowsMove(t *testing.T) {
	t.Parallel()
	w := flow.New(32, testBuckets, 1)
	examples := []Example{read("yes", 0), read("no", 1)}
	tr := newTrainer(t, w, examples, Options{MinSteps: 10})
	train(t, tr)
	after, ok := tr.Weights().(*flow.Weights)
	if !ok {
		t.Fatal("weights of another kind")
	}
	touched := map[uint32]bool{}
	for _, e := range examples {
		for _, f := range e.Prompt.Features {
			touched[f] = true
		}
	}
	for row := range uint32(testBuckets) {
		moved := !slices.Equal(w.Table[row*32:(row+1)*32], after.Table[row*32:(row+1)*32])
		if moved != touched[row] || (after.Seen[row] > 0) != touched[row] {
			t.Errorf("row %d: moved %v, counted %v, in the examples %v", row, moved, after.Seen[row], touched[row])
		}
	}
}

func TestDivergenceIsNoticedAndLeavesTheWeights(t *testing.T) {
	t.Parallel()
	tr := newTrainer(t, flow.New(32, testBuckets, 1), task(4, 1), Options{})
	for range 3 {
		if _, err := tr.Step(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	// A number of the head goes bad, as an overflow would make it.
	kept := tr.head.data[5]
	tr.head.data[5] = float32(math.NaN())
	before := tr.Weights().Clone()
	_, err := tr.Step(context.Background())
	if !errors.Is(err, ErrDiverged) {
		t.Fatalf("error %v, want %v", err, ErrDiverged)
	}
	if _, again := tr.Step(context.Background()); !errors.Is(again, ErrDiverged) {
		t.Errorf("step after divergence: error %v, want %v", again, ErrDiverged)
	}
	tr.head.data[5] = kept
	after := tr.Weights()
	for i, s := range before.Sections() {
		if s.Name != "head" && !slices.Equal(s.Data, after.Sections()[i].Data) {
			t.Errorf("section %q moved in the diverged step", s.Name)
		}
	}
}

func TestStepsStopWithContextAndClose(t *testing.T) {
	t.Parallel()
	tr, err := New(flow.New(32, testBuckets, 1), task(4, 1), 6, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tr.Step(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
	if _, err := tr.Step(context.Background()); err != nil {
		t.Errorf("a cancelled step must not end the run: %v", err)
	}
	if err := tr.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := tr.Step(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: error %v, want %v", err, ErrClosed)
	}
	if err := tr.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}

func TestWrongInputIsRefused(t *testing.T) {
	t.Parallel()
	w := flow.New(32, testBuckets, 1)
	good := task(2, 1)
	bent := func(f func(*Example)) []Example {
		e := read("what is this", 0)
		f(&e)
		return []Example{e}
	}
	for name, c := range map[string]struct {
		examples   []Example
		labels     int
		prototypes []float32
		opt        Options
	}{
		"no examples":      {nil, 1, nil, Options{}},
		"no words":         {[]Example{{}}, 1, nil, Options{}},
		"no labels":        {good, 0, nil, Options{}},
		"label too high":   {good, 3, nil, Options{}},
		"prototypes":       {good, 6, make([]float32, 7), Options{}},
		"feature too high": {bent(func(e *Example) { e.Prompt.Features[0] = testBuckets }), 1, nil, Options{}},
		"offsets":          {bent(func(e *Example) { e.Prompt.Offsets = e.Prompt.Offsets[:2] }), 1, nil, Options{}},
		"too many words":   {bent(func(e *Example) { e.Prompt.Words = text.MaxWords + 1 }), 1, nil, Options{}},
		"dropout":          {good, 6, nil, Options{Dropout: 1}},
		"batch":            {good, 6, nil, Options{Batch: maxBatch + 1}},
		"rate":             {good, 6, nil, Options{Rate: -2}},
		"rate NaN":         {good, 6, nil, Options{Rate: math.NaN()}},
		"epochs":           {good, 6, nil, Options{Epochs: -1}},
	} {
		if _, err := New(w, c.examples, c.labels, c.prototypes, c.opt); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: error %v, want %v", name, err, ErrOptions)
		}
	}
}

func TestExamplesWithoutWordsAreLeftOut(t *testing.T) {
	t.Parallel()
	tr := newTrainer(t, flow.New(32, testBuckets, 1), append(task(2, 1), read("", 0)), Options{MinSteps: 5})
	train(t, tr)
}

func TestLongPromptsTrain(t *testing.T) {
	t.Parallel()
	long := ""
	for range text.MaxWords {
		long += "word "
	}
	examples := []Example{read(long, 0), read("short", 1)}
	for _, w := range architectures(32, 1) {
		tr := newTrainer(t, w, examples, Options{MinSteps: 60, WordDropout: None})
		train(t, tr)
		if got := accuracy(t, tr.Weights(), tr.Prototypes(), examples); got < 1 {
			t.Errorf("accuracy %.2f, want 1", got)
		}
	}
}

// BenchmarkStep is one minibatch of 64 prompts of about 7 words.
func BenchmarkStep(b *testing.B) {
	for name, dim := range map[string]int{"d128": 128, "d256": 256} {
		b.Run(name, func(b *testing.B) {
			tr := newTrainer(b, flow.New(dim, testBuckets, 1), task(40, 1), Options{})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tr.Step(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
