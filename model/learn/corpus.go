package learn

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"

	"github.com/nexus-continuum/nexus/model/text"
)

// corpus holds the examples with each distinct word and each feature once, so
// that a run needs memory for what its examples touch, not for the whole table.
type corpus struct {
	// Word w has the features slots[grams[w]:grams[w+1]]; slot s stands for row
	// rows[s] of the table.
	grams []int32
	slots []int32
	rows  []uint32

	// Example i has the words[from[i]:from[i+1]].
	from   []int32
	words  []int32
	labels []int32
}

// newCorpus interns the examples that have words.
func newCorpus(examples []Example, labels, buckets int) (*corpus, error) {
	c := &corpus{grams: []int32{0}, from: []int32{0}}
	slotOf := make([]int32, buckets) // slot+1; 0 for rows not met yet
	seed := maphash.MakeSeed()       // for collisions only: numbers follow the order of the examples
	known := make(map[uint64][]int32)
	var key []byte
	for i, e := range examples {
		p := &e.Prompt
		if e.Label < 0 || e.Label >= labels {
			return nil, fmt.Errorf("%w: example %d has label %d of %d", ErrOptions, i, e.Label, labels)
		}
		if err := checkPrompt(p, buckets); err != nil {
			return nil, fmt.Errorf("example %d: %w", i, err)
		}
		if p.Words == 0 {
			continue
		}
		for t := range p.Words {
			features := p.Features[p.Offsets[t]:p.Offsets[t+1]]
			key = key[:0]
			for _, f := range features {
				key = binary.LittleEndian.AppendUint32(key, f)
			}
			h := maphash.Bytes(seed, key)
			w, ok := c.find(known[h], features)
			if !ok {
				w = int32(len(c.grams) - 1)
				for _, f := range features {
					if slotOf[f] == 0 {
						c.rows = append(c.rows, f)
						slotOf[f] = int32(len(c.rows))
					}
					c.slots = append(c.slots, slotOf[f]-1)
				}
				c.grams = append(c.grams, int32(len(c.slots)))
				known[h] = append(known[h], w)
			}
			c.words = append(c.words, w)
		}
		c.from = append(c.from, int32(len(c.words)))
		c.labels = append(c.labels, int32(e.Label))
	}
	if len(c.labels) == 0 {
		return nil, fmt.Errorf("%w: no example has words", ErrOptions)
	}
	return c, nil
}

// find returns the word among candidates with exactly these features.
func (c *corpus) find(candidates []int32, features []uint32) (int32, bool) {
next:
	for _, w := range candidates {
		slots := c.word(w)
		if len(slots) != len(features) {
			continue
		}
		for i, s := range slots {
			if c.rows[s] != features[i] {
				continue next
			}
		}
		return w, true
	}
	return 0, false
}

// word lists the slots of word w.
func (c *corpus) word(w int32) []int32 { return c.slots[c.grams[w]:c.grams[w+1]] }

// example lists the words of example i.
func (c *corpus) example(i int) []int32 { return c.words[c.from[i]:c.from[i+1]] }

// checkPrompt makes sure that a prompt cannot lead outside the table or the
// batch: gorgonia would end the process.
func checkPrompt(p *text.Prompt, buckets int) error {
	if p.Words < 0 || p.Words > text.MaxWords || len(p.Offsets) < p.Words+1 && p.Words > 0 {
		return fmt.Errorf("%w: prompt of %d words with %d offsets", ErrOptions, p.Words, len(p.Offsets))
	}
	for t := range p.Words {
		if from, to := p.Offsets[t], p.Offsets[t+1]; from < 0 || from >= to || int(to) > len(p.Features) {
			return fmt.Errorf("%w: word %d has features %d to %d of %d", ErrOptions, t, from, to, len(p.Features))
		}
	}
	for _, f := range p.Features {
		if int(f) >= buckets {
			return fmt.Errorf("%w: feature %d of %d", ErrOptions, f, buckets)
		}
	}
	return nil
}
