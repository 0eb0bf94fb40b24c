package model_test

import (
	"fmt"
	"testing"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/topic"
	"github.com/nexus-continuum/nexus/topic/topictest"
)

// said is a judgement of what m makes of a prompt.
func said(m *model.Model, id int, prompt string, correct bool) model.Judgement {
	v := ask(m, prompt)
	j := model.Judgement{Interaction: fmt.Sprint(id), Prompt: prompt, Topic: v.Topic, Reason: v.Reason, Correct: correct}
	if v.Responded {
		j.Response = &v.Response
	}
	for _, s := range v.Sources() {
		j.Lessons = append(j.Lessons, s.LessonID())
	}
	return j
}

// things is a model that was taught one phrasing of each answer of the first pack,
// so that only other deployments tell its threshold, with phrasings that it answers
// by its gate and foreign prompts that it refuses.
func things(t *testing.T) (m *model.Model, answered, refused []string) {
	t.Helper()
	library, err := topic.Open("")
	if err != nil {
		t.Fatal(err)
	}
	p, err := library.Pack("general_knowledge")
	if err != nil {
		t.Fatal(err)
	}
	var lessons []model.Lesson
	once := map[string]bool{}
	for _, l := range p.Lessons {
		if once[l.Response] {
			continue
		}
		once[l.Response] = true
		lessons = append(lessons, model.Lesson{Topic: p.Name, Prompt: l.Prompt, Response: l.Response})
	}
	m = taught(t, lessons)
	heldOut, err := topictest.Heldout()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := topictest.ForeignPrompts()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range heldOut[:min(400, len(heldOut))] {
		if v := ask(m, l.Prompt); v.Responded && v.Response == l.Response && v.Confidence < 0.98 {
			answered = append(answered, l.Prompt)
		}
	}
	for _, f := range foreign[:min(50, len(foreign))] {
		if v := ask(m, f.Prompt); !v.Responded {
			refused = append(refused, f.Prompt)
		}
	}
	if len(answered) < 30 || len(refused) < 10 {
		t.Fatalf("%d phrasings are answered and %d foreign prompts refused; the test needs more", len(answered), len(refused))
	}
	return m, answered, refused
}

// A deployment's own users take the place of other deployments: if they are content,
// more is answered than before, and if they complain, less.
func TestJudgementsMoveTheThreshold(t *testing.T) {
	t.Parallel()
	m, answered, refused := things(t)
	fresh := m.Info()
	if fresh.Calibrated {
		t.Fatal("the model is calibrated before anything was judged")
	}
	content, upset := m, m
	var happy, unhappy model.Judged
	for i := range 250 {
		// A quarter of the answers are called wrong, each time that they are judged.
		wrong, right := answered[:len(answered)/4], answered[len(answered)/4:]
		prompt, correct := right[i%len(right)], true
		if i%5 == 1 {
			prompt = wrong[i/5%len(wrong)]
		}
		if i%5 == 0 {
			prompt = refused[i/5%len(refused)]
		}
		was := content.Info().Threshold
		content, happy = content.Feedback([]model.Judgement{said(content, i, prompt, correct)})
		if content.Info().Threshold > was && i%5 == 0 {
			t.Fatalf("judgement %d, that a refusal was right, raises the threshold from %.4f to %.4f", i, was, content.Info().Threshold)
		}
		was = upset.Info().Threshold
		j := said(m, i, prompt, i%5 != 1)
		upset, unhappy = upset.Feedback([]model.Judgement{j})
		if upset.Info().Threshold < was && !j.Correct {
			t.Fatalf("complaint %d lowers the threshold from %.4f to %.4f", i, was, upset.Info().Threshold)
		}
		if happy.Counted != 1 || unhappy.Counted != 1 {
			t.Fatalf("judgement %d (%q) is left out: %+v, %+v", i, prompt, happy, unhappy)
		}
	}
	a, b := content.Info(), upset.Info()
	if !a.Calibrated || !b.Calibrated || a.Judged != fresh.Judged+250 || b.Judged != fresh.Judged+250 {
		t.Errorf("after 250 judgements: %+v and %+v", a, b)
	}
	if a.Threshold >= fresh.Threshold || b.Threshold <= fresh.Threshold {
		t.Errorf("threshold %.4f before, %.4f where users are content and %.4f where every fifth answer is wrong", fresh.Threshold, a.Threshold, b.Threshold)
	}
	// Who complained is heard: such answers are refused from now on.
	wrong, given := 0, 0
	for i := range 250 {
		if i%5 == 1 {
			wrong++
			if ask(upset, answered[i/5%(len(answered)/4)]).Responded {
				given++
			}
		}
	}
	if given > 0 {
		t.Errorf("%d of the %d answers that were called wrong are still given", given, wrong)
	}
	again, err := model.Open(model.Config{Seed: 3}, upset.Parts())
	if err != nil || again.Info().Threshold != b.Threshold || again.Info().Judged != b.Judged {
		t.Errorf("opened again: %+v, %v; want threshold %v", again.Info(), err, b.Threshold)
	}
}

// Somebody who complains often about one answer is heard once.
func TestTheLaterJudgementOfAnInteractionCounts(t *testing.T) {
	t.Parallel()
	m, answered, _ := things(t)
	before, held := m.Info().Threshold, m.Info().Judged
	once, _ := m.Feedback([]model.Judgement{said(m, 1, answered[0], false)})
	often := once
	for range 300 {
		often, _ = often.Feedback([]model.Judgement{said(m, 1, answered[0], false)})
	}
	if a, b := once.Info(), often.Info(); a.Threshold != b.Threshold || b.Judged != held+1 {
		t.Errorf("one complaint: %.4f; the same 300 times: %.4f with %d judged", a.Threshold, b.Threshold, b.Judged)
	}
	var all []model.Judgement
	for i := range 100 {
		all = append(all, said(m, i, answered[i%len(answered)], false))
	}
	upset, _ := m.Feedback(all)
	if upset.Info().Threshold <= before {
		t.Fatalf("100 complaints leave the threshold at %.4f", upset.Info().Threshold)
	}
	for i := range all {
		all[i].Correct = true
	}
	if calm, done := upset.Feedback(all); calm.Info().Threshold > before || done.Counted != 100 {
		t.Errorf("threshold %.4f after every complaint was taken back, %.4f before any", calm.Info().Threshold, before)
	}
}

// Where the threshold had no part, a judgement says nothing of it.
func TestJudgementsThatSayNothingOfTheThreshold(t *testing.T) {
	t.Parallel()
	m, answered, refused := things(t)
	word := func(s string) *string { return &s }
	gone := said(m, 1, answered[0], false)
	gone.Response = word("Nobody was ever taught this.")
	vague := said(m, 1, refused[0], false)
	told := vague
	told.Right = word("In the kitchen.")
	for name, c := range map[string]struct {
		j       model.Judgement
		counted int
	}{
		"a lesson's own words":              {said(m, 1, "What is the capital of Ghana?", false), 0},
		"an answer that is gone":            {gone, 0},
		"a refusal, no right answer told":   {vague, 0},
		"a refusal, the right answer told":  {told, 1},
		"a prompt that is told to no model": {model.Judgement{Interaction: "1", Correct: true}, 0},
	} {
		next, done := m.Feedback([]model.Judgement{c.j})
		if done.Counted != c.counted || done.Counted+done.LeftOut != 1 || next.Info().Judged != m.Info().Judged+c.counted {
			t.Errorf("%s: %+v, %d more in the window; want %d counted", name, done, next.Info().Judged-m.Info().Judged, c.counted)
		}
	}
}
