package governor

import "fmt"

// Card says how work on one GPU is governed now. The rules are those for training on a
// GPU, with milder means: work that stops on a card goes on on the cores.
type Card struct {
	// Stop says that nothing may run on it.
	Stop bool
	// Halve says that batches are half as large, so that the card has pauses.
	Halve bool
	// Slow says that as long as a batch took no further one is taken.
	Slow bool
	// Reason says why, in words for people; empty if nothing is restricted.
	Reason string
}

// card is what is kept of a GPU between readings: which lines it is beyond.
type card struct {
	critical, warm, busy bool
	now                  Card
}

// Card says how work on the GPU with this UUID, or with a slice of it, is governed. One that
// cannot be measured must not be used: it may be burning.
func (g *Governor) Card(uuid string) Card {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.cards[uuid]
	if c == nil {
		return Card{Stop: true, Reason: "NVML does not show the GPU, so its temperature is not known"}
	}
	return c.now
}

// judgeCards applies the limits to each GPU of a reading. The caller holds mu.
func (g *Governor) judgeCards(all []GPU) {
	seen := make(map[string]*card, len(all))
	for i := range all {
		gpu := &all[i]
		for _, uuid := range append([]string{gpu.UUID}, gpu.Slices...) {
			c := g.cards[uuid]
			if c == nil {
				c = &card{}
			}
			c.see(gpu, g.opt.Limits)
			seen[uuid] = c
		}
	}
	for uuid, c := range g.cards {
		if seen[uuid] == nil {
			c.now = Card{Stop: true, Reason: "the GPU is gone"}
			seen[uuid] = c
		}
	}
	g.cards = seen
}

// see takes a reading. A line that was passed counts until the value is well below it, so
// that one that swings about it does not flap: for the critical line below the warning line.
func (c *card) see(g *GPU, l Limits) {
	if g.Lost != "" {
		c.now = Card{Stop: true, Reason: fmt.Sprintf("GPU %d does not answer: %s", g.Index, g.Lost)}
		return
	}
	c.critical = g.TemperatureC >= l.GPUCritical || c.critical && g.TemperatureC >= l.GPUWarning
	c.warm = g.TemperatureC >= l.GPUWarning-line(c.warm, 0, coolerByC)
	c.busy = g.UtilizationPercent >= l.GPUUtilization-line(c.busy, 0, freerByPercent)
	c.now = Card{Stop: c.critical, Halve: c.warm, Slow: c.busy}
	switch {
	case c.critical:
		c.now.Reason = fmt.Sprintf("GPU %d %.0f °C, limit %.0f", g.Index, g.TemperatureC, l.GPUCritical)
	case c.warm:
		c.now.Reason = fmt.Sprintf("GPU %d %.0f °C, warning from %.0f", g.Index, g.TemperatureC, l.GPUWarning)
	case c.busy:
		c.now.Reason = fmt.Sprintf("GPU %d utilisation %.0f %%, limit %.0f", g.Index, g.UtilizationPercent, l.GPUUtilization)
	}
}
