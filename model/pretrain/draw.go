package pretrain

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// Shares of the batches by sort of source (measured; see docs/architecture/base.md).
const (
	shareSynonyms   = 1.2
	shareSentences  = 0.8
	shareReplies    = 1.0
	shareGroups     = 1.2
	frequentWord    = 1e-3 // words above this share of all are thinned out in halves
	halvesNotPairs  = 0.6  // of the batches from sentences
	wordDropoutRate = 0.1
	groupPower      = 0.8 // groups of one source are drawn by their size to this power
	leastUses       = 5   // in text, of the words of a synonym
)

// draw is a batch of pairs of texts, by word ids. Side A is 0…B−1 of the texts,
// side B is B…2B−1.
type draw struct {
	words  []int32
	starts []int
	keysA  []uint64 // pairs with an equal key are no contrast to each other
	keysB  []uint64
	reply  bool // side B goes through the reply matrix
	// taught are the teacher's vectors of the texts [2B×d], which are no pairs
	// then; nil in a batch of pairs.
	taught []float32
}

// sampler draws batches; it holds no random state of its own.
type sampler struct {
	corpus *Corpus
	pools  []*pool
	upTo   []float64 // cumulated shares
	total  float64   // occurrences of all words
	taught []float32 // the teacher's vectors [texts×d], nil without one
}

func newSampler(c *Corpus) *sampler {
	s := &sampler{corpus: c}
	for _, n := range c.counts {
		s.total += n
	}
	shares := map[Form]float64{Synonyms: shareSynonyms, Paragraphs: shareSentences, Replies: shareReplies, Groups: shareGroups}
	pools := c.inUse()
	if len(c.sentences.texts) > 0 {
		pools = append(pools, c.sentences)
	}
	// Within one sort, sources share by the square root of their size, halves
	// of sentences apart.
	weights, sums := make([]float64, len(pools)), map[Form]float64{}
	for i, p := range pools {
		if p == c.sentences {
			continue
		}
		n := len(p.pairs)
		for _, g := range p.groups {
			n += len(g)
		}
		weights[i] = math.Sqrt(float64(n))
		sums[p.form] += weights[i]
	}
	at := 0.0
	for i, p := range pools {
		w := shares[p.form]
		switch {
		case p == c.sentences:
			w *= halvesNotPairs
		case p.form == Paragraphs:
			w *= (1 - halvesNotPairs) * weights[i] / sums[p.form]
		default:
			w *= weights[i] / sums[p.form]
		}
		at += w
		s.pools = append(s.pools, p)
		s.upTo = append(s.upTo, at)
	}
	return s
}

// inUse are the pools, those of synonyms and definitions without pairs of words
// that hardly stand anywhere else: a thesaurus is mostly of words that nobody
// uses, whose n-grams would take up the buckets of those that are.
func (c *Corpus) inUse() []*pool {
	uses := make([]int, len(c.counts))
	for _, p := range c.pools {
		if p.form == Synonyms {
			continue
		}
		for _, pair := range p.pairs {
			c.tally(uses, pair[:])
		}
		for _, g := range p.groups {
			c.tally(uses, g)
		}
	}
	rare := func(t int32) bool {
		return slices.ContainsFunc(c.wordsOf(t), func(w int32) bool { return uses[w] < leastUses })
	}
	pools := slices.Clone(c.pools)
	for i, p := range pools {
		if p.form != Synonyms {
			continue
		}
		used := *p
		// Of a definition only the term has to be in use.
		used.pairs = slices.DeleteFunc(slices.Clone(p.pairs), func(pair [2]int32) bool {
			return rare(pair[0]) || !p.gloss && rare(pair[1])
		})
		if len(used.pairs) > 0 {
			pools[i] = &used
		}
	}
	return pools
}

func (c *Corpus) tally(uses []int, texts []int32) {
	for _, t := range texts {
		for _, w := range c.wordsOf(t) {
			uses[w]++
		}
	}
}

