package heartbeat

// States of a GPU that a worker computes on.
const (
	CardComputes = "computes"
	CardSlowed   = "slowed"  // warm or busy: smaller batches or pauses
	CardFull     = "full"    // a memory limit keeps some numbers off it
	CardStopped  = "stopped" // by the governor
	CardLost     = "lost"    // it failed, or does not open; it is tried again
)

// Card is one GPU that a worker computes on.
type Card struct {
	Ordinal int    `json:"ordinal"`
	Name    string `json:"name"`
	UUID    string `json:"uuid"`
	State   string `json:"state"`
	Why     string `json:"why,omitempty"`
}
