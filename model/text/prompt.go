// Package text turns a prompt into words and hashed features, and compares
// prompts word by word. It knows nothing of models or vectors.
package text

// MaxWords is how many words of a prompt reach the encoder; the rest only
// count for the comparison of whole prompts.
const MaxWords = 64

// maxWordRunes bounds the n-grams of one word: a prompt may be one endless
// run of letters. The word feature still covers all of it.
const maxWordRunes = 40

// Prompt is a prompt as the encoder sees it. Its slices are reused by the next
// Read into the same value.
type Prompt struct {
	// Words is the number of words kept, 0 to MaxWords; 0 only where the text
	// holds nothing that can be seen.
	Words int
	// Features are the bucket ids of all words, word by word.
	Features []uint32
	// Offsets has Words+1 entries; the features of word t are
	// Features[Offsets[t]:Offsets[t+1]], and there is at least one.
	Offsets []int32
	// Keys are 64-bit hashes of the folded words [Words], whatever the number
	// of buckets.
	Keys []uint64
	// Dropped is the number of words beyond MaxWords.
	Dropped int

	folded []byte  // the folded words back to back
	ends   []int32 // word t is folded[ends[t-1]:ends[t]]
	marks  []bool  // word t is a symbol, not letters or digits
	normed []byte  // scratch of the Unicode normalisation
	starts []int32 // scratch: where the runes of one word start
}

// Word returns the folded word t. It is valid until the next Read.
func (p *Prompt) Word(t int) []byte {
	var from int32
	if t > 0 {
		from = p.ends[t-1]
	}
	return p.folded[from:p.ends[t]]
}

// Symbol reports whether word t is a symbol: neither letters nor digits.
func (p *Prompt) Symbol(t int) bool { return p.marks[t] }

// Reader turns text into features. It holds no state and may be shared.
type Reader struct {
	// Buckets is the number of rows of the embedding table.
	Buckets uint32
}

// Read fills p with the words and features of s: of each word the word itself
// and the 3-, 4- and 5-grams of <word>, in the manner of fastText (Bojanowski
// et al., 1607.04606). Once p has grown it allocates nothing.
func (r Reader) Read(p *Prompt, s string) {
	p.split(s)
	r.features(p)
}

// ReadWord is Read of a word that comes from a Form.
func (r Reader) ReadWord(p *Prompt, word []byte) {
	p.normed = append(p.normed[:0], word...)
	p.cut()
	r.features(p)
}

// features fills in what is hashed of the words of p.
func (r Reader) features(p *Prompt) {
	p.Features, p.Offsets, p.Keys = p.Features[:0], append(p.Offsets[:0], 0), p.Keys[:0]
	for t := range p.Words {
		w := p.Word(t)
		key := hashWord(w)
		p.Keys = append(p.Keys, key)
		p.Features = append(p.Features, r.bucket(key))
		p.grams(r, w)
		p.Offsets = append(p.Offsets, int32(len(p.Features)))
	}
}

func (r Reader) bucket(h uint64) uint32 { return uint32(h % uint64(max(r.Buckets, 1))) }

// grams appends the n-grams of <w>.
func (p *Prompt) grams(r Reader, w []byte) {
	p.starts = runeStarts(p.starts[:0], w)
	runes := len(p.starts) - 1
	// With its two borders the word has runes+2 symbols; border symbol 0 is
	// '<' and border symbol runes+1 is '>'.
	for n := 3; n <= 5; n++ {
		for i := 0; i+n <= runes+2; i++ {
			from, to := max(i-1, 0), min(i+n-1, runes)
			h := hashGram(w[p.starts[from]:p.starts[to]], n, i == 0, i+n == runes+2)
			p.Features = append(p.Features, r.bucket(h))
		}
	}
}

// runeStarts appends the byte offsets at which the first maxWordRunes runes of
// w start, and the offset after the last of them.
func runeStarts(dst []int32, w []byte) []int32 {
	for i := 0; i < len(w) && len(dst) < maxWordRunes; i++ {
		if w[i]&0xC0 != 0x80 {
			dst = append(dst, int32(i))
		}
	}
	end := len(w)
	if len(dst) == maxWordRunes {
		for i := int(dst[len(dst)-1]) + 1; i < len(w); i++ {
			if w[i]&0xC0 != 0x80 {
				end = i
				break
			}
		}
	}
	return append(dst, int32(end))
}
