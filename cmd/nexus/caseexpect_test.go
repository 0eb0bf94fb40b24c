package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// mismatch tells how the last reply differs from what was expected: alternatives
// between bars, each an answer, `refused`, or `refused` and its reason.
func (c *caseRun) mismatch(want string) string {
	got := "answered " + strconv.Quote(c.reply.Response)
	if !c.reply.Responded {
		got = "refused"
		if c.reply.Reason != nil {
			got += " " + *c.reply.Reason
		}
	}
	for alternative := range strings.SplitSeq(want, " | ") {
		switch {
		case alternative == "refused" && (strings.HasPrefix(got, "refused") && c.status == http.StatusOK || c.status == http.StatusBadRequest || c.status == http.StatusUnprocessableEntity),
			alternative == got, c.reply.Responded && alternative == c.reply.Response:
			return ""
		}
	}
	if c.status != http.StatusOK {
		got = fmt.Sprintf("status %d: %s", c.status, c.reply.Detail)
	}
	return fmt.Sprintf("ask %q: %s at %.3f, want %s", c.prompt, got, c.reply.Confidence, want)
}

// unsupported tells of an answer without a lesson of its own among its sources.
func (c *caseRun) unsupported() string {
	prompts, known := c.taught[c.reply.Response]
	if !c.reply.Responded || !known {
		return ""
	}
	var sources []string
	for _, s := range c.reply.Sources {
		if slices.Contains(prompts, strings.ToLower(s.Prompt)) {
			return ""
		}
		sources = append(sources, s.Prompt)
	}
	return fmt.Sprintf("ask %q: answered %q, which no source is a lesson of: %q", c.prompt, c.reply.Response, sources)
}

func (c *caseRun) expect(s step) {
	what, rest, _ := strings.Cut(s.rest, " ")
	switch {
	case what == "status":
		if got := strconv.Itoa(c.status); got != rest {
			c.fault(s, "status %s, want %s: %v", got, rest, c.body)
		}
	case what == "source":
		if !slices.ContainsFunc(c.reply.Sources, func(s source) bool { return strings.EqualFold(s.Prompt, rest) }) {
			c.fault(s, "ask %q: %q is not among the sources %+v", c.prompt, rest, c.reply.Sources)
		}
	case strings.HasPrefix(what, "."):
		if err := compare(at(c.body, strings.Split(what[1:], ".")...), rest); err != nil {
			c.fault(s, "%s: %v", what, err)
		}
	default:
		if fault := c.mismatch(s.rest); fault != "" {
			c.fault(s, "%s", fault)
		}
	}
}

// at follows a path into JSON; nil where it leads nowhere.
func at(v any, path ...string) any {
	for _, key := range path {
		switch in := v.(type) {
		case map[string]any:
			v = in[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

// compare holds a value against `x`, `has x`, `<= x`, `>= x`, `< x` or `> x`.
func compare(v any, want string) error {
	got := fmt.Sprint(v)
	if v == nil {
		got = "null"
	}
	if list, ok := v.([]any); ok {
		raw, _ := json.Marshal(list)
		got = string(raw)
	}
	op, rest, _ := strings.Cut(want, " ")
	ok := got == want
	x, err1 := strconv.ParseFloat(got, 64)
	y, err2 := strconv.ParseFloat(rest, 64)
	numbers := err1 == nil && err2 == nil
	switch op {
	case "has":
		ok = strings.Contains(got, rest)
	case "<=":
		ok = numbers && x <= y
	case ">=":
		ok = numbers && x >= y
	case "<":
		ok = numbers && x < y
	case ">":
		ok = numbers && x > y
	}
	if !ok {
		return fmt.Errorf("is %s, want %s", got, want)
	}
	return nil
}
