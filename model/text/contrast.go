package text

import (
	_ "embed"
	"slices"
	"strings"
)

// MaxAligned bounds the words of two forms that Align compares.
const MaxAligned = 48

// Contrast is what turns the meaning between two forms that are otherwise much
// alike. Each field is 0 where nothing speaks for it.
type Contrast struct {
	// Negated is 1 where one form is negated and the other is not.
	Negated float32
	// Opposite is 1 where a word of one stands for its opposite in the other:
	// on and off, enable and disable, safe and unsafe.
	Opposite float32
	// Other is 1 where both name one of a kind, and not the same: Monday and
	// Friday, Windows and Linux, 5 and 50, days and months.
	Other float32
	// Swapped is 1 where two words change their roles: from miles to km, and
	// from km to miles.
	Swapped float32
	// Asked is 1 where the forms ask with different question words.
	Asked float32
	// Same is the Dice coefficient of the words: 1 where all have a partner.
	Same float32
	// Ours and Theirs are the weights by themselves of the most telling word
	// without a partner, of the first and of the second form.
	Ours, Theirs float32
	// Beside is Ours without what people say to be polite.
	Beside float32
	// Pairs is how many words have a partner, and Shared the weight by itself of the
	// most telling of them.
	Pairs  int
	Shared float32
	// At and With are the places of the words that turn the meaning, in the
	// first and in the second form; −1 where there is none.
	At, With int
}

// Bounds of Whole: what neither form may say beyond the other, what the lesson may
// say by way of wrapping, and what they must have in common.
const (
	wholeOurs   = 0.15
	wholeTheirs = 0.3
	wholeWords  = 2
	wholeTells  = 0.3
)

// Whole reports whether two forms differ by words that tell nothing and have in
// common at least two words, one of which tells something.
func (c *Contrast) Whole() bool {
	return c.Beside <= wholeOurs && c.Theirs <= wholeTheirs && c.Shared >= wholeTells && c.Pairs >= wholeWords &&
		c.Negated+c.Opposite+c.Other+c.Swapped+c.Asked == 0
}

// Aligner compares forms. It is the working memory of one caller.
type Aligner struct {
	partner [MaxAligned]int8 // of the first form: its word in the second, −1 for none
	taken   [MaxAligned]bool // of the second form
}

// traits are what is known of a word beside its frequency.
type traits struct {
	kinds   [maxKinds]uint8 // 1 + the place of each kind it is of
	opposed [maxOpposed]uint64
	number  int16 // 1 + the number that it spells out
	ask     uint8 // the question that it asks
	role    uint8 // what a word after it is
	not     bool
	ends    bool // what it stands before is to end or not to be: cancel, stop
	able    bool // negated, or by itself, it says what one fails to do: can, find, cannot
	unsure  bool // negated and before a question it only asks: "not sure if"
}

const (
	maxKinds   = 3
	maxOpposed = 10
)

// Roles of the word after a preposition.
const (
	target = 1 // to, into
	source = 2 // from, off
	beside = 3 // than, before, after: what stands on either side is no equal
)

//go:embed opposites.txt
var oppositeWords string

//go:embed classes.txt
var kindWords string

var known = readTraits()

