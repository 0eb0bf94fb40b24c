package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/topic"
)

// actions are the actions of POST /api/control, in the order in which it lists them.
var actions = [...]string{"pause", "resume", "train_start", "train_stop", "checkpoint", "rollback", "set_target"}

type controlled struct {
	Status     string  `json:"status"`
	Topic      *string `json:"topic,omitempty"`
	JobID      string  `json:"job_id,omitempty"`
	Checkpoint string  `json:"checkpoint,omitempty"`
	// TargetError is the bound that was set. After set_target, nil means the bound of
	// the settings.
	TargetError *float64 `json:"target_error,omitempty"`
}

// control is POST /api/control.
func (s *Server) control(c echo.Context) (reply, error) {
	var (
		action, about, checkpoint string
		target                    *float64
		hasTarget                 bool
	)
	err := jsonBody(c, field{name: "action", into: &action}, field{name: "topic", into: &about}, field{name: "checkpoint", into: &checkpoint},
		field{name: "target_error", into: &target, set: &hasTarget})
	if err != nil {
		return reply{}, err
	}
	if hasTarget != (action == "set_target") {
		return reply{}, job.Errorf(job.CodeInvalid, "set_target takes a target_error, and no other action does").On("target_error")
	}
	if about != "" && action != "train_start" {
		return reply{}, job.Errorf(job.CodeInvalid, "only train_start takes a topic").On("topic")
	}
	if checkpoint != "" && action != "rollback" {
		return reply{}, job.Errorf(job.CodeInvalid, "only rollback takes a checkpoint").On("checkpoint")
	}
	if err := checkTopic(about); err != nil {
		return reply{}, err
	}
	c.Set(auditKey, action)
	if action == "set_target" {
		done, err := s.setTarget(c.Request().Context(), target)
		return reply{status: http.StatusOK, body: done}, err
	}
	done, err := s.act(c.Request().Context(), ownerOf(c), action, about, checkpoint)
	if err != nil {
		return reply{}, err
	}
	if done.JobID != "" {
		c.Set(jobKey, done.JobID)
	}
	return reply{status: http.StatusOK, body: done}, nil
}

func (s *Server) act(ctx context.Context, owner, action, about, checkpoint string) (controlled, error) {
	switch action {
	case "pause":
		return controlled{Status: "paused"}, s.updateControl(ctx, func(k *storage.Control) { k.Paused, k.PausedBy = true, "" })
	case "resume":
		return controlled{Status: "resumed"}, s.updateControl(ctx, func(k *storage.Control) { k.Paused, k.PausedBy = false, "" })
	case "train_start":
		return s.trainStart(ctx, about, owner)
	case "train_stop":
		return controlled{Status: "training_stopped"}, s.updateControl(ctx, func(k *storage.Control) { k.Training = false })
	case "checkpoint":
		return s.saveNow(ctx)
	case "rollback":
		if checkpoint == "" {
			return controlled{}, job.Errorf(job.CodeInvalid, "name the checkpoint to go back to; GET /api/checkpoints lists them").On("checkpoint")
		}
		head, err := s.moveHead(ctx, checkpoint)
		return controlled{Status: "rolled_back", Checkpoint: head.Checkpoint}, err
	case "":
		return controlled{}, job.Errorf(job.CodeUnknownAction, "the action is missing; known: %s", strings.Join(actions[:], ", ")).On("action")
	}
	return controlled{}, job.Errorf(job.CodeUnknownAction, "the action %q is unknown; known: %s", job.Clip(action, 40), strings.Join(actions[:], ", ")).On("action")
}

// setTarget sets the limit on the share of wrong answers; nil means that of the
// settings.
func (s *Server) setTarget(ctx context.Context, target *float64) (controlled, error) {
	alpha := 0.0
	if target != nil {
		if err := checkTarget(*target); err != nil {
			return controlled{}, err
		}
		alpha = *target
	}
	return controlled{Status: "target_set", TargetError: target}, s.updateControl(ctx, func(k *storage.Control) { k.TargetError = alpha })
}

