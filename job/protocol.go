package job

// What processes say to each other over Redis, and whose turn it is. A message
// only makes its reader look sooner: it may be lost, so each reader also looks
// by itself every second or two.

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
	// MessageRecalibrate asks the trainer to set the refusal threshold anew.
	MessageRecalibrate = "recalibrate"
)

// Leases, each held by one process of the cluster at a time.
const (
	// LeaseTrainer is held by the worker that trains.
	LeaseTrainer = "trainer"
	// LeaseLeader is held by the scheduler that acts.
	LeaseLeader = "leader"
)

// WhyPaused is what paused jobs and processes show as the reason.
const WhyPaused = "learning is paused by an operator"

// WhyPausedBy is the reason for learning that was paused; role is that of the
// process whose setting did it, and empty where an operator did.
func WhyPausedBy(role string) string {
	if role == "" {
		return WhyPaused
	}
	return "learning is paused by NEXUS_PAUSED of nexus " + role + "; start it without that setting, or resume"
}