func readTraits() map[uint64]*traits {
	out := map[uint64]*traits{}
	of := func(w string) *traits {
		key := hashWord([]byte(w))
		if out[key] == nil {
			out[key] = &traits{}
		}
		return out[key]
	}
	for line := range strings.Lines(oppositeWords) {
		a, b, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, pair := range [][2]string{{a, b}, {b, a}} {
			t := of(pair[0])
			for i := range t.opposed {
				if t.opposed[i] == 0 {
					t.opposed[i] = hashWord([]byte(pair[1]))
					break
				}
			}
		}
	}
	kind := uint8(0)
	for line := range strings.Lines(kindWords) {
		kind++
		for _, w := range strings.Fields(line) {
			t := of(w)
			for i := range t.kinds {
				if t.kinds[i] == 0 {
					t.kinds[i] = kind
					break
				}
			}
		}
	}
	for i, w := range strings.Fields("zero one two three four five six seven eight nine ten eleven twelve") {
		of(w).number = int16(i + 1)
	}
	// Words of languages other than English are those by which people turn what they ask
	// for. One that is frequent in English too is left out: German was, Italian come,
	// Spanish sin.
	for _, w := range strings.Fields("not never no without cannot dont cant wont isnt arent wasnt doesnt didnt couldnt shouldnt wouldnt hasnt havent nor neither unable") {
		of(w).not = true
	}
	for _, w := range strings.Fields("nicht nie niemals kein keine keinen keinem keiner keines ohne pas jamais aucun aucune sans nunca jamás non senza não niet geen nooit zonder ikke inte ej nie не нет değil") {
		of(w).not = true
	}
	for _, w := range strings.Fields("stop cancel quit end terminate remove delete skip avoid prevent disable disconnect deactivate unsubscribe unsync unlink unpair undo refuse decline kündigen stornieren abbestellen beenden löschen entfernen abmelden annuler résilier arrêter supprimer cancelar anular eliminar quitar annullare disdire rimuovere annuleren opzeggen") {
		of(w).ends = true
	}
	for _, w := range strings.Fields("know sure certain understand figure idea clue weiß weiss wissen sicher verstehe sais sait comprends sûr sûre sé sabe entiendo seguro so sa capisco sicuro sei entendo weet zeker") {
		of(w).unsure = true
	}
	for _, w := range strings.Fields("can could able cannot cant unable kann können konnte arrive arrivons peux pouvons trouve trouvons parviens réussis puedo podemos encuentro consigo logro posso riesco trovo possiamo encontro kan lukt") {
		of(w).able = true
	}
	for i, group := range []string{
		"who whose whom wer wem wen wessen qui quién quem chi", "when wann quand cuándo quando wanneer", "where wo woher wohin où dónde onde dove waar",
		"why warum wieso weshalb pourquoi perché waarom", "how wie comment cómo hoe",
		"which what whats welche welcher welches welchen welchem quel quelle quels quelles cuál cuáles quale quali qual quais welk",
	} {
		for _, w := range strings.Fields(group) {
			of(w).ask = uint8(i + 1)
		}
	}
	for role, group := range map[uint8]string{target: "to into onto towards nach bis à vers jusque hacia hasta verso naar tot", source: "from off von ab depuis desde", beside: "than before after over under beats versus vs als"} {
		for _, w := range strings.Fields(group) {
			of(w).role = role
		}
	}
	return out
}

var none = &traits{}

func traitsOf(key uint64) *traits {
	if t := known[key]; t != nil {
		return t
	}
	return none
}

// plainWords are words of grammar, however rare they may be in writing.
var plainWords = func() map[uint64]bool {
	out := map[uint64]bool{}
	for _, w := range strings.Fields("who whose whom what which when where why how whats do does did done am is are was were be been being have has had can could will would shall should may might must i you he she it we they me him her us them my your his its our their mine yours this that these those there here a an the and or but if so of to in on at for with from by as not no yes ok please") {
		out[hashWord([]byte(w))] = true
	}
	return out
}()

// politeWords go with any question.
var politeWords = func() map[uint64]bool {
	out := map[uint64]bool{}
	for _, w := range strings.Fields("please help thanks thank hello hi hey tell show explain know want need like just quick question") {
		out[hashWord([]byte(w))] = true
	}
	return out
}()

// Says is the weight of word t of f by itself, 0 for a word of grammar.
func (f *Form) Says(t int) float32 {
	if plainWords[f.keys[t]] {
		return 0
	}
	return Weight(f.Word(t))
}

// Align compares a prompt f with a lesson g, word by word.
func (a *Aligner) Align(f, g *Form) (c Contrast) {
	m, n := min(f.Words(), MaxAligned), min(g.Words(), MaxAligned)
	c.At, c.With = -1, -1
	if m == 0 || n == 0 {
		return c
	}
	c.Pairs = a.pair(f, g, m, n)
	c.Same = 2 * float32(c.Pairs) / float32(m+n)
	if (Negations(f)+Negations(g))%2 == 1 && !a.ended(f, g, m, n) && !helpless(f, g) && !helpless(g, f) {
		c.Negated = 1
	}
	for i := range m {
		switch {
		case a.partner[i] >= 0:
			c.Shared = max(c.Shared, Weight(f.Word(i)))
		case !negates(f, i):
			c.Ours = max(c.Ours, Weight(f.Word(i)))
			if !politeWords[f.keys[i]] {
				c.Beside = max(c.Beside, f.Says(i))
			}
		}
	}
	for j := range n {
		if !a.taken[j] && !negates(g, j) {
			c.Theirs = max(c.Theirs, Weight(g.Word(j)))
		}
	}
	a.findContradictions(f, g, m, n, &c)
	if a.swapped(f, g, m) {
		c.Swapped = 1
	}
	if p, q := asks(f), asks(g); p > 0 && q > 0 && p != q {
		c.Asked = 1
	}
	return c
}

