package api

import (
	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
)

// refusedGroup is a group of refused prompts and the lessons that are most similar to
// it now.
type refusedGroup struct {
	interaction.Refusal
	Nearest []nearLesson `json:"nearest"`
}

type nearLesson struct {
	LessonID   string  `json:"lesson_id"`
	Prompt     string  `json:"prompt"`
	Response   *string `json:"response"`
	Topic      string  `json:"topic"`
	Similarity float64 `json:"similarity"`
}

type refusalPage struct {
	Refusals []refusedGroup `json:"refusals"`
	Next     *string        `json:"next_cursor"`
}

// refusals is GET /api/refusals. Groups that would be answered by now are not shown,
// and are dropped.
func (s *Server) refusals(c echo.Context) (refusalPage, error) {
	if err := onlyQuery(c, "cursor"); err != nil {
		return refusalPage{}, err
	}
	ctx := c.Request().Context()
	known, err := s.opt.Known(ctx)
	if err != nil {
		known = nil // the list is worth showing without a model too
	}
	near := map[string][]nearLesson{}
	var answered []string
	list, next, err := s.interactions.Refusals(ctx, onlyOwner(c), c.QueryParam("cursor"), s.verdicts.keep(known, func(g *interaction.Refusal, v *verdict) bool {
		if v.Responded || v.Reason == job.ReasonTaughtRefusal {
			answered = append(answered, g.ID)
			return false
		}
		near[g.ID] = v.near
		return true
	}))
	if err != nil {
		return refusalPage{}, err
	}
	if len(answered) > 0 {
		if _, err := s.interactions.DropRefusals(ctx, onlyOwner(c), answered...); err != nil {
			s.log.Debug("refusals that are answered by now could not be dropped", "error", err)
		}
	}
	page := refusalPage{Refusals: make([]refusedGroup, len(list)), Next: optional(next)}
	for i, g := range list {
		page.Refusals[i] = refusedGroup{g, some(near[g.ID])}
	}
	return page, nil
}

func nearest(known book.Source, v *model.Verdict) []nearLesson {
	var out []nearLesson
	for _, src := range v.Sources() {
		l, ok := known.Lesson(src.LessonID())
		if !ok {
			continue
		}
		n := nearLesson{LessonID: l.ID, Prompt: l.Prompt, Topic: l.Topic, Similarity: src.Similarity}
		if !l.Refusal {
			n.Response = &l.Response
		}
		out = append(out, n)
	}
	return out
}

type dropped struct {
	Status string `json:"status"`
	ID     string `json:"id"`
}

// dropRefusal is DELETE /api/refusals/{id}.
func (s *Server) dropRefusal(c echo.Context) (dropped, error) {
	id := c.Param("id")
	n, err := s.interactions.DropRefusals(c.Request().Context(), onlyOwner(c), id)
	if err == nil && n == 0 {
		err = job.Errorf(job.CodeNotFound, "no refused prompts have the id %q; GET /api/refusals lists them", job.Clip(id, 80))
	}
	return dropped{Status: "dismissed", ID: id}, err
}
