package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/client"
	"github.com/nexus-continuum/nexus/job"
)

type answerCmd struct {
	remote
	Text    string `xor:"do,from,until" help:"Give all its phrasings this text."`
	Topic   string `xor:"do,from,until" help:"Move it to this topic."`
	From    string `xor:"from" help:"Give it from this time on, such as 2027-03-26T08:00:00Z, or always."`
	Until   string `xor:"until" help:"Give it until this time, or always."`
	History bool   `xor:"do,from,until" help:"List its changes."`
	Restore string `xor:"do,from,until" help:"Put it back as it was after the change with this id."`
	Suggest bool   `xor:"do,from,until" help:"Have the teacher of the server write other questions for it; nothing is taught."`
	Forget  bool   `xor:"do,from,until" help:"Unlearn it with all its phrasings."`
	ID      string `arg:"" help:"Id of the answer (nexus lessons --answers), or of any of its phrasings."`
}

// Run shows an answer, or changes it.
func (a answerCmd) Run(ctx context.Context, rt *runtime) error {
	c, err := a.connect(rt)
	if err != nil {
		return err
	}
	switch {
	case a.History:
		return a.history(ctx, rt, c)
	case a.Suggest:
		return a.suggest(ctx, rt, c)
	case a.Text != "", a.Topic != "", a.Restore != "", a.Forget:
		j, err := a.revise(ctx, c)
		if err != nil {
			return explain(err)
		}
		return rt.learned(ctx, c, a.remote, j.ID)
	}
	now, err := c.Answer(ctx, a.ID)
	if err == nil && (a.From != "" || a.Until != "") {
		now, err = a.date(ctx, c, now)
	}
	if err != nil {
		return explain(err)
	}
	return a.show(rt, now)
}

// revise asks for a change that is a train job.
func (a answerCmd) revise(ctx context.Context, c *client.Client) (job.Job, error) {
	switch {
	case a.Text != "":
		return c.ReviseAnswer(ctx, a.ID, a.Text)
	case a.Topic != "":
		return c.MoveAnswer(ctx, a.ID, a.Topic)
	case a.Restore != "":
		return c.RestoreAnswer(ctx, a.ID, a.Restore)
	}
	return c.ForgetAnswer(ctx, a.ID)
}

// date sets the dates that were given; the other one stays.
func (a answerCmd) date(ctx context.Context, c *client.Client, now client.Answer) (client.Answer, error) {
	for _, d := range []struct {
		given string
		date  **job.Time
	}{{a.From, &now.From}, {a.Until, &now.Until}} {
		switch d.given {
		case "":
		case "always":
			*d.date = nil
		default:
			at, err := time.Parse(time.RFC3339, d.given)
			if err != nil {
				return now, &exitError{exitUsage, fmt.Sprintf("%q is no time; write it as 2027-03-26T08:00:00Z, or always", d.given)}
			}
			*d.date = &job.Time{Time: at}
		}
	}
	return c.SetDates(ctx, a.ID, now.From, now.Until)
}

func (a answerCmd) show(rt *runtime, now client.Answer) error {
	if a.JSON {
		return rt.print(now)
	}
	text := "(refuse)"
	if now.Response != nil {
		text = *now.Response
	}
	state := now.State
	if now.From != nil {
		state += ", from " + now.From.Format(time.RFC3339)
	}
	if now.Until != nil {
		state += ", until " + now.Until.Format(time.RFC3339)
	}
	fmt.Fprintf(rt.main.Stdout, "%s\n\nid     %s\ntopic  %s\nstate  %s\n\n", text, now.ID, now.Topic, state)
	rows := [][]string{{"PHRASING", "ID"}}
	for _, l := range now.Lessons {
		rows = append(rows, []string{l.Prompt, l.ID})
	}
	return rt.table(rows)
}

func (a answerCmd) history(ctx context.Context, rt *runtime, c *client.Client) error {
	changes, complete, err := c.History(ctx, a.ID)
	if err != nil {
		return explain(err)
	}
	if a.JSON {
		return rt.print(changes)
	}
	rows := [][]string{{"CHANGE", "AT", "WHO", "WHAT", "PHRASINGS", "TOPIC", "RESPONSE"}}
	for _, ch := range changes {
		at := ""
		if ch.At != nil {
			at = ch.At.Format(time.DateTime)
		}
		text := response(ch.Response)
		if ch.What == "unlearned" {
			text = ""
		}
		rows = append(rows, []string{ch.ID, at, ch.Who, ch.What, strconv.Itoa(ch.Phrasings), ch.Topic, text})
	}
	if err := rt.table(rows); err != nil {
		return err
	}
	if !complete {
		fmt.Fprintln(rt.main.Stderr, "There were more changes before these.")
	}
	return nil
}

func (a answerCmd) suggest(ctx context.Context, rt *runtime, c *client.Client) error {
	phrasings, err := c.Suggest(ctx, a.ID)
	if err != nil {
		return explain(err)
	}
	if a.JSON {
		return rt.print(phrasings)
	}
	fmt.Fprintln(rt.main.Stdout, strings.Join(phrasings, "\n"))
	return nil
}
