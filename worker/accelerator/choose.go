package accelerator

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/model/cuda"
	"github.com/nexus-continuum/nexus/model/encoder"
)

// Pick narrows the cards that the driver shows to those that were asked for: numbers or
// UUIDs, with or without the prefix GPU- or MIG-. Nothing asked for is all.
func Pick(cards []cuda.Info, asked []string) ([]cuda.Info, error) {
	if len(asked) == 0 {
		return cards, nil
	}
	out := make([]cuda.Info, 0, len(asked))
	for _, want := range asked {
		at := slices.IndexFunc(cards, func(c cuda.Info) bool { return named(c, want) })
		if at < 0 {
			return nil, fmt.Errorf("GPU %q is not there; the driver shows %s", want, listed(cards))
		}
		if !slices.Contains(out, cards[at]) {
			out = append(out, cards[at])
		}
	}
	return out, nil
}

func named(c cuda.Info, want string) bool {
	if n, err := strconv.Atoi(want); err == nil {
		return n == c.Ordinal
	}
	want = strings.ToLower(want)
	for _, prefix := range []string{"gpu-", "mig-"} {
		want = strings.TrimPrefix(want, prefix)
	}
	return want == c.UUID
}

func listed(cards []cuda.Info) string {
	if len(cards) == 0 {
		return "none"
	}
	names := make([]string, len(cards))
	for i, c := range cards {
		names[i] = fmt.Sprintf("%d (%s, %s)", c.Ordinal, c.Name, c.UUID)
	}
	return strings.Join(names, ", ")
}

// Measured is how a card compares with a core.
type Measured struct {
	// From is the least number of prompts at which the card is faster; 0 if it never is.
	From int
	// Card and Core are the times of the largest batch.
	Card, Core time.Duration
}

// String says what was measured.
func (m Measured) String() string {
	s := fmt.Sprintf("%d prompts take %s on the card and %s on one core", model.MaxBatch, m.Card.Round(time.Microsecond), m.Core.Round(time.Microsecond))
	if m.From > 1 {
		s += fmt.Sprintf("; the cores compute fewer than %d at once", m.From)
	}
	return s
}

// tries of one measurement; the fastest counts, since what else the machine does only adds.
const tries = 5

// Measure compares a card with one core at batches of 1 to MaxBatch prompts, for the shape
// of a model. It takes some tens of milliseconds, and leaves the card closed.
func Measure(opt cuda.Options, c model.Config) (Measured, error) {
	p, prompts, err := model.Probe(c, model.MaxBatch)
	if err != nil {
		return Measured{}, err
	}
	card, err := cuda.Open(opt)
	if err != nil {
		return Measured{}, err
	}
	defer card.Close()
	if err := card.Load(p.Encoder, p.Weights, p.Options); err != nil {
		return Measured{}, err
	}
	d := p.Encoder.Dim()
	h, infos, scratch := make([]float32, len(prompts)*d), make([]encoder.Info, len(prompts)), p.Encoder.NewScratch()
	var failed error
	onCard := func(n int) time.Duration {
		return fastest(func() {
			failed = errors.Join(failed, card.Encode(p.Encoder, prompts[:n], h, infos))
		})
	}
	onCore := func(n int) time.Duration {
		return fastest(func() {
			for i := range n {
				p.Encoder.Encode(&prompts[i], h[i*d:(i+1)*d], scratch)
			}
		})
	}
	m := compare(onCard, onCore)
	return m, failed
}

// compare finds the least batch, a power of two, from which on the card is faster.
func compare(card, core func(n int) time.Duration) Measured {
	m := Measured{Card: card(model.MaxBatch), Core: core(model.MaxBatch)}
	if m.Card >= m.Core {
		return m
	}
	m.From = model.MaxBatch
	for n := model.MaxBatch / 2; n >= 1; n /= 2 {
		if card(n) >= core(n) {
			break
		}
		m.From = n
	}
	return m
}

func fastest(f func()) time.Duration {
	f() // the first makes room, and loads what is loaded late
	least := time.Duration(1<<63 - 1)
	for range tries {
		began := time.Now()
		f()
		least = min(least, time.Since(began))
	}
	return least
}