// pair finds a partner for each word: the same, another form of it, or one that
// means the same. It returns the number of pairs.
func (a *Aligner) pair(f, g *Form, m, n int) (pairs int) {
	clear(a.taken[:n])
	for i := range m {
		a.partner[i] = -1
		for j := range n {
			if !a.taken[j] && f.keys[i] == g.keys[j] {
				a.partner[i], a.taken[j] = int8(j), true
				pairs++
				break
			}
		}
	}
	for i := range m {
		for j := 0; j < n && a.partner[i] < 0; j++ {
			if !a.taken[j] && sameMeaning(f, i, g, j) {
				a.partner[i], a.taken[j] = int8(j), true
				pairs++
			}
		}
	}
	return pairs
}

// sameMeaning reports whether word i of f says what word j of g does.
func sameMeaning(f *Form, i int, g *Form, j int) bool {
	p, q := traitsOf(f.keys[i]), traitsOf(g.keys[j])
	if v := spelledOut(p, f.Word(i)); v >= 0 && v == spelledOut(q, g.Word(j)) {
		return true
	}
	return !opposite(f, i, g, j) && (Alike(f.Spelling(i), g.Spelling(j)) > 0 || synonyms(f.Word(i), g.Word(j)))
}

// spelledOut is a small number in figures or in words; −1 for any other word.
func spelledOut(t *traits, w []byte) int {
	if t.number > 0 {
		return int(t.number) - 1
	}
	if len(w) == 0 || len(w) > 4 {
		return -1
	}
	v := 0
	for _, c := range w {
		if c < '0' || c > '9' {
			return -1
		}
		v = 10*v + int(c-'0')
	}
	return v
}

// findContradictions looks among words without a partner for those that contradict each
// other.
func (a *Aligner) findContradictions(f, g *Form, m, n int, c *Contrast) {
	for i := range m {
		if a.partner[i] >= 0 || slices.Contains(g.keys, f.keys[i]) {
			continue
		}
		for j := range n {
			switch {
			case a.taken[j]:
				// A second name beside the one that both hold: France's neighbour Spain.
				if c.Opposite+c.Other == 0 && sameKind(f, i, g, j) && !figures(f.Word(i)) {
					c.Other, c.At, c.With = 1, i, j
				}
			case opposite(f, i, g, j):
				c.Opposite, c.Other, c.At, c.With = 1, 0, i, j
			case sameKind(f, i, g, j) && c.Opposite == 0:
				c.Other, c.At, c.With = 1, i, j
			}
		}
	}
}

// opposite reports whether word i of f and word j of g are opposites.
func opposite(f *Form, i int, g *Form, j int) bool {
	for _, o := range traitsOf(f.keys[i]).opposed {
		if o == 0 {
			break
		}
		if o == g.keys[j] {
			return true
		}
	}
	return antonyms(f.Word(i), g.Word(j)) || prefixed(f.Word(i), g.Word(j)) || prefixed(g.Word(j), f.Word(i)) || otherHead(f.Word(i), g.Word(j))
}

// prefixed reports whether a is b with a prefix that turns its meaning.
func prefixed(a, b []byte) bool {
	for _, p := range [...]string{"un", "in", "im", "ir", "il", "dis", "de", "non", "mis"} {
		if len(b) >= 4 && len(a) > len(p) && string(a[:len(p)]) == p && (string(a[len(p):]) == string(b) || SameStem(a[len(p):], b)) {
			return isEnglish(a) && isEnglish(b)
		}
	}
	return false
}

// Heads of words by which languages other than English turn the meaning of what follows: alone
// (sperren, entsperren; activer, désactiver), or one for another (einschalten, ausschalten;
// importar, exportar; włączyć, wyłączyć).
var (
	turningHeads = [...]string{"un", "in", "ent", "ver", "de", "dé", "des", "dés", "dis", "не"}
	headsOfVerbs = [...]string{"ein", "aus", "an", "ab", "auf", "zu", "vor", "nach", "be", "ent", "ver", "er", "im", "ex", "in", "es", "hin", "her", "unter", "über", "de", "dé", "w", "wy", "za", "od", "в", "вы", "за", "от"}
)

