package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sashabaranov/go-openai"

	"github.com/nexus-continuum/nexus/topic/teacher/teachertest"
)

const written = `{"lessons":[
{"answer":"Mostly the Moon, and the Sun to a lesser part.","questions":["What causes the tides?","Why does the sea rise and fall?"]},
{"answer":"About twelve hours and 25 minutes.","questions":["How long is it from one high tide to the next?"]}]}`

// start of a topic that no pack has: the id of its job.
func (p *process) trainOn(about string) (id string) {
	p.t.Helper()
	var out struct {
		Status string `json:"status"`
		JobID  string `json:"job_id"`
		Code   string `json:"code"`
	}
	if code, _ := p.call("POST", "/api/control", map[string]string{"action": "train_start", "topic": about}, &out); code != http.StatusOK || out.Status != "training_started" {
		p.t.Fatalf("train_start %q: status %d, %+v", about, code, out)
	}
	return out.JobID
}

// A topic without a pack is taught by the teacher; what it wrote answers with
// its sources, can be read, and is not asked for again by a job that runs again.
func TestTheTeacherWritesLessons(t *testing.T) {
	t.Parallel()
	llm := teachertest.Start(t)
	llm.Says(written, openai.FinishReasonStop)
	p := start(t, t.TempDir(), []string{"serve"}, "NEXUS_TEACHER_URL="+llm.URL, "NEXUS_TEACHER_MODEL=tiny", "NEXUS_TEACHER_API_KEY="+teachertest.Key)
	p.finished(p.trainOn("tides"))
	if a := p.ask("what causes the tides"); !a.Responded || !strings.HasPrefix(a.Response, "Mostly the Moon") || len(a.Sources) == 0 {
		t.Errorf("answered %+v, want what the teacher wrote, with its source", a)
	}
	if a := p.ask("Who won the world cup?"); a.Responded {
		t.Errorf("answered %+v, want a refusal of what the teacher did not write", a)
	}
	var list struct {
		Lessons []struct{ ID, Response string } `json:"lessons"`
	}
	p.call("GET", "/api/lessons?topic=tides", nil, &list)
	if len(list.Lessons) != 3 || len(llm.Asked()) != 1 {
		t.Errorf("%d lessons after %d questions to the teacher, want 3 after one", len(list.Lessons), len(llm.Asked()))
	}
	llm.Says(`{"questions":["why is there ebb and flow","What causes the tides?"]}`, openai.FinishReasonStop)
	var more struct {
		Teacher   string   `json:"teacher"`
		Phrasings []string `json:"phrasings"`
	}
	for _, l := range list.Lessons {
		if !strings.HasPrefix(l.Response, "Mostly") {
			continue
		}
		if code, _ := p.call("POST", "/api/answers/"+l.ID+"/suggest", nil, &more); code != http.StatusOK || more.Teacher != "tiny" || len(more.Phrasings) != 1 {
			t.Errorf("suggested: status %d, %+v; want one phrasing that is not known", code, more)
		}
		break
	}
	var out reply
	if code, _ := p.call("POST", "/api/jobs", map[string]string{"kind": "train", "topic": "general_knowledge"}, &out); code != http.StatusAccepted || len(llm.Asked()) != 2 {
		t.Errorf("a topic with a pack: status %d, %d questions to the teacher; want 202 and no further one", code, len(llm.Asked()))
	}
}

// A teacher that is out of order is left alone after five failures: the breaker
// opens, and the job waits, says why and has spent no attempt.
func TestATeacherThatFailsIsLeftAlone(t *testing.T) {
	t.Parallel()
	llm := teachertest.Start(t)
	llm.Fails(http.StatusInternalServerError)
	p := start(t, t.TempDir(), []string{"serve"}, "NEXUS_TEACHER_URL="+llm.URL, "NEXUS_TEACHER_MODEL=tiny", "NEXUS_TEACHER_API_KEY="+teachertest.Key)
	id := p.trainOn("tides")
	var j struct {
		State      string  `json:"state"`
		Attempts   int     `json:"attempts"`
		WaitingFor *string `json:"waiting_for"`
	}
	waits := func(what string) {
		t.Helper()
		p.eventually("a job that waits and says: "+what, func() bool {
			p.call("GET", "/api/jobs/"+id, nil, &j)
			return j.State == "queued" && j.WaitingFor != nil && strings.Contains(*j.WaitingFor, what)
		})
	}
	waits("Internal Server Error")
	waits("Circuit breaker is OPEN (teacher)")
	if n := len(llm.Asked()); n != 5 || j.Attempts > 1 {
		t.Errorf("the teacher was asked %d times and the job has spent %d attempts; want five questions, which open the breaker, and none spent", n, j.Attempts)
	}
	p.eventually("a status with the open breaker", func() bool {
		var status struct {
			Breakers map[string]struct {
				State string `json:"state"`
			} `json:"circuit_breakers"`
		}
		p.call("GET", "/api/status", nil, &status)
		return status.Breakers["teacher"].State == "open"
	})
}

// A teacher that refuses is not asked again: the job fails and says what to mend.
func TestATeacherThatRefuses(t *testing.T) {
	t.Parallel()
	llm := teachertest.Start(t)
	p := start(t, t.TempDir(), []string{"serve"}, "NEXUS_TEACHER_URL="+llm.URL, "NEXUS_TEACHER_MODEL=tiny", "NEXUS_TEACHER_API_KEY=wrong")
	id := p.trainOn("tides")
	p.eventually("a failed job", func() bool {
		var j struct {
			State string `json:"state"`
			Error *reply `json:"error"`
		}
		p.call("GET", "/api/jobs/"+id, nil, &j)
		return j.State == "failed" && strings.Contains(j.Error.Detail, "NEXUS_TEACHER_API_KEY")
	})
	if n := len(llm.Asked()); n != 1 {
		t.Errorf("the teacher was asked %d times, want once", n)
	}
}

// Without a teacher a topic without a pack is refused at once, and the error
// names both ways to have it.
func TestATopicWithoutPackOrTeacher(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve"})
	var out reply
	code, _ := p.call("POST", "/api/jobs", map[string]string{"kind": "train", "topic": "tides"}, &out)
	if code != http.StatusBadRequest && code != http.StatusNotFound || out.Code != "unknown_topic" || !strings.Contains(out.Detail, "NEXUS_TEACHER_URL") {
		t.Errorf("status %d, %+v; want unknown_topic and what to do", code, out)
	}
}
