package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// targetError is the share of in-scope prompts that may be answered wrongly; the
// default of the program.
const targetError = 0.05

// kept are shares of the in-scope prompts.
type kept struct{ right, wrong float64 }

// figures are shares, NaN where nothing was asked of that kind.
type figures struct {
	best    float64 // the best candidate is right
	kept            // answered
	once    kept    // before the job of the lessons ended
	oracle  float64 // right by the best single threshold that keeps the target
	foreign float64 // refused
	changed float64 // answered
	auroc   float64 // in-scope against foreign prompts, by confidence
}

// score counts the in-scope prompts.
func (t *trial) score(asked []lesson, replies []reply) figures {
	type judged struct {
		confidence float64
		right      bool
	}
	f := figures{foreign: math.NaN(), changed: math.NaN(), auroc: math.NaN(), once: kept{math.NaN(), math.NaN()}}
	best, n := t.answers(), float64(len(asked))
	all := make([]judged, len(asked))
	for i, r := range replies {
		right := best.of(r) == asked[i].Response
		all[i] = judged{r.Confidence, right}
		switch {
		case right && r.Responded:
			f.right += 1 / n
		case r.Responded:
			f.wrong += 1 / n
		}
		if right {
			f.best += 1 / n
		}
	}
	slices.SortFunc(all, func(a, b judged) int { return cmp.Compare(b.confidence, a.confidence) })
	right, wrong := 0.0, 0.0
	for i, j := range all {
		if j.right {
			right++
		} else {
			wrong++
		}
		// A threshold cannot part prompts of the same confidence.
		whole := i+1 == len(all) || all[i+1].confidence < j.confidence
		if whole && wrong <= targetError*n {
			f.oracle = max(f.oracle, right/n)
		}
	}
	return f
}

// apart counts what should be refused.
func (f *figures) apart(inScope, changed, foreign []reply) {
	if len(changed) > 0 {
		f.changed = answered(changed)
	}
	if len(foreign) > 0 {
		f.foreign = 1 - answered(foreign)
		f.auroc = auroc(inScope, foreign)
	}
}

func answered(replies []reply) float64 {
	n := 0
	for _, r := range replies {
		if r.Responded {
			n++
		}
	}
	return float64(n) / float64(len(replies))
}

// auroc is the chance that an in-scope prompt has the higher confidence.
func auroc(inScope, foreign []reply) float64 {
	low := make([]float64, len(foreign))
	for i, r := range foreign {
		low[i] = r.Confidence
	}
	slices.Sort(low)
	sum := 0.0
	for _, r := range inScope {
		below, _ := slices.BinarySearch(low, r.Confidence)
		upTo, _ := slices.BinarySearch(low, math.Nextafter(r.Confidence, 2))
		sum += float64(below+upTo) / 2
	}
	return sum / float64(len(inScope)) / float64(len(foreign))
}

// measurement is a row with the figures of its draws.
type measurement struct {
	row
	draws []figures
}

func (m measurement) mean(of func(figures) float64) float64 {
	sum := 0.0
	for _, f := range m.draws {
		sum += of(f)
	}
	return sum / float64(len(m.draws))
}

func (m measurement) right() float64  { return m.mean(func(f figures) float64 { return f.right }) }
func (m measurement) oracle() float64 { return m.mean(func(f figures) float64 { return f.oracle }) }

// columns of the table after the name.
var columns = []string{
	"best candidate right", "answered right", "answered wrong", "right at ≤ 5 % wrong (oracle)", "share of the oracle",
	"foreign refused", "changed answered", "AUROC", "right / wrong at once",
}

func (m measurement) line() string {
	share := math.NaN()
	if m.oracle() > 0 {
		share = m.right() / m.oracle()
	}
	cells := []string{
		m.name, percent(m.mean(func(f figures) float64 { return f.best })), percent(m.right()),
		percent(m.mean(func(f figures) float64 { return f.wrong })), percent(m.oracle()), percent(share),
		percent(m.mean(func(f figures) float64 { return f.foreign })), percent(m.mean(func(f figures) float64 { return f.changed })),
		number(m.mean(func(f figures) float64 { return f.auroc })),
		percent(m.mean(func(f figures) float64 { return f.once.right })) + " / " + percent(m.mean(func(f figures) float64 { return f.once.wrong })),
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

func percent(share float64) string {
	if math.IsNaN(share) {
		return "–"
	}
	return fmt.Sprintf("%.1f", 100*share)
}

func number(x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	return fmt.Sprintf("%.3f", x)
}

// report prints the table, and then what the rows say together.
func report(w io.Writer, all []measurement) {
	fmt.Fprintf(w, "| data, lessons for each answer | %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, m := range all {
		fmt.Fprintln(w, m.line())
	}
	fmt.Fprintln(w)
	wrong, worst := math.Inf(-1), ""
	share, least := math.Inf(1), ""
	for _, m := range all {
		if x := m.mean(func(f figures) float64 { return f.wrong }); x > wrong {
			wrong, worst = x, m.name
		}
		if x := m.right() / m.oracle(); x < share {
			share, least = x, m.name
		}
	}
	fmt.Fprintf(w, "Most answered wrong: %s %% (%s). Least share of the oracle: %s %% (%s).\n", percent(wrong), worst, percent(share), least)
	for i, m := range all[1:] {
		if before := all[i]; m.series != "" && m.series == before.series && m.right() < before.right()-0.02 {
			fmt.Fprintf(w, "More lessons answer less: %s %s %%, %s %s %%.\n", before.name, percent(before.right()), m.name, percent(m.right()))
		}
	}
}
