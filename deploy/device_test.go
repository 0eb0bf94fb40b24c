package deploy

import (
	"time"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/worker/accelerator"
)

// twoCards is what a worker on two GPUs tells of them.
type twoCards struct{}

func (twoCards) Place(model.Placement) {}

func (twoCards) Encode(encoder.Encoder, []text.Prompt, []float32, []encoder.Info) bool { return false }

func (twoCards) Top(*kernel.Rows, []kernel.Query, int, [][]kernel.Hit) bool { return false }

func (twoCards) Rest(time.Duration) time.Duration { return 0 }

func (twoCards) State() []heartbeat.Card {
	return []heartbeat.Card{{Ordinal: 0, Name: "H100", State: heartbeat.CardComputes}, {Ordinal: 1, Name: "H100", State: heartbeat.CardComputes}}
}

func (twoCards) Counts() accelerator.Counts {
	return accelerator.Counts{Prompts: 64, Batches: 2, Searches: 2, Declined: 1}
}
