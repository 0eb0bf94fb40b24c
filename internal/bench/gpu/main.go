// Command gpu checks and measures GPUs: `make gpu-check`. It needs a binary and the driver,
// no Go, no CUDA and no network, and prints one line for each thing that was looked at.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"time"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/model/cuda"
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/worker/accelerator"
	"github.com/nexus-continuum/nexus/worker/governor"
)

func main() {
	c := check{out: os.Stdout, sizes: []string{model.Small, model.Base, model.Large}, tries: 10}
	flag.StringVar(&c.library, "library", cuda.Library, "the driver's library")
	flag.IntVar(&c.rows, "rows", 1_000_000, "exemplars to search")
	flag.IntVar(&c.batch, "batch", 1024, "prompts of the largest batch")
	flag.Parse()
	if err := c.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "gpu-check:", err)
		os.Exit(1)
	}
}

// check is one run.
type check struct {
	library     string
	rows, batch int
	sizes       []string // of models
	tries       int      // of one measurement; the fastest counts
	out         io.Writer
	failed      int
}

// say prints a line; one that does not hold makes the run fail.
func (c *check) say(holds bool, what, format string, v ...any) {
	mark := "ok  "
	if !holds {
		mark = "FAIL"
		c.failed++
	}
	fmt.Fprintf(c.out, "%s  %-44s %s\n", mark, what, fmt.Sprintf(format, v...))
}

func (c *check) run(ctx context.Context) error {
	cards, err := cuda.List(c.library)
	if err != nil {
		return err
	}
	if len(cards) == 0 {
		return errors.New("the driver shows no GPU")
	}
	info := cards[0]
	fmt.Fprintf(c.out, "%s, %d MB, compute capability %s, %d card(s)\n", info.Name, info.MemoryMB, info.Capability, len(cards))
	c.readings(ctx, info)
	for _, architecture := range []string{model.Flowing, model.Layered} {
		for _, size := range c.sizes {
			if err := c.encode(info, model.Config{Architecture: architecture, Size: size}); err != nil {
				return err
			}
		}
	}
	if err := c.search(info); err != nil {
		return err
	}
	if err := c.verdicts(ctx, info); err != nil {
		return err
	}
	if err := c.limit(info); err != nil {
		return err
	}
	if c.failed > 0 {
		return fmt.Errorf("%d things do not hold", c.failed)
	}
	return nil
}

// readings prints what NVML says, to be compared with nvidia-smi.
func (c *check) readings(ctx context.Context, info cuda.Info) {
	s, err := governor.NewSystem()
	if err != nil {
		c.say(false, "readings", "%v", err)
		return
	}
	defer s.Close()
	r, err := s.Sample(ctx)
	c.say(err == nil && s.Watches(info.UUID), "NVML shows the card", "%v", err)
	for _, g := range r.GPUs {
		fmt.Fprintf(c.out, "      GPU %d %s: %.0f °C, %.0f %% busy, %.0f of %.0f MB, %.0f W; compare with nvidia-smi\n",
			g.Index, g.UUID, g.TemperatureC, g.UtilizationPercent, g.MemoryUsedMB, g.MemoryTotalMB, g.PowerW)
	}
}

func (c *check) open(info cuda.Info, limit float64) (*cuda.Card, error) {
	return cuda.Open(cuda.Options{Library: c.library, Ordinal: info.Ordinal, MemoryLimit: limit})
}

// tolerance is how far an element of a vector may be from that of a core.
const tolerance = 1e-3

// encode compares vectors with those of a core, and the time of batches.
func (c *check) encode(info cuda.Info, cfg model.Config) error {
	p, prompts, err := model.Probe(cfg, c.batch)
	if err != nil {
		return err
	}
	card, err := c.open(info, 100)
	if err != nil {
		return err
	}
	defer card.Close()
	if err := card.Load(p.Encoder, p.Weights, p.Options); err != nil {
		return err
	}
	d := p.Encoder.Dim()
	h, infos := make([]float32, len(prompts)*d), make([]encoder.Info, len(prompts))
	if err := card.Encode(p.Encoder, prompts, h, infos); err != nil {
		return err
	}
	want, scratch := make([]float32, d), p.Encoder.NewScratch()
	worst, left := 0.0, 0
	began := time.Now()
	for i := range prompts {
		p.Encoder.Encode(&prompts[i], want, scratch)
		if infos[i].Depth < 0 {
			left++
			continue
		}
		for j, v := range want {
			worst = max(worst, math.Abs(float64(v-h[i*d+j])))
		}
	}
	core := float64(len(prompts)) / time.Since(began).Seconds()
	name := cfg.Architecture + " " + cfg.Size
	c.say(worst <= tolerance, name+": vectors as on a core", "off by at most %.1e; %d of %d left to the core", worst, left, len(prompts))
	for _, n := range []int{1, 32, c.batch} {
		n = min(n, len(prompts))
		took, err := c.fastest(func() error { return card.Encode(p.Encoder, prompts[:n], h, infos) })
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "      %-44s %.0f prompts/s, one core %.0f\n", fmt.Sprintf("%s: batch of %d", name, n), float64(n)/took.Seconds(), core)
	}
	return nil
}