// updateControl changes the control record and notifies the other processes, which would see it
// within two seconds anyway.
func (s *Server) updateControl(ctx context.Context, change func(*storage.Control)) error {
	if _, err := s.controls.Update(ctx, change); err != nil {
		return stored("update the control record", err)
	}
	s.status.forget()
	if err := s.queue.Publish(ctx, job.ChannelControl, job.MessageChanged); err != nil {
		s.log.Warn("the change of control could not be announced; others see it at their next look", "error", err)
	}
	return nil
}

// trainStart switches gradient steps on and makes a job. With a topic, the job learns
// the topic's pack or what the teacher writes about it. Without a topic, it
// consolidates what is known.
func (s *Server) trainStart(ctx context.Context, about, owner string) (controlled, error) {
	dataset, byTeacher, err := s.lessonsAbout(ctx, about, owner)
	if err != nil {
		return controlled{}, err
	}
	err = s.updateControl(ctx, func(k *storage.Control) { k.Training, k.Topic = true, about })
	if err != nil {
		s.dropDataset(ctx, dataset)
		return controlled{}, err
	}
	j, err := s.queue.Submit(ctx, job.Spec{
		ID: cmp.Or(dataset, job.NewID()), Owner: owner, Kind: job.KindTrain, Lane: job.LaneTrain, Topic: about, Dataset: dataset, Teacher: byTeacher, CreatedAt: s.now().UTC(),
	})
	if err != nil {
		s.dropDataset(ctx, dataset)
		return controlled{}, err
	}
	out := controlled{Status: "training_started", JobID: j.ID, Topic: &about}
	return out, nil
}

// lessonsAbout stores the lessons of a topic pack and returns the dataset's id. Without
// a topic it stores nothing. If there is no such pack and there is a teacher, byTeacher
// is true and the teacher writes the lessons.
func (s *Server) lessonsAbout(ctx context.Context, name, owner string) (dataset string, byTeacher bool, err error) {
	if name == "" {
		return "", false, nil
	}
	pack, err := s.topics.Pack(name)
	switch {
	case errors.Is(err, topic.ErrUnknown) && s.opt.Teacher != nil:
		return "", true, nil
	case errors.Is(err, topic.ErrUnknown):
		return "", false, job.Errorf(job.CodeUnknownTopic,
			"there is no topic pack %q; known: %s. Lessons of your own come through POST /api/lessons; a language model writes some where NEXUS_TEACHER_URL names one",
			name, strings.Join(s.topics.Names(), ", ")).On("topic")
	case err != nil:
		return "", false, err
	}
	dataset, err = s.packDataset(ctx, name, owner, pack)
	return dataset, false, err
}

// packDataset stores the lessons of a topic pack.
func (s *Server) packDataset(ctx context.Context, name, owner string, pack topic.Pack) (string, error) {
	lessons := make([]storage.Lesson, len(pack.Lessons))
	for i := range pack.Lessons {
		l := &pack.Lessons[i]
		lessons[i] = storage.Lesson{Prompt: l.Prompt, Response: &l.Response, Topic: name}
	}
	ds, err := s.keepDataset(ctx, "store the topic pack", storage.DatasetMeta{Op: storage.OpTeach, Owner: owner, Topic: name, Pack: name}, lessons...)
	return ds.ID, err
}

// dropDataset deletes a dataset that no job will use.
func (s *Server) dropDataset(ctx context.Context, id string) {
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.datasets.Delete(ctx, id); err != nil {
		s.log.Error("a dataset that was not acknowledged could not be deleted; it will be learned", "dataset", id, "error", err)
	}
}

// saveNow asks the trainer for a checkpoint. Memorised lessons are already saved; this
// adds the weights of a running consolidation.
func (s *Server) saveNow(ctx context.Context) (controlled, error) {
	head, err := s.checkpoints.Head(ctx)
	if err != nil {
		return controlled{}, stored("read the head", err)
	}
	if err := s.queue.Publish(ctx, job.ChannelControl, job.MessageSave); err != nil {
		return controlled{}, err
	}
	return controlled{Status: "checkpoint_requested", Checkpoint: head.Checkpoint}, nil
}
