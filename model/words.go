package model

import (
	"sync"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// wordSlots is how many words are kept, a power of two: those of everyday
// prompts, and not so many that two models, while one gives way to the other,
// would weigh much (2 MB each at d = 128). wordLocks share them out.
const (
	wordSlots = 1 << 12
	wordLocks = 1 << 6
)

// words gives the vectors of words by themselves, as the encoder sees them
// before they flow, and keeps those that came last: a word takes the place of
// another by chance.
type words struct {
	encoder encoder.Encoder
	readers sync.Pool // of *wordReader
	start   sync.Once
	locks   [wordLocks]sync.Mutex
	keys    []uint64  // by slot; 0 where there is none
	vectors []float32 // by slot, unit vectors [d]
}

// wordReader is the working memory of one caller that reads a word.
type wordReader struct {
	prompt  text.Prompt
	scratch *encoder.Scratch
}

func newWords(e encoder.Encoder) *words {
	return &words{encoder: e, readers: sync.Pool{New: func() any { return &wordReader{scratch: e.NewScratch()} }}}
}

// Dim implements memory.Words.
func (w *words) Dim() int { return w.encoder.Dim() }

// Vector implements memory.Words. In the steady state it allocates nothing.
func (w *words) Vector(dst []float32, key uint64, word []byte) {
	w.start.Do(func() {
		w.keys, w.vectors = make([]uint64, wordSlots), make([]float32, wordSlots*w.encoder.Dim())
	})
	slot, d := int(key%wordSlots), w.encoder.Dim()
	lock, kept := &w.locks[key%wordLocks], w.vectors[slot*d:(slot+1)*d]
	lock.Lock()
	hit := w.keys[slot] == key
	if hit {
		copy(dst, kept)
	}
	lock.Unlock()
	if hit {
		return
	}
	w.read(dst, word)
	lock.Lock()
	w.keys[slot] = key
	copy(kept, dst)
	lock.Unlock()
}

// read adds up the parts of a word: what is one word to memory may be several
// to the encoder.
func (w *words) read(dst []float32, word []byte) {
	r := w.readers.Get().(*wordReader) //nolint:forcetypeassert // the pool holds nothing else
	defer w.readers.Put(r)
	text.Reader{Buckets: uint32(w.encoder.Buckets())}.ReadWord(&r.prompt, word)
	w.encoder.Words(&r.prompt, r.scratch)
	d := len(dst)
	clear(dst)
	for t := range r.prompt.Words {
		kernel.Axpy(1, r.scratch.X[t*d:(t+1)*d], dst)
	}
	kernel.Normalise(dst)
}