// search measures the search of many exemplars.
func (c *check) search(info cuda.Info) error {
	const d, k = 128, 32
	rng := rand.New(rand.NewPCG(1, 1))
	vectors := make([]float32, c.rows*d)
	for i := range vectors {
		vectors[i] = float32(rng.NormFloat64())
	}
	rows := kernel.NewRows(d).Append(vectors)
	card, err := c.open(info, 100)
	if err != nil {
		return err
	}
	defer card.Close()
	if err := card.Place(rows); err != nil {
		return err
	}
	for _, n := range []int{1, 32} {
		queries, got, want := make([]kernel.Query, n), make([][]kernel.Hit, n), make([][]kernel.Hit, n)
		for i := range queries {
			queries[i].Vector = rows.Row(rng.IntN(rows.Len()))
		}
		took, err := c.fastest(func() error { return card.Top(rows, queries, k, got) })
		if err != nil {
			return err
		}
		var s kernel.Scanner
		began := time.Now()
		s.TopManyExact(rows, queries, k, want)
		core := time.Since(began)
		same := true
		for i := range want {
			same = same && len(got[i]) == len(want[i]) && got[i][0].Row == want[i][0].Row
		}
		c.say(same, fmt.Sprintf("search of %d exemplars, %d queries", c.rows, n), "%s, one core %s; rows are read at %.0f GB/s, copies of queries and results included",
			took.Round(time.Microsecond), core.Round(time.Microsecond), float64(4*len(vectors))/took.Seconds()/1e9)
	}
	return nil
}

// verdicts compares what a model answers with a card and without.
func (c *check) verdicts(ctx context.Context, info cuda.Info) error {
	m, err := model.New(model.Config{})
	if err != nil {
		return err
	}
	lessons := make([]model.Lesson, 0, 1000)
	for i := range 1000 {
		lessons = append(lessons, model.Lesson{Prompt: fmt.Sprintf("how do i change part %d of machine %d", i%40, i/40), Response: fmt.Sprintf("see page %d", i)})
	}
	m, _ = m.Memorise(lessons)
	a := accelerator.New(accelerator.Options{Cards: []cuda.Info{info}, Library: c.library, MemoryLimit: 100, From: 1, ScanFrom: 1, Governor: unlimited{}})
	if err := a.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = a.Stop(ctx) }()
	placed, same, all := m.On(a), 0, 0
	for from := 0; from < c.batch; from += model.MaxBatch {
		queries := make([]model.Query, model.MaxBatch)
		for i := range queries {
			n := from + i
			queries[i].Prompt = []string{"please tell me how to change part %d of machine %d", "how do i change part %d of machine %d", "who sings song %d of album %d", "change machine part %d %d"}[n%4]
			queries[i].Prompt = fmt.Sprintf(queries[i].Prompt, n%40, n%25)
		}
		got, want := placed.Ask(queries), m.Ask(queries)
		for i := range want {
			all++
			if got[i].Responded == want[i].Responded && got[i].Response == want[i].Response {
				same++
			}
		}
	}
	n := a.Counts()
	c.say(float64(same) >= 0.999*float64(all) && n.Prompts > 0 && n.Declined == 0, "verdicts as on a core", "%d of %d; %d prompts and %d searches on the card", same, all, n.Prompts, n.Searches)
	return nil
}

// unlimited governs nothing: a check is short.
type unlimited struct{}

// Card implements accelerator.Governor.
func (unlimited) Card(string) governor.Card { return governor.Card{} }

// limit has one user of the card take memory, and another one keep behind the limit.
func (c *check) limit(info cuda.Info) error {
	other, err := c.open(info, 100)
	if err != nil {
		return err
	}
	defer other.Close()
	u, err := other.Usage()
	if err != nil {
		return err
	}
	used := 100 * float64(u.Used) / float64(u.Total)
	card, err := c.open(info, max(used, 0.1))
	if err != nil {
		return err
	}
	defer card.Close()
	rows := kernel.NewRows(128).Append(make([]float32, 128*kernel.BlockRows))
	if err := other.Place(rows); err != nil {
		return err
	}
	err = card.Place(kernel.NewRows(128).Append(make([]float32, 128*40_000)))
	c.say(errors.Is(err, cuda.ErrMemoryLimit), "memory beyond the limit is refused", "%v", err)
	return nil
}

func (c *check) fastest(f func() error) (time.Duration, error) {
	least := time.Duration(math.MaxInt64)
	for range c.tries {
		began := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		least = min(least, time.Since(began))
	}
	return least, nil
}
