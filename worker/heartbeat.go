package worker

import (
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// fill adds the state of this worker to a heartbeat.
func (w *Worker) fill(b *heartbeat.Beat) {
	g := w.opt.Governor.State()
	b.Mode, b.ModeReason = string(g.Mode), g.Reason
	b.Device = w.opt.Hardware.Device
	b.Hardware = &w.opt.Hardware
	if w.opt.Device != nil {
		b.Cards = w.opt.Device.State()
	}
	b.Slots, b.Busy = w.opt.Slots, int(w.batcher.busy.Load())
	b.Breakers = w.breakerStates()
	if t := w.trainer.Load(); t != nil {
		b.Trainer, b.Training = true, t.Running()
		if s := t.Replacement(); s != nil {
			b.Successor = (*heartbeat.Replacement)(s)
		}
		for _, s := range t.Absent() {
			b.Absent = append(b.Absent, heartbeat.Absent{Dataset: s.Dataset, Since: s.Since})
		}
		for _, s := range t.SetAside() {
			b.SetAside = append(b.SetAside, heartbeat.SetAside{
				Dataset: s.Dataset, Answers: s.Phase == job.PhaseConsolidating, Why: s.Why, At: job.At(s.At),
			})
		}
	}
	b.Shadow = w.shadow.report()
	if u := w.unloaded.Load(); u != nil {
		b.Unloaded = &heartbeat.Unloaded{Checkpoint: u.checkpoint, Why: u.why}
	}
	s := w.served.Load()
	b.Embeddings = w.views.report(s)
	if s == nil {
		return
	}
	info := s.model.Info()
	b.Model = &heartbeat.Model{
		Architecture: info.Architecture, Size: info.Size, Parameters: info.Parameters,
		Checkpoint: s.checkpoint, ConfidenceThreshold: info.Threshold, TargetError: info.TargetError,
		Lessons: info.Lessons, Answers: info.Answers, Topics: info.Topics, LoadedAt: job.At(s.at),
	}
}
