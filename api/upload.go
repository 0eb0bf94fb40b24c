package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/topic/lessonfile"
)

// uploadTimeout limits how long a client may take to send its lessons.
const uploadTimeout = 15 * time.Minute

// lessonsPerPrompt is how many lessons cost as much as one prompt.
const lessonsPerPrompt = 100

// teach is POST /api/lessons. The lessons are on durable storage before the 202 is
// sent. Until then nothing of them is kept anywhere.
func (s *Server) teach(c echo.Context) error {
	skip, err := onError(c)
	if err != nil {
		return err
	}
	h, err := s.queryHook(c)
	if err != nil {
		return err
	}
	// Redis is checked before the upload, so that nobody sends 256 MiB in vain.
	if err := s.queue.Ping(c.Request().Context()); err != nil {
		return err
	}
	up, err := newUpload(c)
	if err != nil {
		return err
	}
	return s.onceStreaming(c, largeBody{
		do: func(c echo.Context) (reply, error) {
			if err := s.openUpload(c, up); err != nil {
				return reply{}, err
			}
			return s.taught(c, up, skip, h)
		},
		skim:   func(c echo.Context) error { return s.skimUpload(c, up) },
		digest: up.digest,
	})
}

// taught stores the lessons of an upload and answers with the job that learns them.
func (s *Server) taught(c echo.Context, up *upload, skip bool, h hook) (reply, error) {
	w, err := s.datasets.Create(c.Request().Context(), storage.DatasetMeta{Op: storage.OpTeach, Owner: ownerOf(c), Topic: up.topic})
	if err != nil {
		return reply{}, stored("store the lessons", err)
	}
	defer w.Abort()
	if up.bounded, err = s.validities(c.Request().Context()); err != nil {
		return reply{}, err
	}
	if err := up.read(w, skip); err != nil {
		return reply{}, err
	}
	// The cost of an upload is its number of lessons; it was admitted for the first
	// hundred.
	s.limiter.charge(c, w.Lessons()/lessonsPerPrompt)
	if err := s.noteTaught(c.Request().Context(), up.whens); err != nil {
		return reply{}, err
	}
	return s.learn(c.Request().Context(), c, w, h)
}

func onError(c echo.Context) (skip bool, err error) {
	switch v := c.QueryParam("on_error"); v {
	case "", "fail":
		return false, nil
	case "skip":
		return true, nil
	default:
		return false, job.Errorf(job.CodeInvalid, "on_error is %q; it may be fail (the default) or skip", job.Clip(v, 40)).On("on_error")
	}
}

// upload is one body of lessons in any of the three forms.
type upload struct {
	topic         string
	form, charset string
	table         bool
	source        lessonSource
	hash          hash.Hash
	// bounded holds the answers whose time is limited, and whens what the lessons say
	// about the time of theirs.
	bounded storage.Validities
	whens   map[storage.AnswerKey]when
}

// note stores what a lesson says about its answer; the last lesson counts.
func (u *upload) note(l taughtLesson) {
	if !l.when.isSet() && len(u.bounded) == 0 {
		return
	}
	key := storage.KeyOf(cmp.Or(l.Topic, u.topic), l.Response)
	if before, said := u.whens[key]; said && !l.when.isSet() {
		l.when = before
	}
	if !l.when.isSet() && u.bounded[key].Gone == nil {
		return
	}
	if u.whens == nil {
		u.whens = map[storage.AnswerKey]when{}
	}
	u.whens[key] = l.when
}

// newUpload reads the header of a request and nothing of its body.
func newUpload(c echo.Context) (*upload, error) {
	form, charset, err := mediaTypeIn(c, typeJSON, typeNDJSON, typeCSV, "application/jsonl", "application/jsonlines", "application/x-jsonlines",
		"application/ndjson", typeTSV, "application/csv")
	if err != nil {
		return nil, err
	}
	table := form == typeCSV || form == typeTSV || form == "application/csv"
	if charset != "" && !table {
		return nil, notUTF8(charset)
	}
	up := &upload{topic: c.QueryParam("topic"), form: form, charset: charset, table: table, hash: sha256.New()}
	if err := checkTopic(up.topic); err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(up.hash, "%s\n%s\n%s\n", c.Request().Method, c.Request().URL.RequestURI(), form)
	return up, nil
}

