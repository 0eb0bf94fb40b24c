package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nexus-continuum/nexus/client"
	"github.com/nexus-continuum/nexus/job"
)

// remote are the flags of commands that speak to a running server.
type remote struct {
	URL  string `name:"url" var:"NEXUS_URL" help:"Server to speak to, such as https://nexus.example.com; the one of NEXUS_LISTEN on this machine if it is not given."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// exitError ends the program with a code of its own.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

// exitRefused is the exit code of a prompt that was refused.
const exitRefused = 3

// address is the server's URL.
func (r remote) address(rt *runtime) (string, error) {
	if r.URL != "" {
		return r.URL, nil
	}
	host, port, err := net.SplitHostPort(rt.settings.Listen)
	if err != nil {
		return "", fmt.Errorf("NEXUS_LISTEN: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if rt.settings.speaksTLS() {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

// connect makes the client of the server.
func (r remote) connect(rt *runtime) (*client.Client, error) {
	address, err := r.address(rt)
	if err != nil {
		return nil, err
	}
	options := []client.Option{client.KeyHeader(rt.settings.APIKeyHeader)}
	keys, err := rt.settings.namedKeys()
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.Name == defaultKey {
			options = append(options, client.Key(k.Key))
		}
	}
	if r.URL == "" && rt.settings.speaksTLS() {
		// The certificate is for the name that clients use; here this machine's own port is asked.
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // own port
		options = append(options, client.HTTP(&http.Client{Transport: transport}))
	}
	c, err := client.New(address, options...)
	if err != nil {
		return nil, &settingError{"NEXUS_URL", address, err.Error()}
	}
	return c, nil
}

// explain turns an error of the server into one for a person at a terminal.
func explain(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	for i, f := range e.Faults {
		if i == 20 {
			fmt.Fprintf(os.Stderr, "  … and %d more\n", len(e.Faults)-i)
			break
		}
		fmt.Fprintf(os.Stderr, "  line %d: %s\n", f.Line, f.Detail)
	}
	// What the API calls on_error=skip is a flag here.
	e.Detail = strings.Replace(e.Detail, "?on_error=skip", "--skip", 1)
	switch e.Status {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w (set NEXUS_API_KEY)", err)
	default:
		return err
	}
}

// print writes v as JSON.
func (rt *runtime) print(v any) error {
	enc := json.NewEncoder(rt.main.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table lays rows out in columns.
func (rt *runtime) table(rows [][]string) error {
	w := tabwriter.NewWriter(rt.main.Stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		for i, cell := range r {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// progress shows how far a job is, on one line of a terminal.
func (rt *runtime) progress(quiet bool) (show func(job.Job), done func()) {
	f, ok := rt.main.Stderr.(*os.File)
	if !ok || quiet {
		return nil, func() {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil, func() {}
	}
	return func(j job.Job) {
		const width = 24
		bar := ""
		if p := j.Progress; p.Total > 0 {
			full := min(width, width*p.Done/p.Total)
			for i := range width {
				if i < full {
					bar += "#"
				} else {
					bar += "."
				}
			}
			bar = fmt.Sprintf(" [%s] %d of %d", bar, p.Done, p.Total)
		}
		what := j.Progress.Phase
		if what == "" {
			what = string(j.State)
		}
		if j.WaitingFor != nil {
			what = "waiting: " + *j.WaitingFor
		}
		fmt.Fprintf(f, "\r\x1b[K%s%s", job.Clip(what, 60), bar)
	}, func() { fmt.Fprint(f, "\r\x1b[K") }
}

// learned waits until what a train job brings answers, and says what it did.
func (rt *runtime) learned(ctx context.Context, c *client.Client, r remote, id string) error {
	show, done := rt.progress(r.JSON)
	j, err := c.Memorised(ctx, id, show)
	if err == nil && !j.State.Final() {
		j, err = endsSoon(ctx, c, j)
	}
	done()
	if err != nil {
		return explain(err)
	}
	if r.JSON {
		return rt.print(j)
	}
	var t job.Trained
	if len(j.Result) > 0 && json.Unmarshal(j.Result, &t) == nil && j.State.Final() {
		fmt.Fprintf(rt.main.Stdout, "lessons taken: %d, known before: %d, skipped: %d", t.LessonsTaken, t.LessonsKnown, t.LessonsSkipped)
		if t.LessonsRemoved > 0 {
			fmt.Fprintf(rt.main.Stdout, ", unlearned: %d", t.LessonsRemoved)
		}
		if t.ContradictionsTotal > 0 {
			fmt.Fprintf(rt.main.Stdout, ", contradictions: %d", t.ContradictionsTotal)
		}
		fmt.Fprintf(rt.main.Stdout, " (job %s)\n", j.ID)
		return nil
	}
	fmt.Fprintf(rt.main.Stdout, "%d lessons answer now; learning goes on in job %s\n", j.Progress.Total, j.ID)
	return nil
}

// soon is how long a command waits for the end of a job whose lessons answer.
const soon = 3 * time.Second

// endsSoon gives the end of a job whose lessons answer, if it comes soon: a small job
// ends at once, and has more to tell then. Where gradient steps follow, it is j.
func endsSoon(ctx context.Context, c *client.Client, j job.Job) (job.Job, error) {
	within, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	ended, err := c.Wait(within, j.ID, func(now job.Job) {
		if p := now.Progress.Phase; p == job.PhaseConsolidating || p == job.PhaseJudging {
			cancel()
		}
	})
	if within.Err() != nil && ctx.Err() == nil && !ended.State.Final() {
		return j, nil
	}
	return ended, err
}
