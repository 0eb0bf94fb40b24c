// Command people measures what people who teach and ask would notice of the
// gate: over many deployments, of many answers or few, with one phrasing of each
// or a hundred, how many prompts are answered right, how many wrong, and how many
// the same confidences would allow. Each row is one deployment: the built program
// with a data folder of its own and its default settings, taught and asked over HTTP.
//
//	NEXUS_BENCH_DATA=<folder with clinc150/ and hwu64/> go run ./internal/bench/people [-only regexp] [-prompts 300]
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"time"
)

type options struct {
	binary     string
	data       string
	contrast   string
	paraphrase string
	only       *regexp.Regexp
	prompts    int
	seeds      int
	bots       int
	callers    int
	atOnce     bool
	named      bool
}

func main() {
	o := options{data: os.Getenv("NEXUS_BENCH_DATA")}
	flag.StringVar(&o.binary, "binary", "bin/nexus", "the program to measure")
	flag.StringVar(&o.data, "data", o.data, "folder that holds clinc150/, hwu64/ and, for the bots of SNIPS, base/; NEXUS_BENCH_DATA otherwise")
	flag.StringVar(&o.contrast, "contrast", os.Getenv("NEXUS_BENCH_CONTRAST"), "JSON file of lessons, and of prompts that differ from them by what turns the meaning; its row is left out without it")
	flag.StringVar(&o.paraphrase, "paraphrase", "model/testdata/paraphrase.txt", "file of questions with three paraphrases each")
	only := flag.String("only", "", "measure only the rows whose name matches this regular expression")
	list := flag.Bool("list", false, "print the names of the rows and measure nothing")
	flag.IntVar(&o.prompts, "prompts", 0, "ask only so many prompts of each kind in a row, drawn at random; 0 is all")
	flag.IntVar(&o.seeds, "seeds", 1, "how many draws of each row; the figures are the means")
	flag.IntVar(&o.bots, "bots", 4, "small bots simulated from each data set")
	flag.IntVar(&o.callers, "callers", 4, "callers at once, each with a connection of its own")
	flag.BoolVar(&o.atOnce, "once", true, "also ask up to 300 prompts before the job of the lessons has ended")
	flag.BoolVar(&o.named, "named", false, "answer with the name of the intent, as a bot of commands may; otherwise the answers of CLINC150, HWU64 and SNIPS say nothing")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, &o, *only, *list)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "people:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options, only string, list bool) (err error) {
	if o.only, err = regexp.Compile(only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if o.data == "" {
		return errors.New("set NEXUS_BENCH_DATA to the folder that holds clinc150/ and hwu64/")
	}
	if _, err := os.Stat(o.binary); err != nil && !list {
		return errors.New("no program at " + o.binary + "; build it with `make build`")
	}
	rows, err := plan(o)
	if err != nil {
		return err
	}
	var measured []measurement
	for _, r := range rows {
		if !o.only.MatchString(r.name) {
			continue
		}
		if list {
			fmt.Println(r.name)
			continue
		}
		began := time.Now()
		m, err := r.measure(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s  (%s)\n", m.line(), time.Since(began).Round(time.Second))
		measured = append(measured, m)
	}
	if list {
		return nil
	}
	if len(measured) == 0 {
		return fmt.Errorf("no row matches -only %s; -list prints their names", only)
	}
	fmt.Printf("%d cores, %s, %s, %s, draws of each row: %d\n\n", runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format(time.DateOnly), asking(o), o.seeds)
	report(os.Stdout, measured)
	return nil
}

func asking(o *options) string {
	if o.prompts == 0 {
		return "every prompt asked"
	}
	return fmt.Sprintf("up to %d prompts of each kind asked", o.prompts)
}

// measure takes the mean over the draws of a row.
func (r row) measure(ctx context.Context, o *options) (measurement, error) {
	out := measurement{row: r}
	for seed := range o.seeds {
		t := r.draw(rand.New(rand.NewPCG(uint64(seed)+1, 0)))
		t.sample(o.prompts, rand.New(rand.NewPCG(uint64(seed)+1, 1)))
		f, err := t.run(ctx, o)
		if err != nil {
			return out, err
		}
		out.draws = append(out.draws, f)
	}
	return out, nil
}

// sample leaves n prompts of each kind; n of 0 leaves all.
func (t *trial) sample(n int, rng *rand.Rand) {
	t.asked = some(t.asked, n, rng)
	t.changed = some(t.changed, n, rng)
	t.foreign = some(t.foreign, n, rng)
}

// some draws n of all without changing all; n of 0 is all.
func some[T any](all []T, n int, rng *rand.Rand) []T {
	if n = cmp.Or(n, len(all)); n >= len(all) {
		return all
	}
	out := make([]T, n)
	for i, k := range rng.Perm(len(all))[:n] {
		out[i] = all[k]
	}
	return out
}