// skimUpload reads the body for its digest only.
func (s *Server) skimUpload(c echo.Context, up *upload) error {
	if up.form == typeJSON {
		body, err := readBody(c, maxLessonJSON)
		up.hash.Write(body)
		return err
	}
	s.allowToSend(c, uploadTimeout)
	if _, err := io.Copy(up.hash, http.MaxBytesReader(c.Response(), c.Request().Body, maxUpload)); err != nil {
		return brokenOff(err)
	}
	return nil
}

// openUpload begins to read the body.
func (s *Server) openUpload(c echo.Context, up *upload) error {
	if up.form == typeJSON {
		body, err := readBody(c, maxLessonJSON)
		if err != nil {
			if tooBig, ok := errors.AsType[*job.Error](err); ok && tooBig.Code == job.CodeTooLarge {
				return job.Errorf(job.CodeTooLarge, "the body is larger than the %s that are taken as JSON; send more as %s, one lesson a line, up to %s",
					size(maxLessonJSON), typeNDJSON, size(maxUpload))
			}
			return err
		}
		up.hash.Write(body)
		lessons, err := newJSONLessons(trimBOM(body))
		if err != nil {
			return err
		}
		if lessons.topic == "" {
			lessons.topic = up.topic
		}
		up.topic, up.source = lessons.topic, lessons
		return nil
	}
	s.allowToSend(c, uploadTimeout)
	body := io.TeeReader(http.MaxBytesReader(c.Response(), c.Request().Body, maxUpload), up.hash)
	if !up.table {
		up.source = newNDJSONLessons(body, up.topic)
		return nil
	}
	var err error
	up.source, err = newCSVLessons(body, lessonfile.Options{Prompt: c.QueryParam("prompt"), Response: c.QueryParam("response"), Encoding: up.charset}, up.topic)
	if err != nil {
		return brokenOff(err)
	}
	return nil
}

// read puts all lessons into w. Without skip, any fault refuses the upload. Even then
// the whole upload is read, so that one answer names all faults.
func (u *upload) read(w *storage.DatasetWriter, skip bool) error {
	var faults []job.Fault
	lines, faulty := 0, 0
	for {
		lesson, fault, err := u.source.next()
		if errors.Is(err, errEnd) {
			break
		}
		if err != nil {
			return brokenOff(err)
		}
		lines++
		if fault != nil {
			faulty++
			if len(faults) < maxFaults {
				faults = append(faults, *fault)
			}
			continue
		}
		if faulty > 0 && !skip {
			continue
		}
		if err := w.Add(lesson.Lesson); err != nil {
			return stored("store the lessons", err)
		}
		u.note(lesson)
	}
	if faulty > 0 && !skip {
		return refused(faults, faulty, lines)
	}
	if w.Lessons() == 0 {
		if faulty > 0 {
			return refused(faults, faulty, lines)
		}
		return job.Errorf(job.CodeInvalid, "there is no lesson in the body").On("lessons")
	}
	meta := w.Meta()
	meta.Faults, meta.Lines = faults, lines
	return nil
}

func refused(faults []job.Fault, faulty, lines int) *job.Error {
	e := job.Errorf(job.CodeBadLesson, "%d of %d lessons cannot be taken, so none was; the first fault is on line %d: %s. ?on_error=skip takes the others",
		faulty, lines, faults[0].Line, faults[0].Detail)
	e.Faults = faults
	return e
}

func (u *upload) digest() string { return hex.EncodeToString(u.hash.Sum(nil)) }

