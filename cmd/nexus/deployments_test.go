package main

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// asked is what came of the prompts of deployments with the same number of lessons
// for each answer.
type asked struct{ prompts, right, wrong int }

func (a asked) share(n int) float64 { return float64(n) / float64(a.prompts) }

// TestMoreLessonsAnswerMore teaches questions with one, two and three phrasings to
// deployments of their own and asks each the same other phrasings. However few
// lessons there are, at most the target of the prompts is answered wrongly, and
// more lessons never answer less.
func TestMoreLessonsAnswerMore(t *testing.T) {
	t.Parallel()
	judge := judgeWithGaps(t)
	var (
		mu  sync.Mutex
		sum [4]asked // by lessons for each answer
	)
	t.Run("of", func(t *testing.T) {
		for _, file := range []string{
			"../../internal/bench/people/heldout/gym.txt", "../../internal/bench/people/heldout/library.txt",
			"../../model/testdata/paraphrase.txt", "../../model/testdata/helpdesk.txt",
		} {
			for n := 1; n <= 3; n++ {
				t.Run(fmt.Sprintf("%s×%d", strings.TrimSuffix(filepath.Base(file), ".txt"), n), func(t *testing.T) {
					t.Parallel()
					got := deploy(t, questionsOf(t, file), n)
					t.Logf("%d prompts, %.1f %% right, %.1f %% wrong", got.prompts, 100*got.share(got.right), 100*got.share(got.wrong))
					mu.Lock()
					defer mu.Unlock()
					sum[n].prompts += got.prompts
					sum[n].right += got.right
					sum[n].wrong += got.wrong
				})
			}
		}
	})
	if sum[1].prompts == 0 || sum[1].prompts != sum[2].prompts || sum[2].prompts != sum[3].prompts {
		return // only some were asked for
	}
	const target, tolerance = 0.05, 0.02
	var wrong, less []string
	for n := 1; n <= 3; n++ {
		s := sum[n]
		t.Logf("%d lessons for each answer: %d prompts, %.1f %% right, %.1f %% wrong", n, s.prompts, 100*s.share(s.right), 100*s.share(s.wrong))
		if sampling := 2 * math.Sqrt(target*(1-target)/float64(s.prompts)); s.share(s.wrong) > target+sampling {
			wrong = append(wrong, fmt.Sprintf("%d lessons for each answer: %.1f %% answered wrongly, promised are %.0f %%", n, 100*s.share(s.wrong), 100*target))
		}
		if n > 1 && s.share(s.right) < sum[n-1].share(sum[n-1].right)-tolerance {
			less = append(less, fmt.Sprintf("%d lessons for each answer: %.1f %% answered right, with one lesson less %.1f %%", n, 100*s.share(s.right), 100*sum[n-1].share(sum[n-1].right)))
		}
	}
	judge(t, "deployments: the target is kept", wrong)
	judge(t, "deployments: more lessons answer more", less)
}

// questionsOf reads a line a question: its phrasings between bars, and perhaps its answer.
func questionsOf(t *testing.T, file string) (out [][]string) {
	t.Helper()
	for _, line := range readList(t, file) {
		phrasings, _, _ := strings.Cut(line, " => ")
		if all := strings.Split(phrasings, " | "); len(all) > 3 {
			out = append(out, all)
		}
	}
	return out
}

// deploy teaches n phrasings of each question and asks those after the third.
func deploy(t *testing.T, questions [][]string, n int) (got asked) {
	t.Helper()
	var lessons []lesson
	for i, q := range questions {
		for _, prompt := range q[:n] {
			lessons = append(lessons, lesson{prompt, fmt.Sprintf("Page %d.", i)})
		}
	}
	p := start(t, t.TempDir(), []string{"serve"})
	p.finished(p.teach("faq", lessons...).ID)
	for i, q := range questions {
		for _, prompt := range q[3:] {
			got.prompts++
			switch a := p.ask(prompt); {
			case a.Responded && a.Response == fmt.Sprintf("Page %d.", i):
				got.right++
			case a.Responded:
				got.wrong++
			}
		}
	}
	return got
}
