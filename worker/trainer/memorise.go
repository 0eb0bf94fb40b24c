package trainer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

const (
	// bunch is how many lessons are memorised between two looks at whether the
	// job was canceled.
	bunch = 512
	// batchLessons ends a batch of datasets: one save for many small ones, but
	// nobody waits for many large ones.
	batchLessons = 4096
	batchJobs    = 256
)

// change is one operation on the memory; it can be done again on other weights.
type change struct {
	teach  []model.Lesson
	forget func(model.Lesson) bool
	judge  []model.Judgement
	view   func(*model.Model) *model.Model
}

func (c change) onto(m *model.Model) *model.Model {
	if c.forget != nil {
		m, _ = m.Unlearn(c.forget)
	}
	if c.judge != nil {
		m, _ = m.Feedback(c.judge)
		return m
	}
	if c.teach != nil {
		m, _ = m.Memorise(c.teach)
	}
	if c.view != nil {
		m = c.view(m)
	}
	return m
}

// memorise applies the datasets of todo in the order of their ids, saves one
// checkpoint with them and puts it to work.
func (a *actor) memorise(ctx context.Context, todo []*request) {
	byDataset := map[string][]*request{}
	var order []string
	for _, r := range todo {
		if len(byDataset[r.spec.Dataset]) == 0 {
			order = append(order, r.spec.Dataset)
		}
		byDataset[r.spec.Dataset] = append(byDataset[r.spec.Dataset], r)
	}
	order = a.withOlder(ctx, order)

	next := a.model
	var entries []entry
	var changes []change
	lessons := 0
	panics := map[string]error{} // by dataset
	// Dealt with last, since it saves a checkpoint of its own.
	defer func() {
		for _, id := range slices.Sorted(maps.Keys(panics)) {
			a.memorisingPanicked(ctx, id, byDataset[id], panics[id])
		}
	}()
	for i, id := range order {
		if len(entries) >= batchJobs || lessons >= batchLessons {
			a.postpone(order[i:], byDataset)
			break
		}
		var m *model.Model
		var e entry
		var c change
		err := guard(func() (err error) { m, e, c, err = a.apply(ctx, next, id, byDataset[id]); return err })
		if _, bad := errors.AsType[*panicError](err); bad {
			panics[id] = err
			continue
		}
		if err != nil {
			a.unreadable(id, byDataset[id], err)
			continue
		}
		next = m
		entries, changes = append(entries, e), append(changes, c)
		lessons += e.Taken
	}
	if len(entries) == 0 {
		return
	}
	a.charge(func() { next = next.Calibrated(func() {}) })
	fresh := a.state.with(slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return e.Taken == 0 }))
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.Dataset
	}
	if err := a.save(ctx, next, fresh, ids, "memorised"); err != nil {
		for _, id := range ids {
			a.unsaved(byDataset[id], err)
		}
		return
	}
	if slices.ContainsFunc(entries, func(e entry) bool { return !e.judged }) {
		a.taught = a.opt.Now()
	}
	if a.session != nil {
		a.session.since = append(a.session.since, changes...)
	}
	for _, e := range entries {
		for _, r := range byDataset[e.Dataset] {
			a.memorised(e, r)
		}
	}
}

// withOlder puts before the datasets in order those older ones that nobody has
// memorised and whose jobs are still to come: teaching A→x, then A→y must end
// with y, whichever job comes up first.
func (a *actor) withOlder(ctx context.Context, order []string) []string {
	slices.Sort(order)
	all, err := a.opt.Coming(ctx, order[len(order)-1])
	if err != nil {
		a.opt.Log.Warn("the lessons that are to come cannot be listed; only those asked for are memorised", "error", err)
		return order
	}
	for _, id := range all {
		if !a.lineage[id] && !a.undone[id] && !slices.Contains(order, id) {
			order = append(order, id)
		}
	}
	slices.Sort(order)
	return order
}

// postpone puts the requests of datasets back, to be looked at after the save.
func (a *actor) postpone(ids []string, byDataset map[string][]*request) {
	for _, id := range ids {
		a.backlog = append(a.backlog, byDataset[id]...)
	}
}

