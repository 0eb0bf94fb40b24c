package pretrain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/kernel"
)

const taughtTexts = "where is the bridge\nhow far is the old town\n\nthe doctor is glad\na large car\nhello you\n" +
	"good day to you\nboats on the river\nat half past nine\nevery morning\nthe physician is happy\na big automobile\nsee you at night\n"

// taughtVectors has like vectors for like texts, all in one narrow cone, as
// encoders have them.
func taughtVectors(width int) []float32 {
	rng := rand.New(rand.NewPCG(11, 11))
	rows := make([][]float32, strings.Count(taughtTexts, "\n"))
	for i := range rows {
		rows[i] = make([]float32, width)
		for k := range rows[i] {
			rows[i][k] = float32(1 + 0.3*rng.NormFloat64())
		}
	}
	for _, like := range [][2]int{{3, 10}, {4, 11}} {
		copy(rows[like[1]], rows[like[0]])
	}
	return slices.Concat(rows...)
}

func asBytes(t *testing.T, v []float32) []byte {
	t.Helper()
	data, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func taughtCorpus(t *testing.T) *Corpus {
	t.Helper()
	c := corpus(t)
	data := asBytes(t, taughtVectors(8))
	if n, err := c.Teach(strings.NewReader(taughtTexts), bytes.NewReader(data), int64(len(data))); err != nil || n != 13 {
		t.Fatalf("%d lines, %v; want 13", n, err)
	}
	return c
}

func taughtTrainer(t *testing.T, steps int) *Trainer {
	t.Helper()
	tr, err := New(taughtCorpus(t), Options{Dim: 16, Buckets: 512, Steps: steps, Batch: 80, Rate: 1e-2, Seed: 1, Gemm: kernel.NewBLAS()})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// Texts that the teacher holds for alike lie nearer each other after training
// than without it, though they share no word with meaning.
func TestTeacherDrawsAlikeTogether(t *testing.T) {
	t.Parallel()
	cosine := func(tr *Trainer) float32 {
		if err := tr.Run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		of := func(s string) []float32 {
			c, n := tr.corpus, tr.net
			n.b.draw = &draw{words: c.wordsOf(c.text(s)), taught: []float32{}}
			mean := make([]float32, n.dim)
			for _, w := range n.b.draw.words {
				for _, f := range c.features[c.offsets[w]:c.offsets[w+1]] {
					add(mean, n.table[int(f)*n.dim:][:n.dim])
				}
			}
			kernel.ReLU(mean)
			kernel.Normalise(mean)
			return mean
		}
		return kernel.Dot(of("a large car"), of("a big automobile")) - kernel.Dot(of("a large car"), of("the doctor is glad"))
	}
	plain, taught := cosine(trainer(t, 200)), cosine(taughtTrainer(t, 200))
	if taught < plain+0.05 {
		t.Errorf("like texts lie nearer than unlike ones by %.3f with the teacher, %.3f without", taught, plain)
	}
}

// With a teacher, too, a run that is put down and taken up ends as one that was
// not, on any number of processors.
func TestTaughtRunIsTheSameHoweverInterrupted(t *testing.T) {
	t.Parallel()
	whole := taughtTrainer(t, 20)
	whole.net.procs = 3
	if err := whole.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	first, enough := taughtTrainer(t, 20), errors.New("enough")
	var state bytes.Buffer
	err := first.Run(t.Context(), func(step int, _ float64) error {
		if step < 7 {
			return nil
		}
		return errors.Join(first.Save(&state), enough)
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if err := trainer(t, 20).Restore(state.Bytes()); !errors.Is(err, ErrState) {
		t.Errorf("a run without a teacher takes up one with a teacher: %v", err)
	}
	second := taughtTrainer(t, 20)
	second.net.procs = 1
	if err := second.Restore(state.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(whole.Base().Table, second.Base().Table) {
		t.Error("the base is another one after an interruption")
	}
}

func TestBadTeacher(t *testing.T) {
	t.Parallel()
	good := taughtVectors(8)
	infinite := slices.Clone(good)
	infinite[20] = float32(math.Inf(1))
	for _, c := range []struct {
		what, texts string
		vectors     []float32
		want        string
	}{
		{"no texts", "", good, "for 0 lines"},
		{"a number too many", taughtTexts, append(slices.Clone(good), 1), "for 13 lines"},
		{"a line too many", taughtTexts + "one more\n", good, "for 14 lines"},
		{"one that is infinite", taughtTexts, infinite, "line 3 is not finite"},
		{"more numbers than texts", taughtTexts, taughtVectors(16), "too few"},
	} {
		data := asBytes(t, c.vectors)
		_, err := corpus(t).Teach(strings.NewReader(c.texts), bytes.NewReader(data), int64(len(data)))
		if !errors.Is(err, ErrTeacher) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	data := asBytes(t, good)
	if _, err := corpus(t).Teach(strings.NewReader(taughtTexts), bytes.NewReader(data[:100]), int64(len(data))); err == nil || !strings.Contains(err.Error(), "line 4") {
		t.Errorf("vectors that end early: %v", err)
	}
}

// The main directions keep what is like and what is not.
func TestFoldedKeepsLikeness(t *testing.T) {
	t.Parallel()
	c := taughtCorpus(t)
	v, err := c.teacher.folded(16, kernel.NewBLAS())
	if err != nil {
		t.Fatal(err)
	}
	// The third line is empty, so that all after it move up by one.
	row := func(i int) []float32 { return v[i*16 : (i+1)*16] }
	if got := kernel.Dot(row(2), row(9)); got < 0.999 {
		t.Errorf("two texts of one vector have a cosine of %.4f", got)
	}
	if got := kernel.Dot(row(2), row(3)); got > 0.9 {
		t.Errorf("two texts of other vectors have a cosine of %.4f: the common mean is still in them", got)
	}
	for i := range 12 {
		if got := kernel.Norm(row(i)); math.Abs(float64(got-1)) > 1e-4 {
			t.Errorf("vector %d has the length %.5f", i, got)
		}
	}
}
