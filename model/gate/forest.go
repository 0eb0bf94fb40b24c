package gate

import (
	"math"
	"slices"

	"github.com/nexus-continuum/nexus/model/wire"
)

// Forest is a sum of small trees over the evidence. The other inputs add up what
// speaks for and against a candidate; trees see what only counts together, such as
// much likeness beside a telling word that is strange, in a memory of few answers. It
// is learned from other deployments; a deployment's own prompts say how much it counts.
type Forest struct{ Trees []Tree }

// Tree asks depth questions one after another; the answers lead to a leaf.
type Tree struct {
	Feature [inner]uint8
	Above   [inner]float32 // the way to the right is taken above it
	Leaf    [leaves]float32
}

const (
	depth  = 3
	leaves = 1 << depth
	inner  = leaves - 1
)

// Odds is the logarithm of the odds that it adds. An empty forest adds nothing.
func (f *Forest) Odds(e *Evidence) float64 {
	z := 0.0
	for i := range f.Trees {
		z += float64(f.Trees[i].of(e))
	}
	return z
}

func (t *Tree) of(e *Evidence) float32 {
	at := 0
	for range depth {
		right := 0
		if float32(e[t.Feature[at]]) > t.Above[at] {
			right = 1
		}
		at = 2*at + 1 + right
	}
	return t.Leaf[at-inner]
}

// Bounds of growing.
const (
	treeRate  = 0.15
	treeRidge = 1.0
	leastLeaf = 150 // examples
	bins      = 64
	leastGain = 1e-6
	// foreignGrowth is by how much foreign prompts count for more than in the fit of
	// the causes: trees tell them best. The stretch mends the height.
	foreignGrowth = 4
)

// grown are the features that trees may ask for. How well the encoder knows the
// prompt is left to the other causes: other encoders differ in it.
var grown = func() (out []int) {
	for i := range Features {
		if i != Unseen && i != Saturation {
			out = append(out, i)
		}
	}
	return out
}()

// growing is a forest that is being grown.
type growing struct {
	edges  [Features][]float32
	places []uint8   // of each example, the bin of each of the grown features
	node   []uint8   // of each example, in the tree at hand
	z      []float64 // logits
	weight []float64
	g, h   []float64 // first and second derivatives of the loss
	e      []example
}

// sums of derivatives over the examples of a bin.
type sums struct{ g, h, n float64 }

// grow makes a forest of so many trees, by gradient boosting on the likelihood of the
// examples: each tree takes a Newton step from where the causes and the trees before
// it stand (Friedman, 2001; Chen and Guestrin, 1603.02754).
func grow(e []example, trees int) (f Forest) {
	if len(e) == 0 {
		return f
	}
	n := len(e)
	w := &growing{e: e, node: make([]uint8, n), z: make([]float64, n), weight: make([]float64, n), g: make([]float64, n), h: make([]float64, n)}
	w.bin()
	for i := range e {
		w.z[i], w.weight[i] = logit(e[i].p[Familiar]*e[i].p[Clear]*e[i].p[Meant]), e[i].weight
		if e[i].of.foreign {
			w.weight[i] *= foreignGrowth
		}
	}
	for range trees {
		w.slopes()
		t := w.tree()
		for i := range e {
			w.z[i] += float64(t.Leaf[w.node[i]])
		}
		f.Trees = append(f.Trees, t)
	}
	return f
}

// trees are those of two forests, each grown on a half of the trials. The odds that
// an example sees are those of the half that it is not of, so that the fit after it
// does not take for certain what trees know by heart.
func (f *fitting) trees() (out Forest) {
	var halves [2]Forest
	for h := range halves {
		var part []example
		for i := range f.examples {
			if f.examples[i].half == h {
				part = append(part, f.examples[i])
			}
		}
		halves[h] = grow(part, learnTrees)
		for i := range halves[h].Trees {
			t := halves[h].Trees[i]
			for l := range t.Leaf {
				t.Leaf[l] /= float32(len(halves))
			}
			out.Trees = append(out.Trees, t)
		}
	}
	for i := range f.examples {
		e := &f.examples[i]
		e.x[odds] = halves[1-e.half].Odds(&e.of.evidence)
	}
	f.w[Familiar].Weights[odds], f.prior[Familiar].Weights[odds] = 1, 1
	f.standardise()
	return out
}

// bin cuts the values of each feature into parts that hold equally many examples.
func (w *growing) bin() {
	w.places = make([]uint8, len(w.e)*len(grown))
	values := make([]float32, len(w.e))
	for at, feature := range grown {
		for i := range w.e {
			values[i] = float32(w.e[i].of.evidence[feature])
		}
		sorted := slices.Clone(values)
		slices.Sort(sorted)
		edges := w.edges[feature][:0]
		for b := 1; b < bins; b++ {
			if v := sorted[len(sorted)*b/bins]; v < sorted[len(sorted)-1] && (len(edges) == 0 || v > edges[len(edges)-1]) {
				edges = append(edges, v)
			}
		}
		w.edges[feature] = edges
		for i, v := range values {
			place, _ := slices.BinarySearch(edges, v)
			w.places[i*len(grown)+at] = uint8(place) //nolint:gosec // fewer than bins
		}
	}
}