// apply reads one dataset and does what it says to m.
func (a *actor) apply(ctx context.Context, m *model.Model, id string, jobs []*request) (*model.Model, entry, change, error) {
	ds, lessons, err := a.readDataset(ctx, id)
	if err != nil {
		return nil, entry{}, change{}, err
	}
	a.noteAbsent(id, true)
	e := entry{
		Dataset: id, At: a.opt.Now(), Skipped: len(ds.Faults),
		Faults: ds.Faults[:min(len(ds.Faults), maxNoted)],
	}
	if ds.Op == storage.OpForget {
		forget, err := a.inOrder(ctx, id, forgetter(ds, lessons))
		if err != nil {
			return nil, entry{}, change{}, err
		}
		c := change{forget: forget}
		m, e.Removed = m.Unlearn(c.forget)
		return m, e, c, nil
	}
	if ds.Op == storage.OpJudge {
		c := change{judge: judgements(lessons)}
		a.charge(func() { m = a.recalibrate(m, &e, c.judge) })
		return m, e, c, nil
	}
	c := change{teach: modelLessons(ds, lessons)}
	if c.teach, err = a.stillWanted(ctx, id, c.teach); err != nil {
		return nil, entry{}, change{}, err
	}
	if ds.From != nil {
		c.forget = leaving(*ds.From, lessons)
		m, _ = m.Unlearn(c.forget)
	}
	for from := 0; from < len(c.teach); from += bunch {
		if from > 0 {
			a.reportAll(jobs, job.Progress{Phase: job.PhaseMemorising, Done: from, Total: len(c.teach)})
		}
		if err := a.abortCause(ctx, jobs); err != nil {
			return nil, entry{}, change{}, err
		}
		a.charge(func() {
			var done model.Memorised
			m, done = m.Memorise(c.teach[from:min(from+bunch, len(c.teach))])
			if ds.Op == storage.OpRevise && ds.From == nil {
				done.Contradictions = nil // what they said before is what was to be changed
			}
			e.note(done)
		})
	}
	for _, l := range c.teach {
		e.lessons = append(e.lessons, l.ID)
	}
	return m, e, c, nil
}

// readDataset reads one dataset. A dataset that is damaged, missing or out of reach is no
// failure of the storage.
func (a *actor) readDataset(ctx context.Context, id string) (ds storage.Dataset, lessons []storage.Lesson, err error) {
	var away error
	err = a.opt.Storage.Do(func() (err error) {
		ds, lessons, err = a.opt.Datasets.Lessons(ctx, id)
		if errors.Is(err, storage.ErrCorrupt) || errors.Is(err, storage.ErrNotFound) {
			return nil // the storage works; this dataset does not
		}
		if a.opt.Late && errors.Is(err, storage.ErrUnavailable) {
			away = err
			return nil // what is saved here does not depend on where this one lies
		}
		return err
	})
	if err == nil && away != nil {
		err = away
	}
	if err == nil && ds.ID == "" {
		err = fmt.Errorf("dataset %s: %w", id, storage.ErrNotFound)
	}
	return ds, lessons, err
}

// inOrder keeps an unlearning that arrives late from removing what was taught
// again after it.
func (a *actor) inOrder(ctx context.Context, id string, matches func(model.Lesson) bool) (func(model.Lesson) bool, error) {
	if id > a.newest {
		return matches, nil
	}
	again, err := taughtAfter(ctx, a.opt.Datasets, slices.Sorted(maps.Keys(a.lineage)), id)
	if err != nil {
		return nil, err
	}
	return func(l model.Lesson) bool { return matches(l) && !again[l.ID] }, nil
}

// stillWanted drops the lessons of a dataset that arrives late, or is learned
// again, which an unlearning after it names.
func (a *actor) stillWanted(ctx context.Context, id string, lessons []model.Lesson) ([]model.Lesson, error) {
	if id > a.newest {
		return lessons, nil
	}
	gone, err := unlearnedAfter(ctx, a.opt.Datasets, slices.Sorted(maps.Keys(a.lineage)), id)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(lessons, func(l model.Lesson) bool {
		return slices.ContainsFunc(gone, func(matches func(model.Lesson) bool) bool { return matches(l) })
	}), nil
}

// newest returns the greatest of ids, empty if there are none.
func newest(ids []string) string {
	out := ""
	for _, id := range ids {
		out = max(out, id)
	}
	return out
}

// errUnwanted says that every job that wanted a dataset is gone.
var errUnwanted = errors.New("canceled while it was memorised")

// abortCause is nil while the actor lives and somebody wants the dataset.
func (a *actor) abortCause(ctx context.Context, jobs []*request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(jobs) == 0 || slices.ContainsFunc(jobs, func(r *request) bool { return r.ctx.Err() == nil }) {
		return nil
	}
	return errUnwanted
}

func (e *entry) note(m model.Memorised) {
	e.Taken += m.Added
	e.Known += m.Known
	e.Contradicted += len(m.Contradictions)
	for _, c := range m.Contradictions {
		if len(e.Contradictions) == maxNoted {
			break
		}
		e.Contradictions = append(e.Contradictions, job.Contradiction(c))
	}
}

