package topic_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/nexus-continuum/nexus/topic"
	"github.com/nexus-continuum/nexus/topic/topictest"
)

// phrasings groups the prompts of a pack by their answer.
func phrasings(p topic.Pack) map[string][]string {
	byAnswer := make(map[string][]string)
	for _, lesson := range p.Lessons {
		byAnswer[lesson.Response] = append(byAnswer[lesson.Response], lesson.Prompt)
	}
	return byAnswer
}

// taught maps every normalised prompt of a pack to its answer.
func taught(p topic.Pack) map[string]string {
	answers := make(map[string]string)
	for _, lesson := range p.Lessons {
		answers[topic.Normalise(lesson.Prompt)] = lesson.Response
	}
	return answers
}

func TestEmbeddedPacks(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]int{"general_knowledge": 400, "nexus": 40} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pack(t, open(t, ""), name)
			if p.Title == "" || p.Description == "" || p.Licence == "" {
				t.Errorf("header is incomplete: %q, %q, %q", p.Title, p.Description, p.Licence)
			}
			byAnswer := phrasings(p)
			if len(byAnswer) < answers {
				t.Errorf("%d answers, want at least %d", len(byAnswer), answers)
			}
			for answer, prompts := range byAnswer {
				if n := len(prompts); n < 3 || n > 8 {
					t.Errorf("%d phrasings of %q, want 3 to 8", n, answer)
				}
			}
			t.Logf("%d answers, %d phrasings", len(byAnswer), len(p.Lessons))
		})
	}
}

// Answers are read by people: sentences that begin and end like sentences.
func TestAnswersAreSentences(t *testing.T) {
	t.Parallel()
	for answer := range phrasings(pack(t, open(t, ""), "general_knowledge")) {
		first := []rune(answer)[0]
		if !unicode.IsUpper(first) || !strings.HasSuffix(answer, ".") || !strings.Contains(answer, " ") {
			t.Errorf("%q is no sentence", answer)
		}
	}
}

// No two packs give one prompt two answers, so that both can be taught.
func TestPacksDoNotContradict(t *testing.T) {
	t.Parallel()
	library := open(t, "")
	general := taught(pack(t, library, "general_knowledge"))
	for prompt := range taught(pack(t, library, "nexus")) {
		if answer, both := general[prompt]; both {
			t.Errorf("%q is in nexus and means %q in general_knowledge", prompt, answer)
		}
	}
}

func TestHeldoutIsHeldOut(t *testing.T) {
	t.Parallel()
	p := pack(t, open(t, ""), "general_knowledge")
	heldout, err := topictest.Heldout()
	if err != nil {
		t.Fatal(err)
	}
	if len(heldout) < 450 {
		t.Errorf("%d held-out prompts, want at least 450", len(heldout))
	}
	answers, byAnswer := taught(p), phrasings(p)
	covered, seen := make(map[string]bool), make(map[string]bool)
	for _, lesson := range heldout {
		key := topic.Normalise(lesson.Prompt)
		if answer, known := answers[key]; known {
			t.Errorf("%q is taught (%q)", lesson.Prompt, answer)
		}
		if byAnswer[lesson.Response] == nil {
			t.Errorf("%q expects %q, which the pack does not give", lesson.Prompt, lesson.Response)
		}
		if seen[key] {
			t.Errorf("%q is there twice", lesson.Prompt)
		}
		seen[key], covered[lesson.Response] = true, true
	}
	if len(covered) < 300 {
		t.Errorf("held-out prompts cover %d answers, want at least 300", len(covered))
	}
	t.Logf("%d held-out prompts of %d answers", len(heldout), len(covered))
}

func TestForeignPromptsAreForeign(t *testing.T) {
	t.Parallel()
	library := open(t, "")
	answers := taught(pack(t, library, "general_knowledge"))
	for name, c := range map[string]struct {
		read         func() ([]topictest.Foreign, error)
		least, sorts int
	}{
		"foreign":        {topictest.ForeignPrompts, 300, 15},
		"unknown entity": {topictest.UnknownEntities, 120, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prompts, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			if len(prompts) < c.least {
				t.Errorf("%d prompts, want at least %d", len(prompts), c.least)
			}
			sorts, seen := make(map[string]int), make(map[string]bool)
			for _, one := range prompts {
				if answer, known := answers[topic.Normalise(one.Prompt)]; known {
					t.Errorf("%q is taught (%q)", one.Prompt, answer)
				}
				if one.Prompt == "" || one.Sort == "" || seen[one.Prompt] {
					t.Errorf("%+v is empty or there twice", one)
				}
				seen[one.Prompt] = true
				sorts[one.Sort]++
			}
			if len(sorts) < c.sorts {
				t.Errorf("sorts are %v, want at least %d", sorts, c.sorts)
			}
			t.Logf("%d prompts of %d sorts", len(prompts), len(sorts))
		})
	}
}
