// Package pretrain makes a base: a table of feature rows and the head of the
// mean path, trained on free text so that prompts of like meaning lie near each
// other before anything is taught. The loss is symmetric InfoNCE over pairs of
// texts (van den Oord et al., 1807.03748) drawn from synonyms, glosses, dialogue
// and sentences; see the recipe in docs/architecture/base.md.
package pretrain

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/nexus-continuum/nexus/model/text"
)

// Form is how a source file writes its text.
type Form int

// The forms of source files.
const (
	// Synonyms has a term, a tab and a like term or its definition a line.
	Synonyms Form = iota
	// Replies has an utterance, a tab and its reply a line.
	Replies
	// Groups has a group, a tab and an utterance a line; one group, one meaning.
	Groups
	// Paragraphs has a paragraph a line, its sentences parted by " ||| ".
	Paragraphs
)

// FormOf tells the form by the name of a file, such as wn.syn.tsv.gz.
func FormOf(name string) (Form, bool) {
	for _, f := range []struct {
		part string
		form Form
	}{{".syn.", Synonyms}, {".gloss.", Synonyms}, {".resp.", Replies}, {".qa.", Replies}, {".group.", Groups}, {".para.", Paragraphs}} {
		if strings.Contains(name, f.part) {
			return f.form, true
		}
	}
	return 0, false
}

// maxLine bounds one line of a source.
const maxLine = 1 << 20

// maxTextWords bounds the words kept of one text.
const maxTextWords = 48

// Corpus is text by word ids, ready to be drawn from.
type Corpus struct {
	reader text.Reader
	prompt text.Prompt

	ids      map[uint64]int32 // hash of a word → its id
	features []uint32         // of word w: features[offsets[w]:offsets[w+1]]
	offsets  []int32
	counts   []float64 // occurrences of each word, for subsampling

	words  []int32 // of text t: words[starts[t]:starts[t+1]]
	starts []int

	pools     []*pool
	sentences *pool // every sentence of every source, for word halves
	teacher   *teacher
}

// pool is one source of pairs.
type pool struct {
	name   string
	form   Form
	gloss  bool       // the second text of a pair defines the first
	pairs  [][2]int32 // text ids
	groups [][]int32  // text ids by group
	upTo   []float64  // cumulated weights of the groups
	texts  []int32    // sentences, where halves are drawn
}

// NewCorpus makes an empty corpus for a table of so many buckets.
func NewCorpus(buckets int) *Corpus {
	return &Corpus{
		reader: text.Reader{Buckets: uint32(buckets)},
		ids:    map[uint64]int32{}, offsets: []int32{0}, starts: []int{0},
		sentences: &pool{name: "halves", form: Paragraphs},
	}
}

// Add reads one source. It returns the number of lines that held something.
func (c *Corpus) Add(name string, form Form, r io.Reader) (int, error) {
	p := &pool{name: name, form: form, gloss: strings.Contains(name, ".gloss.")}
	groups := map[string]int{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<16), maxLine)
	used, number := 0, 0
	for lines.Scan() {
		number++
		if form == Paragraphs {
			used += c.addParagraph(p, lines.Text())
			continue
		}
		left, right, ok := strings.Cut(lines.Text(), "\t")
		if !ok {
			return used, fmt.Errorf("%s: line %d: want two columns parted by a tab", name, number)
		}
		b := c.text(right)
		if b < 0 {
			continue
		}
		if form == Groups {
			g, known := groups[left]
			if !known {
				g = len(p.groups)
				groups[left] = g
				p.groups = append(p.groups, nil)
			}
			p.groups[g] = append(p.groups[g], b)
			c.sentence(b)
		} else {
			a := c.text(left)
			if a < 0 {
				continue
			}
			p.pairs = append(p.pairs, [2]int32{a, b})
			if form == Replies {
				c.sentence(a)
			}
		}
		used++
	}
	if err := lines.Err(); err != nil {
		return used, fmt.Errorf("%s: line %d: %w", name, number+1, err)
	}
	p.groups = slices.DeleteFunc(p.groups, func(g []int32) bool { return len(g) < 2 })
	total := 0.0
	for _, g := range p.groups {
		total += math.Pow(float64(len(g)), groupPower)
		p.upTo = append(p.upTo, total)
	}
	if len(p.pairs)+len(p.groups) > 0 {
		c.pools = append(c.pools, p)
	}
	return used, nil
}

// addParagraph keeps the sentences, and neighbours as pairs.
func (c *Corpus) addParagraph(p *pool, line string) int {
	before, used := int32(-1), 0
	for s := range strings.SplitSeq(line, " ||| ") {
		t := c.text(s)
		if t < 0 {
			before = -1
			continue
		}
		used++
		c.sentence(t)
		if before >= 0 {
			p.pairs = append(p.pairs, [2]int32{before, t})
		}
		before = t
	}
	return used
}

// minHalves is the least number of words of a sentence that is halved.
const minHalves = 4

func (c *Corpus) sentence(t int32) {
	if c.starts[t+1]-c.starts[t] >= minHalves {
		c.sentences.texts = append(c.sentences.texts, t)
	}
}

// text stores s and returns its id, or -1 if it has no words.
func (c *Corpus) text(s string) int32 {
	c.reader.Read(&c.prompt, s)
	n := min(c.prompt.Words, maxTextWords)
	if n == 0 {
		return -1
	}
	for t := range n {
		key := c.prompt.Keys[t]
		id, ok := c.ids[key]
		if !ok {
			id = int32(len(c.counts))
			c.ids[key] = id
			c.features = append(c.features, c.prompt.Features[c.prompt.Offsets[t]:c.prompt.Offsets[t+1]]...)
			c.offsets = append(c.offsets, int32(len(c.features)))
			c.counts = append(c.counts, 0)
		}
		c.counts[id]++
		c.words = append(c.words, id)
	}
	c.starts = append(c.starts, len(c.words))
	return int32(len(c.starts) - 2)
}

func (c *Corpus) wordsOf(t int32) []int32 { return c.words[c.starts[t]:c.starts[t+1]] }

// digest identifies the texts and how they stand in their sources.
func (c *Corpus) digest() string {
	h := sha256.New()
	put := func(x any) { _ = binary.Write(h, binary.LittleEndian, x) } // a hash takes everything
	put(c.words)
	for _, s := range c.starts {
		put(int64(s))
	}
	for _, p := range append(c.pools, c.sentences) {
		h.Write([]byte(p.name))
		put(p.pairs)
		put(p.texts)
		for _, g := range p.groups {
			put(int64(len(g)))
			put(g)
		}
	}
	if c.teacher != nil {
		put(c.teacher.texts)
		h.Write([]byte(c.teacher.digest))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Size tells how much was read.
func (c *Corpus) Size() (texts, distinctWords int) { return len(c.starts) - 1, len(c.counts) }
