package api

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// Validity stores when answers may be given; *storage.ValidityRecord implements it.
type Validity interface {
	Read(ctx context.Context) (storage.Validities, int64, error)
	Update(ctx context.Context, change func(storage.Validities) bool) error
}

// when is what a request says about the time in which an answer may be given. Fields
// that it omits stay unchanged.
type when struct {
	draft       *bool
	from, until *bound
}

// bound is a time, or none.
type bound struct{ at *time.Time }

func (w when) isSet() bool { return w.draft != nil || w.from != nil || w.until != nil }

// on applies w to v.
func (w when) on(v storage.Validity) storage.Validity {
	if w.draft != nil {
		v.Draft = *w.draft
	}
	if w.from != nil {
		v.From = w.from.at
	}
	if w.until != nil {
		v.Until = w.until.at
	}
	return v
}

// whenFields read the members of a JSON object.
type whenFields struct {
	draft, from, until json.RawMessage
}

func (f *whenFields) fields() []field {
	return []field{{name: "draft", into: &f.draft}, {name: "valid_from", into: &f.from}, {name: "valid_until", into: &f.until}}
}

func (f *whenFields) when() (w when, err error) {
	if f.draft != nil {
		var draft *bool
		if err := decodeValue("draft", f.draft, &draft); err != nil {
			return w, err
		}
		if draft == nil {
			draft = new(bool)
		}
		w.draft = draft
	}
	if w.from, err = boundIn("valid_from", f.from); err != nil {
		return w, err
	}
	if w.until, err = boundIn("valid_until", f.until); err != nil {
		return w, err
	}
	return w, checkWhen(w.on(storage.Validity{}))
}