// leastRest is the length in bytes of what follows such a head, at least.
const leastRest = 5

// otherHead reports whether two words, the longer of which is no English one, differ in their
// heads so that they say something else.
func otherHead(a, b []byte) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	shared := 0
	for shared < len(b) && a[len(a)-1-shared] == b[len(b)-1-shared] {
		shared++
	}
	if shared < leastRest || isEnglish(a) {
		return false
	}
	for ; shared >= leastRest; shared-- {
		p, q := string(a[:len(a)-shared]), string(b[:len(b)-shared])
		switch {
		case p == q:
		case q == "":
			if slices.Contains(turningHeads[:], p) {
				return true
			}
		case slices.Contains(headsOfVerbs[:], p) && slices.Contains(headsOfVerbs[:], q):
			return !isEnglish(b)
		}
	}
	return false
}

// sameKind reports whether two different words name members of one kind.
func sameKind(f *Form, i int, g *Form, j int) bool {
	p, q := traitsOf(f.keys[i]), traitsOf(g.keys[j])
	a, b := p.number > 0 || figures(f.Word(i)), q.number > 0 || figures(g.Word(j))
	if a || b {
		return a && b
	}
	for _, k := range p.kinds {
		if k == 0 {
			break
		}
		for _, l := range q.kinds {
			if k == l {
				return true
			}
		}
	}
	return false
}

// figures reports whether w holds a digit, or is a sign of arithmetic.
func figures(w []byte) bool {
	for _, c := range w {
		if '0' <= c && c <= '9' {
			return true
		}
	}
	return len(w) == 1 && (w[0] == '+' || w[0] == '-' || w[0] == '*' || w[0] == '/')
}

// swapped reports whether two words that stand on either side of a preposition
// have changed places, or one that came after "to" comes after "from".
func (a *Aligner) swapped(f, g *Form, m int) bool {
	for i := range m {
		j := int(a.partner[i])
		if j < 0 || traitsOf(f.keys[i]).role > 0 {
			continue
		}
		if p, q := roleBefore(f, i), roleBefore(g, j); p+q == target+source && p != q && p > 0 && q > 0 {
			return true
		}
		for k := i + 1; k < m; k++ {
			l := int(a.partner[k])
			if l < 0 || l >= j || traitsOf(f.keys[k]).role > 0 {
				continue
			}
			if between(f, i, k) && between(g, l, j) && Weight(f.Word(i)) > leastWeight && Weight(f.Word(k)) > leastWeight {
				return true
			}
		}
	}
	return false
}

// roleBefore is the role that the word before t gives it.
func roleBefore(f *Form, t int) uint8 {
	if t == 0 {
		return 0
	}
	return traitsOf(f.keys[t-1]).role
}

// between reports whether a word of direction stands between places i and k,
// close to both.
func between(f *Form, i, k int) bool {
	if k-i > 4 {
		return false
	}
	for t := i + 1; t < k; t++ {
		if r := traitsOf(f.keys[t]).role; r == target || r == beside {
			return true
		}
		if f.keys[t] == towards && i > 0 && origins[f.keys[i-1]] {
			return true
		}
	}
	return false
}

// Spanish, Italian and Portuguese go "de Madrid a Sevilla"; an "a" alone is an English article.
var (
	towards = hashWord([]byte("a"))
	origins = map[uint64]bool{hashWord([]byte("de")): true, hashWord([]byte("da")): true, hashWord([]byte("desde")): true}
)

// asks is the question that f asks; 0 for none that a word shows.
func asks(f *Form) uint8 {
	for t := range f.keys {
		if q := traitsOf(f.keys[t]).ask; q > 0 {
			if q == askHow && t+1 < len(f.keys) {
				if q := howMuch[f.keys[t+1]]; q > 0 {
					return q
				}
			}
			return q
		}
	}
	return 0
}

// The questions how and where, see asks.
const (
	askWhere = 3
	askHow   = 5
)

// howMuch tells what a word after "how" asks for.
var howMuch = func() map[uint64]uint8 {
	out := map[uint64]uint8{}
	for i, w := range strings.Fields("much many long far often old big high fast") {
		out[hashWord([]byte(w))] = uint8(10 + i)
	}
	return out
}()
