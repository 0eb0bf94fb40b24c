package text_test

import (
	"testing"

	"github.com/nexus-continuum/nexus/model/text"
)

// TestNegationsThatTurnTheMeaning: a "not" counts where it stands before what is
// asked for, and not where it only asks, or where the other form says the same with
// "stop" or "cancel".
func TestNegationsThatTurnTheMeaning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prompt, lesson string
		negated        bool
	}{
		{"I don't want to book a table", "I want to book a table", true},
		{"do not restart the server", "restart the server", true},
		{"is it safe or not", "is it safe", false},
		{"I'm not sure if my card works abroad", "does my card work abroad", false},
		{"I can't figure out why my card was declined", "why was my card declined", false},
		{"I don't know how to reset it", "how do I reset it", false},
		{"I don't know my password", "I know my password", true},
		{"don't talk anymore", "stop talking please", false},
		{"don't cancel my order", "cancel my order", true},
		{"I do not want to cancel my order", "cancel my order", true},
		{"I don't need my table for five please cancel it", "cancel my table", false},
		{"I can't log in", "I cannot log in", false},
	} {
		var a text.Aligner
		f, g := new(text.Form), new(text.Form)
		f.Read(c.prompt)
		g.Read(c.lesson)
		if got := a.Align(f, g).Negated > 0; got != c.negated {
			t.Errorf("%q beside %q: negated %v, want %v", c.prompt, c.lesson, got, c.negated)
		}
		if got := a.Align(g, f).Negated > 0; got != c.negated {
			t.Errorf("%q beside %q: negated %v, want %v", c.lesson, c.prompt, got, c.negated)
		}
	}
}
