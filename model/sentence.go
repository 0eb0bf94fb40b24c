package model

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nexus-continuum/nexus/job"
)

// maxSentences bounds the sentences of a prompt that are looked at one by one.
const maxSentences = 8

// sentences are the parts of a prompt between full stops, question marks and line
// breaks; nil where there is but one.
func sentences(prompt string) (out []string) {
	if !strings.ContainsAny(strings.TrimRight(prompt, "\n.?!:; "), ".?!:;\n。？！") {
		return nil // the common case takes nothing from the heap
	}
	from := 0
	for i, r := range prompt {
		ends := r == '\n' || strings.ContainsRune("。？！", r)
		if strings.ContainsRune(".?!:;", r) {
			next, _ := utf8.DecodeRuneInString(prompt[i+1:])
			ends = i+1 == len(prompt) || unicode.IsSpace(next)
		}
		if !ends {
			continue
		}
		to := i + utf8.RuneLen(r)
		if s := strings.TrimSpace(prompt[from:to]); s != "" {
			out = append(out, s)
		}
		from = to
	}
	if s := strings.TrimSpace(prompt[from:]); s != "" {
		out = append(out, s)
	}
	if len(out) < 2 || len(out) > maxSentences {
		return nil
	}
	return out
}

// asides: an answer to one sentence of several is a little less sure.
const asideConfidence = 0.95

// bySentence answers a refused prompt of several sentences where one of them is
// answered by itself and the others are none of memory's business: a greeting, a
// story, a signature. A second question is business.
func (m *Model) bySentence(q Query, whole Verdict) Verdict {
	if whole.Reason == job.ReasonTaughtRefusal || whole.Reason == job.ReasonUntaught {
		return whole
	}
	parts := sentences(q.Prompt)
	if parts == nil {
		return whole
	}
	queries := make([]Query, len(parts))
	for i, p := range parts {
		queries[i] = Query{Prompt: p, Topic: q.Topic, part: true}
	}
	found := -1
	verdicts := m.Ask(queries)
	for i := range verdicts {
		switch v := &verdicts[i]; {
		case v.Responded && found >= 0 && v.Response != verdicts[found].Response, v.Reason == job.ReasonTaughtRefusal:
			return whole
		case v.Responded && found < 0:
			found = i
		case !v.Responded && strings.HasSuffix(parts[i], "?"):
			return whole
		}
	}
	if found < 0 {
		return whole
	}
	out := verdicts[found]
	out.Confidence = min(out.Confidence, asideConfidence)
	if out.Confidence < out.Threshold {
		return whole
	}
	return out
}