// slopes are those of −log p for a right example and −log(1 − p) for another, where
// p is the probability of causes and trees times what words that turn the meaning
// leave of it.
func (w *growing) slopes() {
	for i := range w.e {
		s, weight := sigmoid(w.z[i]), w.weight[i]
		if w.e[i].right {
			w.g[i], w.h[i] = weight*(s-1), weight*s*(1-s)
			continue
		}
		c := w.e[i].left
		first := c * s * (1 - s) / max(1-c*s, 1e-6)
		w.g[i] = weight * first
		w.h[i] = weight * max(first*(1-2*s)+first*first, 0.1*c*s*(1-s))
	}
}

// tree grows one tree and leaves the leaf of each example in w.node.
func (w *growing) tree() (t Tree) {
	clear(w.node)
	limits := []limit{{math.Inf(-1), math.Inf(1)}}
	for level := range depth {
		nodes := 1 << level
		counts := make([]sums, nodes*len(grown)*bins)
		for i, node := range w.node {
			row := w.places[i*len(grown) : (i+1)*len(grown)]
			g, h := w.g[i], w.h[i]
			base := int(node) * len(grown) * bins
			for at, b := range row {
				c := &counts[base+at*bins+int(b)]
				c.g, c.h, c.n = c.g+g, c.h+h, c.n+1
			}
		}
		cuts := make([]cut, nodes)
		var inside []limit
		for node := range cuts {
			c := w.split(counts[node*len(grown)*bins : (node+1)*len(grown)*bins])
			cuts[node] = c
			place := nodes - 1 + node
			t.Above[place] = math.MaxFloat32
			if c.at >= 0 {
				t.Feature[place], t.Above[place] = uint8(grown[c.at]), w.edges[grown[c.at]][c.bin] //nolint:gosec // fewer than Features
			}
			left, right := limits[node].split(c)
			inside = append(inside, left, right)
		}
		limits = inside
		for i, node := range w.node {
			right := uint8(0)
			if c := cuts[node]; c.at >= 0 && int(w.places[i*len(grown)+c.at]) > c.bin {
				right = 1
			}
			w.node[i] = 2*node + right
		}
	}
	var at [leaves]sums
	for i, leaf := range w.node {
		at[leaf].g, at[leaf].h = at[leaf].g+w.g[i], at[leaf].h+w.h[i]
	}
	for l := range t.Leaf {
		t.Leaf[l] = float32(treeRate * min(max(at[l].best(), limits[l].least), limits[l].most))
	}
	return t
}

// cut is where the examples of a node part: those above the edge of that bin of the
// feature at that place of grown go to the right. at is −1 where they do not part.
type cut struct {
	at, bin     int
	left, right float64 // best moves of either side
}

// limit is what the moves of a node's leaves are held between, so that a tree as a
// whole goes the way that its features may speak.
type limit struct{ least, most float64 }

// split returns the limits of both sides of a cut.
func (l limit) split(c cut) (left, right limit) {
	left, right = l, l
	if c.at < 0 {
		return l, l
	}
	middle := min(max((c.left+c.right)/2, l.least), l.most)
	switch way(grown[c.at]) {
	case 1:
		left.most, right.least = middle, middle
	case -1:
		left.least, right.most = middle, middle
	}
	return left, right
}

// way is the way that a feature may speak in trees: 1 for, −1 against, 0 either.
// Nearness may speak against an answer, where all but a telling word is the same.
func way(feature int) float64 {
	switch feature {
	case Best, Echo, Same, Instead:
		return 0
	}
	return direction[feature]
}

// best is the Newton step of the examples.
func (s sums) best() float64 { return -s.g / (s.h + treeRidge) }

// split finds the cut with the most gain among the bins of a node.
func (w *growing) split(counts []sums) cut {
	out := cut{at: -1}
	most := leastGain
	for feature := range grown {
		var all, left sums
		row := counts[feature*bins : (feature+1)*bins]
		for _, c := range row {
			all.g, all.h, all.n = all.g+c.g, all.h+c.h, all.n+c.n
		}
		for b := range w.edges[grown[feature]] {
			left.g, left.h, left.n = left.g+row[b].g, left.h+row[b].h, left.n+row[b].n
			right := sums{all.g - left.g, all.h - left.h, all.n - left.n}
			if left.n < leastLeaf || right.n < leastLeaf {
				continue
			}
			if (right.best()-left.best())*way(grown[feature]) < 0 {
				continue
			}
			gain := left.g*left.g/(left.h+treeRidge) + right.g*right.g/(right.h+treeRidge) - all.g*all.g/(all.h+treeRidge)
			if gain > most {
				most, out = gain, cut{feature, b, left.best(), right.best()}
			}
		}
	}
	return out
}

// write writes f.
func (f *Forest) write(w *wire.Writer) {
	w.Uint(uint64(len(f.Trees)))
	for i := range f.Trees {
		t := &f.Trees[i]
		for _, feature := range t.Feature {
			w.Uint(uint64(feature))
		}
		w.Floats(slices.Concat(t.Above[:], t.Leaf[:]))
	}
}

// maxTrees bounds what read takes.
const maxTrees = 1 << 12

// read reads what write wrote.
func (f *Forest) read(r *wire.Reader) {
	for range r.Uint(maxTrees) {
		var t Tree
		for i := range t.Feature {
			t.Feature[i] = uint8(r.Uint(Features - 1)) //nolint:gosec // bounded
		}
		values := r.Floats(inner + leaves)
		if r.Err() != nil {
			return
		}
		copy(t.Above[:], values)
		copy(t.Leaf[:], values[inner:])
		f.Trees = append(f.Trees, t)
	}
}
