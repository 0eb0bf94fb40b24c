package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nexus-continuum/nexus/client"
)

type teachCmd struct {
	remote
	Question string   `short:"q" help:"One prompt to teach, with --answer."`
	Answer   string   `short:"a" help:"Its answer; empty teaches that it is to be refused."`
	Draft    bool     `help:"With --answer: keep it as a draft until it is published (nexus lessons --publish)."`
	Topic    string   `help:"Topic of lessons that name none, or the column that holds it."`
	Skip     bool     `help:"Take the good lines of a file that has faulty ones."`
	Files    []string `arg:"" optional:"" help:"Files of any format that nexus import reads; - is standard input."`
}

// Run teaches one lesson or files.
func (t teachCmd) Run(ctx context.Context, rt *runtime) error {
	c, err := t.connect(rt)
	if err != nil {
		return err
	}
	if t.Question != "" {
		l := client.Lesson{Prompt: t.Question, Validity: client.Validity{Draft: t.Draft}}
		if t.Answer != "" {
			l.Response = &t.Answer
		}
		j, err := c.Teach(ctx, t.Topic, l)
		if err != nil {
			return explain(err)
		}
		return rt.learned(ctx, c, t.remote, j.ID)
	}
	if len(t.Files) == 0 {
		return &exitError{exitUsage, `say what to teach: nexus teach FILE…, or nexus teach -q "How do I reset my password?" -a "Open Settings."`}
	}
	for _, name := range t.Files {
		body, opt, err := opened(name)
		if err != nil {
			return err
		}
		opt.Topic, opt.SkipFaulty = t.Topic, t.Skip
		j, err := c.Import(ctx, body, opt)
		if err = errors.Join(err, body.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, explain(err))
		}
		if err := rt.learned(ctx, c, t.remote, j.ID); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// opened opens a file; - is standard input.
func opened(name string) (io.ReadCloser, client.ImportOptions, error) {
	if name == "-" {
		return io.NopCloser(os.Stdin), client.ImportOptions{}, nil
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, client.ImportOptions{}, &exitError{exitUsage, fmt.Sprintf("there is no file %q. To teach one lesson: nexus teach -q QUESTION -a ANSWER", name)}
	}
	return f, client.ImportOptions{Name: filepath.Base(name)}, err
}

type importCmd struct {
	remote
	Prompt   string `help:"Column or field of the question."`
	Response string `help:"Column or field of the answer."`
	Topic    string `help:"Column or field of the topic, or the topic of all lessons."`
	Encoding string `help:"Character encoding, such as windows-1252; found by itself otherwise."`
	DryRun   bool   `help:"Only show what the file holds."`
	Skip     bool   `help:"Take the good lines of a file that has faulty ones."`
	File     string `arg:"" help:"CSV, TSV, XLSX, JSON, NDJSON, Rasa YAML or zip, Dialogflow zip, chat JSONL, Markdown or HTML; - is standard input."`
}

// Run shows what a file holds and teaches it.
func (i importCmd) Run(ctx context.Context, rt *runtime) error {
	c, err := i.connect(rt)
	if err != nil {
		return err
	}
	file, opt, err := opened(i.File)
	if err != nil {
		return err
	}
	defer file.Close()
	opt.Prompt, opt.Response, opt.Topic, opt.Encoding, opt.SkipFaulty = i.Prompt, i.Response, i.Topic, i.Encoding, i.Skip
	body, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", i.File, err)
	}
	p, err := c.Preview(ctx, bytes.NewReader(body), opt)
	if err != nil {
		return explain(err)
	}
	if i.DryRun && i.JSON {
		return rt.print(p)
	}
	if !i.JSON {
		preview(rt.main.Stdout, p)
	}
	if i.DryRun {
		return nil
	}
	j, err := c.Import(ctx, bytes.NewReader(body), opt)
	if e, ok := errors.AsType[*client.Error](err); ok && !i.JSON && p.FaultsTotal <= shownFaults {
		e.Faults = nil // the preview has just listed them
	}
	if err != nil {
		return explain(err)
	}
	return rt.learned(ctx, c, i.remote, j.ID)
}

// shownFaults is how many faulty lines a preview lists.
const shownFaults = 10

func preview(w io.Writer, p client.Preview) {
	what := []string{p.Format}
	if p.Encoding != nil {
		what = append(what, *p.Encoding)
	}
	if p.Columns != nil {
		what = append(what, fmt.Sprintf("question %q, answer %q", p.Columns.Prompt, p.Columns.Response))
	}
	fmt.Fprintf(w, "%s\n%d lessons: %d new, %d known, %d repeated; %d contradictions, %d faulty lines\n",
		strings.Join(what, "; "), p.Lessons, p.New, p.Known, p.Duplicates, p.ContradictionsTotal, p.FaultsTotal)
	for n, f := range p.Faults {
		if n == shownFaults {
			break
		}
		fmt.Fprintf(w, "  line %d: %s\n", f.Line, f.Detail)
	}
	for n, d := range p.Contradictions {
		if n == 10 {
			break
		}
		fmt.Fprintf(w, "  %q has %d answers; the last one counts\n", d.Prompt, len(d.Responses))
	}
}

type exportCmd struct {
	remote
	Format string `default:"ndjson" enum:"ndjson,csv,json" help:"Format: ndjson, csv, json."`
	Topic  string `help:"Only this topic."`
	Output string `short:"o" help:"File to write; standard output otherwise."`
}

// Run writes everything taught.
func (e exportCmd) Run(ctx context.Context, rt *runtime) error {
	c, err := e.connect(rt)
	if err != nil {
		return err
	}
	if e.Output == "" {
		return explain(c.Export(ctx, rt.main.Stdout, e.Format, e.Topic))
	}
	f, err := os.Create(e.Output)
	if err != nil {
		return err
	}
	return explain(errors.Join(c.Export(ctx, f, e.Format, e.Topic), f.Close()))
}
