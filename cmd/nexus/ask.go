package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
)

type askCmd struct {
	remote
	Topic  string   `help:"Only lessons of this topic may answer."`
	Prompt []string `arg:"" optional:"" help:"What to ask; without it the prompt is read from standard input."`
}

// Help is shown by nexus ask --help.
func (askCmd) Help() string {
	return `Exit code 0 is an answer, 3 a refusal (its reason is printed to standard error), 1 a failure.`
}

// Run asks one prompt.
func (a askCmd) Run(ctx context.Context, rt *runtime) error {
	prompt := strings.Join(a.Prompt, " ")
	if prompt == "" {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if line = strings.TrimSpace(line); line == "" {
			return &exitError{exitUsage, fmt.Sprintf("say what to ask: nexus ask \"How do I reset my password?\" (%v)", err)}
		}
		prompt = line
	}
	c, err := a.connect(rt)
	if err != nil {
		return err
	}
	answer, err := c.Ask(ctx, prompt, a.Topic)
	if err != nil {
		return explain(err)
	}
	if a.JSON {
		if err := rt.print(answer); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(rt.main.Stdout, answer.Response)
	}
	if answer.Responded {
		return nil
	}
	why := &exitError{code: exitRefused}
	if answer.Reason != nil && !a.JSON {
		why.text = fmt.Sprintf("refused: %s (confidence %.2f, threshold %.2f)", *answer.Reason, answer.Confidence, answer.Threshold)
		for _, s := range answer.Sources {
			why.text += fmt.Sprintf("\n  near: %s (%.2f)", s.Prompt, s.Similarity)
		}
	}
	return why
}
