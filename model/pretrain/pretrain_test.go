package pretrain

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/kernel"
)

const (
	synonyms = "car\tautomobile\nphysician\tdoctor\nhappy\tglad\nbig\tlarge\n"
	replies  = "where is the station\tit is next to the bridge\nwhat time is it\tit is half past nine\n"
	groups   = "greet\thello there\ngreet\thi you\ngreet\tgood day\nbye\tsee you later\nbye\tgood bye\n"
	prose    = "The river runs through the old town. ||| Boats carry people over it every morning. ||| At night it is quiet.\n"
)

func corpus(t *testing.T) *Corpus {
	t.Helper()
	c := NewCorpus(512)
	for _, s := range []struct{ name, body string }{{"a.syn.tsv", synonyms}, {"b.resp.tsv", replies}, {"c.group.tsv", groups}, {"d.para.txt", prose}} {
		form, ok := FormOf(s.name)
		if !ok {
			t.Fatalf("%s: no form", s.name)
		}
		if _, err := c.Add(s.name, form, strings.NewReader(s.body)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// The gradient that the net computes by hand is that of finite differences.
func TestGradient(t *testing.T) {
	t.Parallel()
	c := taughtCorpus(t)
	n := newNet(c, 16, 512, kernel.NewBLAS(), rand.New(rand.NewPCG(3, 3)))
	kernel.Scale(0.1/tableStd, n.table) // so large that a difference seldom takes a word across zero
	s := newSampler(c)
	var err error
	if s.taught, err = c.teacher.folded(16, n.gemm); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"alike", "reply", "taught"} {
		var d *draw
		for rng := rand.New(rand.NewPCG(5, 5)); d == nil || d.reply != (kind == "reply") || (d.taught != nil) != (kind == "taught"); {
			d = s.next(6, rng)
		}
		loss := func() float64 {
			rng := rand.New(rand.NewPCG(7, 7))
			n.b.draw, n.b.n = d, len(d.starts)/2
			n.index(rng)
			n.forward(rng)
			return n.loss()
		}
		check := func(what string, w []float32, i int, got float64) {
			t.Helper()
			const h = 2e-3 // small, so that ReLU seldom changes sides
			old := w[i]
			w[i] = old + h
			up := loss()
			w[i] = old - h
			down := loss()
			w[i] = old
			if want := (up - down) / (2 * h); math.Abs(got-want) > 3e-2*(math.Abs(want)+0.3) {
				t.Errorf("%s, %s[%d]: gradient %.5f, finite difference %.5f", kind, what, i, got, want)
			}
		}
		loss()
		n.backward()
		heads, replyGrad := slices.Clone(n.sideA().g), slices.Clone(n.reply.g)
		rows := slices.Clone(n.b.rows)
		grads := make([][]float32, len(rows))
		for k := range rows {
			grads[k] = make([]float32, n.dim)
			for _, w := range n.b.wordsOf[n.b.wordStart[k]:n.b.wordStart[k+1]] {
				add(grads[k], n.b.ge[int(w)*n.dim:][:n.dim])
			}
		}
		rng := rand.New(rand.NewPCG(9, 9))
		for range 20 {
			i := rng.IntN(len(heads))
			check("matrix", n.sideA().w, i, float64(heads[i]))
			if d.reply {
				check("reply", n.reply.w, i, float64(replyGrad[i]))
			}
			k, j := rng.IntN(len(rows)), rng.IntN(n.dim)
			check("table", n.table, int(rows[k])*n.dim+j, float64(grads[k][j]))
		}
	}
}

// trainer is one that takes so many steps on the corpus above. Its batches are
// larger than a piece of parallel work.
func trainer(t *testing.T, steps int) *Trainer {
	t.Helper()
	tr, err := New(corpus(t), Options{Dim: 16, Buckets: 512, Steps: steps, Batch: 80, Rate: 1e-2, Seed: 1, Gemm: kernel.NewBLAS()})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// Training lowers the loss, and makes the same base on any number of
// processors.
func TestTrain(t *testing.T) {
	t.Parallel()
	run := func(procs int) (*Base, []float64) {
		var losses []float64
		tr := trainer(t, 120)
		tr.net.procs = procs
		if err := tr.Run(t.Context(), func(_ int, l float64) error { losses = append(losses, l); return nil }); err != nil {
			t.Fatal(err)
		}
		return tr.Base(), losses
	}
	one, losses := run(1)
	three, _ := run(3)
	if !slices.Equal(one.Table, three.Table) || !slices.Equal(one.Head, three.Head) {
		t.Error("one processor and three gave two bases")
	}
	mean := func(x []float64) (m float64) {
		for _, v := range x {
			m += v / float64(len(x))
		}
		return m
	}
	if first, last := mean(losses[:20]), mean(losses[100:]); last > 0.9*first {
		t.Errorf("loss went from %.3f to %.3f only", first, last)
	}
}

// A run that is put down and taken up ends as one that was not.
func TestRestore(t *testing.T) {
	t.Parallel()
	whole := trainer(t, 20)
	if err := whole.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	first := trainer(t, 20)
	enough := errors.New("enough")
	var state bytes.Buffer
	err := first.Run(t.Context(), func(step int, _ float64) error {
		if step < 7 {
			return nil
		}
		return cmp.Or(first.Save(&state), enough)
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	second := trainer(t, 20)
	if err := second.Restore(state.Bytes()); err != nil {
		t.Fatal(err)
	}
	if second.Done() != 7 {
		t.Errorf("taken up at step %d, put down at 7", second.Done())
	}
	if err := second.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(whole.Base().Table, second.Base().Table) || !slices.Equal(whole.Base().Head, second.Base().Head) {
		t.Error("the base is another one after an interruption")
	}
}

// A state that is damaged or of another run is refused and changes nothing.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	var state bytes.Buffer
	if err := trainer(t, 20).Save(&state); err != nil {
		t.Fatal(err)
	}
	good := state.Bytes()
	flipped := slices.Clone(good)
	flipped[len(flipped)/2] ^= 1
	tr := trainer(t, 20)
	before := slices.Clone(tr.Base().Table)
	for what, data := range map[string][]byte{"no": nil, "a short": good[:len(good)-1], "a damaged": flipped, "only magic": good[:12]} {
		if err := tr.Restore(data); !errors.Is(err, ErrState) {
			t.Errorf("%s state: %v", what, err)
		}
	}
	if err := trainer(t, 21).Restore(good); !errors.Is(err, ErrState) {
		t.Errorf("a state of another number of steps: %v", err)
	}
	if !slices.Equal(before, tr.Base().Table) {
		t.Error("a refused state changed the table")
	}
}

// A base survives its file but for the rounding to int8.
func TestEncodeDecode(t *testing.T) {
	t.Parallel()
	tr := trainer(t, 5)
	if err := tr.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b := tr.Base()
	b.Recipe = Recipe{Steps: 5, Sources: []Source{{Name: "a.syn.tsv", SHA256: "00", Licence: "none"}}}
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if got.Recipe.Steps != 5 || got.Recipe.Sources[0].Name != "a.syn.tsv" {
		t.Errorf("recipe came back as %+v", got.Recipe)
	}
	check := func(what string, want, got []float32) {
		for i, v := range want {
			row := want[i/16*16 : i/16*16+16]
			most := float64(max(slices.Max(row), -slices.Min(row)))
			if math.Abs(float64(got[i]-v)) > most/120 {
				t.Fatalf("%s[%d] = %v came back as %v", what, i, v, got[i])
			}
		}
	}
	check("table", b.Table, got.Table)
	check("head", b.Head, got.Head)
	again, err := got.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, again) {
		t.Error("a decoded base has another file")
	}
}

func TestBadSource(t *testing.T) {
	t.Parallel()
	c := NewCorpus(512)
	if _, err := c.Add("a.syn.tsv", Synonyms, strings.NewReader("car\tauto\nno tab here\n")); err == nil || !strings.Contains(err.Error(), "a.syn.tsv: line 2") {
		t.Errorf("a line without a tab: %v", err)
	}
	if _, err := New(NewCorpus(512), Options{Dim: 16, Buckets: 512, Steps: 1, Batch: 2}); !errors.Is(err, ErrEmpty) {
		t.Errorf("an empty corpus: %v", err)
	}
}

// No bytes make Decode panic or take memory that they do not hold.
func FuzzDecode(f *testing.F) {
	b := &Base{Dim: 2, Buckets: 3, Table: make([]float32, 6), Head: make([]float32, 4)}
	data, err := b.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(baseMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, err := Decode(data); err == nil && len(b.Table) != b.Dim*b.Buckets {
			t.Errorf("table of %d for %d×%d", len(b.Table), b.Buckets, b.Dim)
		} else if err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("error of another kind: %v", err)
		}
	})
}

// A base goes into fresh weights of its shape, and only of its shape; the
// encoder then gives what the mean path gives, since P₂ starts near zero.
func TestInto(t *testing.T) {
	t.Parallel()
	tr := trainer(t, 5)
	if err := tr.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b := tr.Base()
	w := flow.New(16, 512, 1)
	p2 := slices.Clone(w.P2())
	if err := b.Into(w); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(w.Table, b.Table) || !slices.Equal(w.P1(), b.Head) || !slices.Equal(w.P2(), p2) {
		t.Error("the weights are not those of the base beside their own P₂")
	}
	w.Table[0]++
	if w.Table[0] == b.Table[0] {
		t.Error("the weights share memory with the base")
	}
	if err := b.Into(flow.New(16, 1024, 1)); !errors.Is(err, encoder.ErrShape) {
		t.Errorf("another number of buckets: %v", err)
	}
}