func modelLessons(ds storage.Dataset, lessons []storage.Lesson) []model.Lesson {
	out := make([]model.Lesson, 0, len(lessons))
	for _, l := range lessons {
		topic := l.Topic
		if topic == "" {
			topic = ds.Topic
		}
		m := model.Lesson{ID: model.LessonID(topic, l.Prompt), Prompt: l.Prompt, Topic: topic, Refusal: l.Response == nil}
		if l.Response != nil {
			m.Response = *l.Response
		}
		out = append(out, m)
	}
	return out
}

// forgetter returns what a forget operation names: lessons by id, lessons by
// prompt, or, without either, a whole topic.
func forgetter(ds storage.Dataset, lessons []storage.Lesson) func(model.Lesson) bool {
	ids := map[string]bool{}
	for _, id := range ds.LessonIDs {
		ids[id] = true
	}
	for _, l := range modelLessons(ds, lessons) {
		ids[l.ID] = true
	}
	if len(ids) == 0 {
		topic := ds.Topic
		return func(l model.Lesson) bool { return l.Topic == topic }
	}
	return func(l model.Lesson) bool { return ids[l.ID] }
}

// leaving matches the prompts of lessons in the topic that they are moved from.
func leaving(topic string, lessons []storage.Lesson) func(model.Lesson) bool {
	ids := make(map[string]bool, len(lessons))
	for _, l := range lessons {
		ids[model.LessonID(topic, l.Prompt)] = true
	}
	return func(l model.Lesson) bool { return ids[l.ID] }
}

// memorised tells a job that its lessons answer now, and ends it or lets it
// wait for gradient steps.
func (a *actor) memorised(e entry, r *request) {
	if r.ctx.Err() != nil {
		// Canceled in between: what was memorised stays, nothing more is done.
		if canceled(r.ctx) {
			a.release(e.Dataset)
		}
		return
	}
	if e.judged {
		a.report(r, job.Progress{Phase: job.PhaseMemorised, Message: "the refusal threshold is recalibrated"})
		r.end(a.inMemory(e, r, e.why), nil)
		return
	}
	total := e.Taken + e.Known + e.Removed
	message := "the lessons are answering now"
	if e.forgets() {
		message = "the lessons are forgotten"
	}
	a.report(r, job.Progress{Phase: job.PhaseMemorised, Done: total, Total: total, Message: message})
	switch {
	case e.forgets():
		r.end(a.inMemory(e, r, "forget"), nil)
	case e.Taken == 0:
		r.end(a.inMemory(e, r, "known"), nil)
	case e.Taken < a.opt.Small:
		r.end(a.inMemory(e, r, "small"), nil)
	default:
		a.queue(r)
	}
}

// unreadable ends or hands back the jobs of a dataset that could not be applied.
func (a *actor) unreadable(id string, jobs []*request, err error) {
	switch {
	case errors.Is(err, errUnwanted):
		return
	case a.opt.Late && errors.Is(err, storage.ErrNotFound):
		a.noteAbsent(id, false)
		a.handBack(&jobs, "the host that received these lessons has not uploaded them to the shared storage yet", storageFor)
	case errors.Is(err, storage.ErrCorrupt), errors.Is(err, storage.ErrNotFound):
		a.opt.Log.Error("a dataset cannot be learned", "dataset", id, "error", err)
		for _, r := range jobs {
			r.end(job.Trained{}, job.Errorf(job.CodeNotFound, "the lessons of this job are gone or damaged in storage; teach them again").Because(err))
		}
	default:
		if !errors.Is(err, context.Canceled) {
			a.opt.Log.Warn("a dataset cannot be read now; its job waits", "dataset", id, "error", err)
		}
		a.handBack(&jobs, "storage cannot be read", storageFor)
	}
}

// unsaved deals with jobs whose checkpoint could not be saved.
func (a *actor) unsaved(jobs []*request, err error) {
	if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrFenced) {
		a.backlog = append(a.backlog, jobs...) // on the new head, or handed back to the next trainer, at once
		return
	}
	a.handBack(&jobs, "storage cannot be written", storageFor)
}

func (a *actor) reportAll(jobs []*request, p job.Progress) {
	now := a.opt.Now()
	for _, r := range jobs {
		if r.ctx.Err() == nil && (p.Phase != r.phase || now.Sub(r.told) >= tellEvery) {
			a.report(r, p)
		}
	}
}

// tellEvery is how often a job hears of steps; of a new phase it hears at once.
const tellEvery = 250 * time.Millisecond