// next draws one batch of n pairs, all from one source, or of 2n texts of the
// teacher.
func (s *sampler) next(n int, rng *rand.Rand) *draw {
	if s.taught != nil && rng.Float64() < shareTeacher {
		return s.lesson(n, rng)
	}
	p := s.pools[sort.SearchFloat64s(s.upTo, rng.Float64()*s.upTo[len(s.upTo)-1])]
	d := &draw{starts: []int{0}, reply: p.form == Replies}
	var sideB []int32
	endsB := []int{0}
	drop := wordDropoutRate
	if p.form == Synonyms {
		drop = 0
	}
	for range n {
		switch {
		case p == s.corpus.sentences:
			t := p.texts[rng.IntN(len(p.texts))]
			a, b := len(d.words), len(sideB)
			d.words, sideB = s.halve(t, d.words, sideB, rng)
			if len(d.words) == a || len(sideB) == b {
				// Only one half kept a word: let it stand against itself.
				d.words, sideB = append(d.words[:a], s.corpus.wordsOf(t)...), append(sideB[:b], s.corpus.wordsOf(t)...)
			}
			key := s.key(t)
			d.keysA, d.keysB = append(d.keysA, key), append(d.keysB, key)
		case p.form == Groups:
			g := sort.SearchFloat64s(p.upTo, rng.Float64()*p.upTo[len(p.upTo)-1])
			members := p.groups[g]
			i := rng.IntN(len(members))
			j := (i + 1 + rng.IntN(len(members)-1)) % len(members)
			d.words = s.keep(d.words, members[i], drop, rng)
			sideB = s.keep(sideB, members[j], drop, rng)
			d.keysA, d.keysB = append(d.keysA, uint64(g)), append(d.keysB, uint64(g))
		default:
			pair := p.pairs[rng.IntN(len(p.pairs))]
			if !d.reply && rng.Uint32()&1 == 0 {
				pair[0], pair[1] = pair[1], pair[0]
			}
			d.words = s.keep(d.words, pair[0], drop, rng)
			sideB = s.keep(sideB, pair[1], drop, rng)
			d.keysA, d.keysB = append(d.keysA, s.key(pair[0])), append(d.keysB, s.key(pair[1]))
		}
		d.starts = append(d.starts, len(d.words))
		endsB = append(endsB, len(sideB))
	}
	offset := len(d.words)
	d.words = append(d.words, sideB...)
	for _, e := range endsB[1:] {
		d.starts = append(d.starts, offset+e)
	}
	return d
}

// lesson draws 2n texts with the teacher's vectors.
func (s *sampler) lesson(n int, rng *rand.Rand) *draw {
	texts := s.corpus.teacher.texts
	dim := len(s.taught) / len(texts)
	d := &draw{starts: []int{0}, taught: make([]float32, 0, 2*n*dim)}
	for range 2 * n {
		i := rng.IntN(len(texts))
		d.words = s.keep(d.words, texts[i], wordDropoutRate, rng)
		d.starts = append(d.starts, len(d.words))
		d.taught = append(d.taught, s.taught[i*dim:(i+1)*dim]...)
	}
	return d
}

// key identifies a text by its words.
func (s *sampler) key(t int32) uint64 {
	h := uint64(14695981039346656037)
	for _, w := range s.corpus.wordsOf(t) {
		h = (h ^ uint64(uint32(w))) * 1099511628211
	}
	return h
}

// keep appends the words of text t but for those dropped, and at least one.
func (s *sampler) keep(dst []int32, t int32, drop float64, rng *rand.Rand) []int32 {
	words, at := s.corpus.wordsOf(t), len(dst)
	for _, w := range words {
		if drop == 0 || rng.Float64() >= drop {
			dst = append(dst, w)
		}
	}
	if len(dst) == at {
		dst = append(dst, words[rng.IntN(len(words))])
	}
	return dst
}

// halve parts the words of text t at random into a and b, leaving out frequent
// ones in the manner of word2vec (Mikolov et al., 1310.4546).
func (s *sampler) halve(t int32, a, b []int32, rng *rand.Rand) (_, _ []int32) {
	for _, w := range s.corpus.wordsOf(t) {
		share := s.corpus.counts[w] / s.total
		if share > frequentWord && rng.Float64() > math.Sqrt(frequentWord/share) {
			continue
		}
		if rng.Uint32()&1 == 0 {
			a = append(a, w)
		} else {
			b = append(b, w)
		}
	}
	return a, b
}
