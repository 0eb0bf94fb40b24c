package embedding

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Server gives the vectors of texts; *Client is one.
type Server interface {
	Model() string
	Dimensions() int
	Embed(ctx context.Context, model string, dim int, texts []string) ([][]float32, error)
}

// Breaker keeps from asking a server that keeps failing.
type Breaker interface {
	Do(f func() error) error
	Open() bool
}

// Space is where vectors come from: those of one model and length can be compared.
type Space struct {
	Model string
	Dim   int
}

const (
	// gatherFor is how long a text waits for others to be sent with.
	gatherFor = 2 * time.Millisecond
	// inFlight is how many requests are under way at once.
	inFlight = 8
	// queued is how many texts may wait to be sent.
	queued = 1024
)

// Gatherer answers those who want the vectors of a few texts at once: texts that are
// wanted at the same time go to the server together, and those that came last are
// kept.
type Gatherer struct {
	server  Server
	breaker Breaker
	timeout time.Duration
	observe func(took time.Duration, err error)
	cache   *cache
	wants   chan *want
	slots   chan struct{}
}

// want is one text on its way.
type want struct {
	space Space
	text  string
	reply chan []float32 // holds one; nil where it failed
}

// errNoVector says that the server was asked in vain; why is known to the breaker.
var errNoVector = errors.New("the embedding server gave no vector")

// NewGatherer makes one; Run does its work. No request takes longer than timeout.
// observe is told of each request.
func NewGatherer(server Server, b Breaker, timeout time.Duration, observe func(took time.Duration, err error)) *Gatherer {
	return &Gatherer{server: server, breaker: b, timeout: timeout, observe: observe, cache: newCache(), wants: make(chan *want, queued), slots: make(chan struct{}, inFlight)}
}

// Vectors gives the vectors of texts, and how many of them were known already. It
// fails if one of them cannot be had within the timeout.
func (g *Gatherer) Vectors(ctx context.Context, space Space, texts []string) (out map[string][]float32, known int, err error) {
	out = make(map[string][]float32, len(texts))
	var wants []*want
	for _, t := range texts {
		if v := g.cache.get(key{space, t}); v != nil {
			out[t] = v
			known++
		} else if _, twice := out[t]; !twice {
			out[t] = nil
			wants = append(wants, &want{space: space, text: t, reply: make(chan []float32, 1)})
		}
	}
	if len(wants) == 0 {
		return out, known, nil
	}
	if g.breaker.Open() {
		return nil, known, errNoVector
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	for _, w := range wants {
		select {
		case g.wants <- w:
		case <-ctx.Done():
			return nil, known, context.Cause(ctx)
		}
	}
	for _, w := range wants {
		select {
		case v := <-w.reply:
			if v == nil {
				return nil, known, errNoVector
			}
			out[w.text] = v
		case <-ctx.Done():
			return nil, known, context.Cause(ctx)
		}
	}
	return out, known, nil
}

// Run sends what is wanted until ctx ends, and waits for what is under way.
func (g *Gatherer) Run(ctx context.Context) {
	var sending sync.WaitGroup
	defer sending.Wait()
	var next *want // of another space than the batch before
	for {
		batch := g.take(ctx, next)
		if batch, next = ofOneSpace(batch); len(batch) == 0 {
			return
		}
		select {
		case g.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		sending.Go(func() {
			defer func() { <-g.slots }()
			g.send(ctx, batch)
		})
	}
}

// take waits for a text and what comes shortly after it; nil when ctx ends.
func (g *Gatherer) take(ctx context.Context, first *want) (batch []*want) {
	if first == nil {
		select {
		case first = <-g.wants:
		case <-ctx.Done():
			return nil
		}
	}
	batch = append(batch, first)
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	for len(batch) < MaxTexts {
		select {
		case w := <-g.wants:
			batch = append(batch, w)
			if w.space != first.space {
				return batch
			}
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return nil
		}
	}
	return batch
}

// ofOneSpace parts the last of a batch from it if it is of another space.
func ofOneSpace(batch []*want) (same []*want, other *want) {
	if n := len(batch); n > 1 && batch[n-1].space != batch[0].space {
		return batch[:n-1], batch[n-1]
	}
	return batch, nil
}

// send asks the server for a batch.
func (g *Gatherer) send(ctx context.Context, batch []*want) {
	space := batch[0].space
	var texts []string
	at := map[string]int{}
	for _, w := range batch {
		if _, twice := at[w.text]; !twice {
			at[w.text] = len(texts)
			texts = append(texts, w.text)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	var got [][]float32
	began := time.Now()
	sent := false
	err := g.breaker.Do(func() (err error) {
		sent = true
		got, err = g.server.Embed(ctx, space.Model, space.Dim, texts)
		return err
	})
	if sent {
		g.observe(time.Since(began), err)
	}
	for _, w := range batch {
		if err != nil {
			w.reply <- nil
			continue
		}
		v := got[at[w.text]]
		g.cache.put(key{space, w.text}, v)
		w.reply <- v
	}
}
