package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// plan lists the rows.
func plan(o *options) ([]row, error) {
	clinc, err := readCLINC(o.data)
	if err != nil {
		return nil, err
	}
	hwu, err := readHWU(o.data)
	if err != nil {
		return nil, err
	}
	snips, err := readSNIPS(o.data)
	if err != nil {
		return nil, err
	}
	var rows []row
	sets := []*dataset{hwu, clinc}
	for _, d := range sets {
		d.named = o.named
		rows = append(rows, d.whole()...)
	}
	for _, d := range sets {
		rows = append(rows, d.subsets()...)
		rows = append(rows, d.feedback())
	}
	rows = append(rows, clinc.nearForeign()...)
	if snips != nil {
		snips.named = o.named
		snips.foreign = clinc.foreign // a bot of all its intents leaves none out
		sets = append(sets, snips)
	}
	for _, d := range sets {
		rows = append(rows, d.bots(o.bots)...)
	}
	faqs, err := questions(o)
	return append(rows, faqs...), err
}

// whole teaches every intent.
func (d *dataset) whole() (rows []row) {
	for _, n := range []int{1, 3, 5, 10, 20, 0} {
		name := fmt.Sprintf("%s × %d", d.name, n)
		if n == 0 {
			name = d.name + ", all"
		}
		rows = append(rows, row{name, d.name, func(rng *rand.Rand) trial {
			lessons, _ := d.teach(d.intents(), n, rng)
			return trial{lessons: lessons, asked: d.ask(d.intents()), foreign: d.foreign}
		}})
	}
	return rows
}

// draw takes so many intents at random. Of smaller draws from the same source
// of chance all are among them.
func draw(from []string, n int, rng *rand.Rand) []string {
	out := slices.Clone(from)
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	out = out[:min(n, len(out))]
	slices.Sort(out)
	return out
}

// subset teaches some intents; prompts of the others, as many as are asked in
// scope, are foreign.
func (d *dataset) subset(intents []string, phrasings int, rng *rand.Rand) trial {
	lessons, rest := d.teach(intents, phrasings, rng)
	asked := d.ask(intents)
	others := d.others(intents)
	if len(others) == 0 {
		others = d.foreign
	}
	return trial{lessons: lessons, asked: asked, foreign: some(others, len(asked), rng), practice: rest}
}

func (d *dataset) subsets() (rows []row) {
	for _, size := range [][2]int{{8, 20}, {8, 90}, {20, 20}, {20, 90}, {40, 90}} {
		series := fmt.Sprintf("%s, %d answers", d.name, size[0])
		rows = append(rows, row{fmt.Sprintf("%s × %d", series, size[1]), series, func(rng *rand.Rand) trial {
			t := d.subset(draw(d.intents(), size[0], rng), size[1], rng)
			t.practice = nil
			return t
		}})
	}
	return rows
}

// feedback is a small deployment after its first complaints.
func (d *dataset) feedback() row {
	return row{d.name + ", 8 answers × 20, after up to 100 complaints", "", func(rng *rand.Rand) trial {
		t := d.subset(draw(d.intents(), 8, rng), 20, rng)
		t.complaints = 100
		return t
	}}
}

// nearForeign teaches half of the intents of every domain; the other half is foreign.
func (d *dataset) nearForeign() (rows []row) {
	for _, n := range []int{5, 10} {
		rows = append(rows, row{fmt.Sprintf("%s, half of each domain × %d", d.name, n), d.name + " halves", func(rng *rand.Rand) trial {
			var half []string
			for _, domain := range slices.Sorted(maps.Keys(d.domains)) {
				half = append(half, draw(d.domains[domain], len(d.domains[domain])/2, rng)...)
			}
			t := d.subset(half, n, rng)
			t.practice = nil
			return t
		}})
	}
	return rows
}

// bots simulates small deployments of 5 to 60 answers with 10 to 100 phrasings
// of each: answers of the same domain where the set has domains.
func (d *dataset) bots(n int) (rows []row) {
	sizes := [][2]int{{5, 10}, {7, 100}, {15, 30}, {21, 60}, {30, 20}, {45, 50}, {59, 40}, {10, 50}, {60, 100}, {12, 15}}
	for i := range n {
		size := sizes[i%len(sizes)]
		size[0] = min(size[0], len(d.train))
		rows = append(rows, row{fmt.Sprintf("bot %d of %s, %d answers × %d", i+1, d.name, size[0], size[1]), "", func(rng *rand.Rand) trial {
			for range i {
				rng.Uint64() // every bot is another draw
			}
			t := d.subset(draw(d.near(size[0], rng), size[0], rng), size[1], rng)
			t.practice = nil
			return t
		}})
	}
	return rows
}

// near returns the intents of as many whole domains as hold n of them.
func (d *dataset) near(n int, rng *rand.Rand) (out []string) {
	if len(d.domains) == 0 {
		return d.intents()
	}
	domains := slices.Sorted(maps.Keys(d.domains))
	rng.Shuffle(len(domains), func(i, j int) { domains[i], domains[j] = domains[j], domains[i] })
	for _, domain := range domains {
		if out = append(out, d.domains[domain]...); len(out) >= n {
			break
		}
	}
	return out
}