// learn makes the lessons durable and then makes the job that learns them.
func (s *Server) learn(ctx context.Context, c echo.Context, w *storage.DatasetWriter, h hook) (reply, error) {
	ds, err := w.Commit(ctx)
	if err != nil {
		return reply{}, stored("store the lessons", err)
	}
	j, err := s.train(ctx, ds, h)
	if err != nil {
		return reply{}, err
	}
	c.Set(jobKey, j.ID)
	return accepted(s.awaitMemorised(ctx, c, j)), nil
}

// operate makes an operation durable and then makes its job. tried describes the
// purpose for the log.
func (s *Server) operate(ctx context.Context, tried string, meta storage.DatasetMeta, lessons ...storage.Lesson) (job.Job, error) {
	ds, err := s.keepDataset(ctx, tried, meta, lessons...)
	if err != nil {
		return job.Job{}, err
	}
	return s.train(ctx, ds, hook{})
}

// keepDataset stores lessons that are in memory.
func (s *Server) keepDataset(ctx context.Context, tried string, meta storage.DatasetMeta, lessons ...storage.Lesson) (storage.Dataset, error) {
	if meta.Op == storage.OpTeach {
		taught := make(map[storage.AnswerKey]when, 1)
		for _, l := range lessons {
			taught[storage.KeyOf(cmp.Or(l.Topic, meta.Topic), l.Response)] = when{}
		}
		if err := s.noteTaught(ctx, taught); err != nil {
			return storage.Dataset{}, err
		}
	}
	w, err := s.writeDataset(ctx, tried, meta, lessons...)
	if err != nil {
		return storage.Dataset{}, err
	}
	defer w.Abort()
	ds, err := w.Commit(ctx)
	if err != nil {
		return storage.Dataset{}, stored(tried, err)
	}
	return ds, nil
}

// writeDataset is keepDataset without the last step, which the caller must do.
func (s *Server) writeDataset(ctx context.Context, tried string, meta storage.DatasetMeta, lessons ...storage.Lesson) (*storage.DatasetWriter, error) {
	w, err := s.datasets.Create(ctx, meta)
	if err != nil {
		return nil, stored(tried, err)
	}
	for _, l := range lessons {
		if err := w.Add(l); err != nil {
			w.Abort()
			return nil, stored(tried, err)
		}
	}
	return w, nil
}

// train submits the job for a stored dataset, under the dataset's id. If Redis loses
// the job, the scheduler makes it again under the id that the caller knows. If it
// cannot be submitted, nothing was acknowledged, so the dataset is deleted too.
func (s *Server) train(ctx context.Context, ds storage.Dataset, h hook) (job.Job, error) {
	j, err := s.queue.Submit(ctx, job.Spec{
		ID: ds.ID, Owner: ds.Owner, Kind: job.KindTrain, Lane: job.LaneTrain, Topic: ds.Topic, Dataset: ds.ID,
		Skipped: ds.Faults, CreatedAt: s.now().UTC(), Webhook: h.url, WebhookEvents: h.events,
	})
	if err == nil {
		return j, nil
	}
	s.dropDataset(ctx, ds.ID)
	return job.Job{}, err
}

// brokenOff is the error for a body that was cut off.
func brokenOff(err error) error {
	if _, ok := errors.AsType[*job.Error](err); ok {
		return err
	}
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(tooBig.Limit)
	}
	return job.Errorf(job.CodeInvalid, "the body broke off before its end; nothing was stored").Because(err)
}

// stored is the error for a storage failure, which may be temporary.
func stored(tried string, err error) error {
	if isGone(err) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	why := "does not take this just now; try again shortly"
	switch {
	case errors.Is(err, storage.ErrFull):
		why = "is full: nothing can be taught until there is room"
	case errors.Is(err, storage.ErrReadOnly):
		why = "is read-only: nothing can be taught until it takes writes"
	case errors.Is(err, storage.ErrDenied):
		why = "may not be written by this service: its permissions or credentials have to be put right"
	case errors.Is(err, storage.ErrUnavailable):
		why = "cannot be reached just now; try again shortly"
	}
	return job.Errorf(job.CodeUnavailable, "the storage %s", why).After(5 * time.Second).Because(fmt.Errorf("%s: %w", tried, err))
}
