package main

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// deployment answers four prompts right, two wrong and refuses four, of which
// the best candidate is right for three.
func deployment() (t trial, replies []reply) {
	t.lessons = []lesson{{"hours", "nine"}, {"price", "ten"}}
	for i, r := range []struct {
		given      string
		confidence float64
	}{
		{"nine", .99},
		{"nine", .95},
		{"ten", .90},
		{"nine", .88},
		{"nine", .86},
		{"ten", .85},
		{"", .7},
		{"", .6},
		{"", .5},
		{"", .4},
	} {
		t.asked = append(t.asked, lesson{"when are you open", "nine"})
		out := reply{Response: r.given, Responded: r.given != "", Confidence: r.confidence}
		out.Sources = append(out.Sources, source{Prompt: "hours"})
		if i == 9 {
			out.Sources[0].Prompt = "price"
		}
		replies = append(replies, out)
	}
	return t, replies
}

func TestScore(t *testing.T) {
	t.Parallel()
	trial, replies := deployment()
	f := trial.score(trial.asked, replies)
	// Of ten prompts none may be wrong at 5 %, so the oracle stops before the first.
	for what, pair := range map[string][2]float64{
		"best": {f.best, .7}, "right": {f.right, .4}, "wrong": {f.wrong, .2}, "oracle": {f.oracle, .2},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-9 {
			t.Errorf("%s is %.3f, want %.3f", what, pair[0], pair[1])
		}
	}
	if !math.IsNaN(f.foreign) || !math.IsNaN(f.changed) {
		t.Error("a share of nothing must be no figure")
	}
}

func TestAUROC(t *testing.T) {
	t.Parallel()
	at := func(all ...float64) (out []reply) {
		for _, c := range all {
			out = append(out, reply{Confidence: c})
		}
		return out
	}
	for _, c := range []struct {
		in, out []reply
		want    float64
	}{{at(.9, .8), at(.1, .2), 1}, {at(.1), at(.9), 0}, {at(.5, .5), at(.5), .5}, {at(.9, .3), at(.5), .5}} {
		if got := auroc(c.in, c.out); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("auroc of %v against %v is %v, want %v", c.in, c.out, got, c.want)
		}
	}
}

func TestMoreLessonsThatAnswerLessAreNamed(t *testing.T) {
	t.Parallel()
	at := func(name string, right float64) measurement {
		return measurement{row{name: name, series: "bank"}, []figures{{kept: kept{right: right}, oracle: .9}}}
	}
	var out strings.Builder
	report(&out, []measurement{at("bank × 1", .5), at("bank × 3", .3), at("bank × 5", .29)})
	if !strings.Contains(out.String(), "More lessons answer less: bank × 1 50.0 %, bank × 3 30.0 %.") || strings.Contains(out.String(), "less: bank × 3") {
		t.Errorf("the report is:\n%s", out.String())
	}
}

func TestHeldOutSets(t *testing.T) {
	t.Parallel()
	rows, err := questions(&options{paraphrase: "../../../model/testdata/paraphrase.txt"})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) < 5 {
		t.Fatalf("%d rows of questions, want the paraphrases and two held-out sets", len(rows))
	}
	for _, r := range rows[1:] {
		trial := r.draw(rand.New(rand.NewPCG(1, 1)))
		if len(trial.lessons) == 0 || len(trial.asked) == 0 || len(trial.changed) < 10 || len(trial.foreign) < 10 {
			t.Errorf("%s: %d lessons, %d asked, %d changed, %d foreign", r.name, len(trial.lessons), len(trial.asked), len(trial.changed), len(trial.foreign))
		}
	}
	if _, err := readFAQ("neither this nor that\n"); err == nil {
		t.Error("a line that is no answer must be named")
	}
}
