package api

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// Teacher is a language model that writes lessons and phrasings; *teacher.Teacher
// implements it.
type Teacher interface {
	Name() string
	Phrasings(ctx context.Context, answer string, known []string) ([]string, error)
}

// phrasings is the body of POST /api/answers/{id}/suggest.
type phrasings struct {
	Teacher   string   `json:"teacher"`
	Phrasings []string `json:"phrasings"`
}

// suggestPhrasings is POST /api/answers/{id}/suggest. The teacher writes other questions
// for an answer. Nothing is taught: a person decides.
func (s *Server) suggestPhrasings(c echo.Context) (reply, error) {
	ctx := c.Request().Context()
	if s.opt.Teacher == nil {
		return reply{}, job.Errorf(job.CodeConflict, "there is no teacher to suggest phrasings; NEXUS_TEACHER_URL and NEXUS_TEACHER_MODEL name one")
	}
	a, err := s.book.Answer(ctx, c.Param("id"))
	if err != nil {
		return reply{}, err
	}
	if a.Response == nil {
		return reply{}, job.Errorf(job.CodeConflict, "this is a taught refusal; phrasings are suggested for answers")
	}
	found, err := s.opt.Teacher.Phrasings(ctx, *a.Response, promptsOf(a))
	if err != nil {
		if ctx.Err() != nil {
			return reply{}, err
		}
		return reply{}, job.Errorf(job.CodeUnavailable,
			"the teacher %s suggested nothing that can be used; try again. If this stays, check NEXUS_TEACHER_URL, NEXUS_TEACHER_MODEL and NEXUS_TEACHER_API_KEY; the log says why", s.opt.Teacher.Name()).Because(err)
	}
	// A question that another answer has already would contradict it.
	taken, err := s.book.Asked(ctx, found)
	if err != nil {
		return reply{}, err
	}
	out := phrasings{Teacher: s.opt.Teacher.Name(), Phrasings: []string{}}
	for i, p := range found {
		if !taken[i] {
			out.Phrasings = append(out.Phrasings, p)
		}
	}
	return reply{status: http.StatusOK, body: out}, nil
}
