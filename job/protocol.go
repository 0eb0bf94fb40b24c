package job

// Names for the messages between processes over Redis, and for their leases. A message
// only makes its reader look sooner. It may be lost, so each reader also polls every
// second or two.

// Channels of messages.
const (
	// ChannelCheckpoint carries the id of a checkpoint that became the head.
	ChannelCheckpoint = "checkpoint"
	// ChannelControl carries the Message… constants.
	ChannelControl = "control"
)

// Messages on ChannelControl.
const (
	// MessageChanged says that the control record has changed.
	MessageChanged = "changed"
	// MessageSave asks the trainer to save what it has not saved yet.
	MessageSave = "save"
	// MessageRecalibrate asks the trainer to set the refusal threshold again.
	MessageRecalibrate = "recalibrate"
)

// Leases, each held by one process of the cluster at a time.
const (
	// LeaseTrainer is held by the worker that trains.
	LeaseTrainer = "trainer"
	// LeaseLeader is held by the scheduler that leads.
	LeaseLeader = "leader"
)

// WhyPaused is the reason that paused jobs and processes show.
const WhyPaused = "learning is paused by an operator"

// WhyPausedBy returns the reason for paused learning. role is the role of the process
// whose setting paused it; empty if an operator did.
func WhyPausedBy(role string) string {
	if role == "" {
		return WhyPaused
	}
	return "learning is paused by NEXUS_PAUSED of nexus " + role + "; start it without that setting, or resume"
}
