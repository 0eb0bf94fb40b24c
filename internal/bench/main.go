// Command bench measures the built program as its users meet it and prints a
// table: latency and throughput of interacts through HTTP and Redis, the queue
// against a plain Redis list in the same run, the speed of teaching, memory,
// CPU at rest and the time to be ready.
//
//	go run ./bench [-binary bin/nexus] [-lessons 15000] [-load 5s]
//	go run ./bench -jobs      fleets of processes, and what one job costs
//	go run ./bench -only retention    what a million prompts leave in Redis
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"text/tabwriter"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/nexus", "the program to measure")
	flag.IntVar(&o.lessons, "lessons", 15000, "lessons to teach")
	flag.DurationVar(&o.load, "load", 5*time.Second, "how long each load lasts")
	flag.DurationVar(&o.overload, "overload", 60*time.Second, "how long the overload lasts")
	flag.IntVar(&o.callers, "callers", 64, "concurrent callers")
	jobsOnly := flag.Bool("jobs", false, "measure only the way of a job: processes, cost, and against asynq and a list")
	flag.StringVar(&o.only, "only", "", "measure only this part: system, transport, training, overload, or strain for the last two; or retention, async, rolling or dashboards")
	flag.IntVar(&o.interacts, "interacts", 1_000_000, "how many prompts -only retention asks")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	measure := run
	if *jobsOnly {
		measure = jobs
	}
	err := measure(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	binary   string
	lessons  int
	load     time.Duration
	callers  int
	overload time.Duration
	only     string

	interacts int
}

// row is one line of the table.
type row struct{ what, figure, aim string }

// run measures in turn; each part adds its rows.
func run(ctx context.Context, o options) error {
	if _, err := os.Stat(o.binary); err != nil {
		return errors.New("no program at " + o.binary + "; build it with `make build`")
	}
	var rows []row
	for _, part := range []struct {
		name    string
		measure func(context.Context, options) ([]row, error)
	}{{"system", system}, {"transport", transport}, {"training", training}, {"overload", overload}, {"retention", retention}, {"async", async}, {"rolling", rolling}, {"dashboards", dashboards}} {
		strain := o.only == "strain" && (part.name == "training" || part.name == "overload")
		all := o.only == "" && part.name != "retention" && part.name != "async" && part.name != "rolling" && part.name != "dashboards"
		if part.name != o.only && !strain && !all {
			continue
		}
		more, err := part.measure(ctx, o)
		rows = append(rows, more...)
		if err != nil {
			return err
		}
	}
	fmt.Printf("%d cores, %s, %s\n\n", runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format(time.DateOnly))
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "figure\tmeasured\taim")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.what, r.figure, r.aim)
	}
	return w.Flush()
}
