package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nexus-continuum/nexus/client"
	"github.com/nexus-continuum/nexus/job"
)

type lessonsCmd struct {
	remote
	Topic   string `help:"Only this topic."`
	Search  string `short:"q" help:"Words that must all occur."`
	Answers bool   `help:"List answers with their phrasings instead of single lessons."`
	Limit   int    `default:"50" help:"How many at most."`
	Forget  string `help:"Unlearn the lesson with this id."`
	State   string `enum:",live,draft,scheduled,expired" default:"" help:"List answers in this state: live, draft, scheduled (not given yet) or expired."`
	Publish string `help:"Give the answer with this id, which was a draft, from now on."`
	Hold    string `help:"Hold the answer with this id back as a draft."`
}

// Run lists what is known.
func (l lessonsCmd) Run(ctx context.Context, rt *runtime) error {
	c, err := l.connect(rt)
	if err != nil {
		return err
	}
	if l.Forget != "" {
		j, err := c.ForgetLesson(ctx, l.Forget)
		if err != nil {
			return explain(err)
		}
		return rt.learned(ctx, c, l.remote, j.ID)
	}
	if id := cmp.Or(l.Publish, l.Hold); id != "" {
		a, err := c.Publish(ctx, id, l.Publish == "")
		if err != nil {
			return explain(err)
		}
		if l.JSON {
			return rt.print(a)
		}
		fmt.Fprintln(rt.main.Stdout, a.State)
		return nil
	}
	if l.Answers || l.State != "" {
		return l.answers(ctx, rt, c)
	}
	all := []client.Lesson{}
	for at := (client.List{Topic: l.Topic, Q: l.Search}); len(all) < l.Limit; {
		at.Limit = min(l.Limit-len(all), 500)
		page, next, err := c.Lessons(ctx, at)
		if err != nil {
			return explain(err)
		}
		all = append(all, page...)
		if at.Cursor = next; next == "" {
			break
		}
	}
	if l.JSON {
		return rt.print(all)
	}
	rows := [][]string{{"ID", "TOPIC", "PROMPT", "RESPONSE"}}
	for _, e := range all {
		rows = append(rows, []string{e.ID, e.Topic, brief(e.Prompt), response(e.Response)})
	}
	return rt.table(rows)
}

func (l lessonsCmd) answers(ctx context.Context, rt *runtime, c *client.Client) error {
	all := []client.Answer{}
	for at := (client.List{Topic: l.Topic, Q: l.Search, State: l.State}); len(all) < l.Limit; {
		at.Limit = min(l.Limit-len(all), 500)
		page, next, err := c.Answers(ctx, at)
		if err != nil {
			return explain(err)
		}
		all = append(all, page...)
		if at.Cursor = next; next == "" {
			break
		}
	}
	if l.JSON {
		return rt.print(all)
	}
	rows := [][]string{{"ID", "TOPIC", "STATE", "PHRASINGS", "FIRST", "RESPONSE"}}
	for _, a := range all {
		rows = append(rows, []string{a.ID, a.Topic, a.State, strconv.Itoa(a.Phrasings), brief(a.Lessons[0].Prompt), response(a.Response)})
	}
	return rt.table(rows)
}

// brief puts a text on one line of a table.
func brief(s string) string { return job.Clip(strings.Join(strings.Fields(s), " "), 60) }

func response(s *string) string {
	if s == nil {
		return "(refuse)"
	}
	return brief(*s)
}

type refusalsCmd struct {
	remote
	Dismiss string `help:"Take the group with this id off the list."`
}

// Run lists what was asked in vain.
func (r refusalsCmd) Run(ctx context.Context, rt *runtime) error {
	c, err := r.connect(rt)
	if err != nil {
		return err
	}
	if r.Dismiss != "" {
		if err := c.DismissRefusal(ctx, r.Dismiss); err != nil {
			return explain(err)
		}
		fmt.Fprintln(rt.main.Stdout, "dismissed")
		return nil
	}
	list, next, err := c.Refusals(ctx, "")
	if err != nil {
		return explain(err)
	}
	if r.JSON {
		return rt.print(list)
	}
	rows := [][]string{{"ID", "COUNT", "REASON", "PROMPT", "NEAREST LESSON"}}
	for _, g := range list {
		near := "-"
		if len(g.Nearest) > 0 {
			near = brief(g.Nearest[0].Prompt)
		}
		rows = append(rows, []string{g.ID, strconv.Itoa(g.Count), g.Reason, brief(g.Prompt), near})
	}
	if err := rt.table(rows); err != nil || next == "" {
		return err
	}
	fmt.Fprintln(rt.main.Stdout, "… and more")
	return nil
}