func boundIn(name string, raw json.RawMessage) (*bound, error) {
	if raw == nil {
		return nil, nil //nolint:nilnil // nothing was said
	}
	var text *string
	if err := decodeValue(name, raw, &text); err != nil {
		return nil, err
	}
	if text == nil {
		return &bound{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, *text)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return nil, job.Errorf(job.CodeInvalid, `%q is no time; write it as 2027-01-31T08:00:00Z, or null for no bound`, job.Clip(*text, 60)).On(name)
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &bound{&t}, nil
}

func checkWhen(v storage.Validity) error {
	if v.From != nil && v.Until != nil && !v.From.Before(*v.Until) {
		return job.Errorf(job.CodeInvalid, "valid_until (%s) must be later than valid_from (%s)", v.Until.Format(time.RFC3339), v.From.Format(time.RFC3339)).On("valid_until")
	}
	return nil
}

// setValidity applies change to the record and notifies the workers.
func (s *Server) setValidity(ctx context.Context, change func(storage.Validities) bool) error {
	changed := false
	err := s.opt.Validity.Update(ctx, func(all storage.Validities) bool {
		changed = change(all)
		return changed
	})
	switch {
	case errors.Is(err, storage.ErrTooLarge):
		return job.Errorf(job.CodeTooLarge, "there is no room for so many drafts and answers with dates; publish or delete some")
	case err != nil:
		return stored("store when answers may be given", err)
	case !changed:
		return nil
	}
	if err := s.queue.Publish(ctx, job.ChannelControl, job.MessageChanged); err != nil {
		s.log.Warn("a change of when answers may be given could not be announced; workers see it at their next look", "error", err)
	}
	return nil
}

// noteTaught updates the record before lessons are stored. taught holds what the
// lessons say about their answers. A deleted answer becomes live when it is taught
// again, unless the lessons say otherwise.
func (s *Server) noteTaught(ctx context.Context, taught map[storage.AnswerKey]when) error {
	return s.setValidity(ctx, func(all storage.Validities) (changed bool) {
		for key, w := range taught {
			v, known := all[key]
			if known && v.Gone != nil {
				v, changed = storage.Validity{}, true
			}
			if next := w.on(v); w.isSet() && next.Bounded() || known {
				changed = changed || w.isSet()
				all.Set(key, next)
			}
		}
		return changed
	})
}

// validities reads the record.
func (s *Server) validities(ctx context.Context) (storage.Validities, error) {
	all, _, err := s.opt.Validity.Read(ctx)
	if err != nil {
		return nil, stored("read when answers may be given", err)
	}
	return all, nil
}

// withhold withholds answers from the moment they are deleted.
func (s *Server) withhold(ctx context.Context, gone func(storage.AnswerKey) bool) error {
	return s.setValidity(ctx, func(all storage.Validities) (changed bool) {
		now := s.now().UTC()
		for key, v := range all {
			if v.Gone == nil && gone(key) {
				v.Gone, changed = &now, true
				all.Set(key, v)
			}
		}
		return changed
	})
}

// carryValidity keeps the validity of an answer that changes its response or topic. If
// the new answer is already known, it takes the validity of that one.
func (s *Server) carryValidity(ctx context.Context, old book.Answer, to revision, w when) error {
	from, into := storage.KeyOf(old.Topic, old.Response), storage.KeyOf(to.topic, to.response)
	if len(old.Lessons) == 0 { // a deleted answer comes back as it was
		return s.setValidity(ctx, func(all storage.Validities) bool {
			v := all[into]
			was := v.Gone != nil
			v.Gone = nil
			all.Set(into, v)
			return was
		})
	}
	all, err := s.validities(ctx)
	if err != nil {
		return err
	}
	if _, bounded := all[from]; !bounded && !w.isSet() {
		return s.noteTaught(ctx, map[storage.AnswerKey]when{into: {}})
	}
	joins := false
	if from != into {
		if joins, err = s.book.Has(ctx, to.topic, to.response); err != nil {
			return err
		}
	}
	whole := len(old.Lessons) == old.Phrasings
	var bad error
	err = s.setValidity(ctx, func(all storage.Validities) bool {
		v := all[into]
		if !joins && (from == into || v.Gone != nil || !v.Bounded()) {
			v = all[from]
		}
		v.Gone = nil
		v = w.on(v)
		if bad = checkWhen(v); bad != nil {
			return false
		}
		if was, known := all[from]; known && from != into && whole {
			now := s.now().UTC()
			was.Gone = &now
			all.Set(from, was)
		}
		all.Set(into, v)
		return true
	})
	return errors.Join(bad, err)
}

// stampValidity sets for each answer whether it is given now.
func (s *Server) stampValidity(ctx context.Context, answers []book.Answer) error {
	all, err := s.validities(ctx)
	if err != nil {
		return err
	}
	now := s.now()
	for i := range answers {
		a := &answers[i]
		a.Validity = shownValidity(all[storage.KeyOf(a.Topic, a.Response)], now)
	}
	return nil
}

func shownValidity(v storage.Validity, now time.Time) book.Validity {
	if v.Gone != nil {
		v = storage.Validity{Draft: v.Draft, From: v.From, Until: v.Until}
	}
	out := book.Validity{State: v.State(now), Draft: v.Draft}
	if v.From != nil {
		out.From = job.At(*v.From)
	}
	if v.Until != nil {
		out.Until = job.At(*v.Until)
	}
	return out
}

// states are the values by which a list of answers may be filtered.
var states = []string{storage.AnswerLive, storage.AnswerDraft, storage.AnswerScheduled, storage.AnswerExpired}

// inState reads ?state= and returns a filter for a list of answers; nil means all.
func (s *Server) inState(c echo.Context) (func(topic string, response *string) bool, error) {
	state := c.QueryParam("state")
	if state == "" {
		return nil, nil //nolint:nilnil // nothing narrows it
	}
	if !slices.Contains(states, state) {
		return nil, job.Errorf(job.CodeInvalid, "state is %q; it may be %s", job.Clip(state, 40), strings.Join(states, ", ")).On("state")
	}
	all, err := s.validities(c.Request().Context())
	if err != nil {
		return nil, err
	}
	now := s.now()
	return func(topic string, response *string) bool {
		return all[storage.KeyOf(topic, response)].State(now) == state
	}, nil
}
