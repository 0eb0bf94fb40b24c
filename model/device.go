package model

import (
	"math/rand/v2"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/layer"
	"github.com/nexus-continuum/nexus/model/text"
)

// Device computes batches beside the cores. What it declines, the calling core computes: it
// may decline anything at any time. All methods may be called at once.
type Device interface {
	// Place makes the numbers of a model ready, in place of those before.
	Place(p Placement)
	// Encode writes the unit vectors of prompts into h [len(prompts)×d], as encoder of does,
	// and reports whether it did. A prompt whose info has Depth −1 is left to the caller.
	Encode(of encoder.Encoder, prompts []text.Prompt, h []float32, infos []encoder.Info) bool
	// Top finds the k best rows for each query, as kernel.Scanner does, and reports whether it did.
	Top(rows *kernel.Rows, queries []kernel.Query, k int, hits [][]kernel.Hit) bool
}

// Placement is what a device needs of a model. None of it changes.
type Placement struct {
	Encoder encoder.Encoder
	Weights encoder.Weights // of Encoder
	Options encoder.Options // that Encoder was made with
	Rows    *kernel.Rows    // the exemplars
}

// On returns m that offers its batches to d, and has d make its numbers ready. A nil d is the cores alone.
func (m *Model) On(d Device) *Model {
	out := *m
	out.device = d
	if d != nil {
		d.Place(Placement{Encoder: m.encoder, Weights: m.weights, Options: m.cfg.options(), Rows: m.store.Rows()})
	}
	return &out
}

// encodeAll brings up to MaxBatch prompts to their equilibria, on the device if it takes them.
func (m *Model) encodeAll(queries []Query, s *scratch) {
	if m.device == nil {
		for i := range queries {
			m.encodeInto(queries[i].Prompt, i, s)
		}
		return
	}
	n, d := len(queries), m.encoder.Dim()
	if s.prompts == nil {
		s.prompts, s.encoded = make([]text.Prompt, MaxBatch), make([]float32, MaxBatch*d)
	}
	for i := range queries {
		s.forms[i].Read(queries[i].Prompt)
		m.reader().Read(&s.prompts[i], queries[i].Prompt)
	}
	done := m.device.Encode(m.encoder, s.prompts[:n], s.encoded[:n*d], s.infos[:n])
	for i := range queries {
		h := m.vector(i, s)
		if done && s.infos[i].Depth >= 0 {
			copy(h, s.encoded[i*d:(i+1)*d])
		} else {
			s.infos[i] = m.encoder.Encode(&s.prompts[i], h[:d], s.encoder)
		}
		if m.blend != nil {
			m.blend.add(h, d, queries[i].Prompt)
		}
	}
}

// probeBuckets is the size of the table of a probe: it has no part in the time.
const probeBuckets = 1 << 10

// Probe is an untrained encoder of the shape of c with a small table, and prompts of middling
// length: what a device is measured with.
func Probe(c Config, prompts int) (Placement, []text.Prompt, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return Placement{}, nil, err
	}
	s := shapes[c.Size]
	var w encoder.Weights
	if c.Architecture == Layered {
		w = layer.New(s.dim, probeBuckets, s.blocks, 1)
	} else {
		w = flow.New(s.dim, probeBuckets, 1)
	}
	e, err := w.Encoder(c.options())
	if err != nil {
		return Placement{}, nil, err
	}
	words := []string{"how", "do", "i", "reset", "the", "password", "of", "my", "account", "where", "is", "order", "when", "open", "close"}
	rng := rand.New(rand.NewPCG(1, 2))
	out := make([]text.Prompt, prompts)
	for i := range out {
		prompt := ""
		for range 9 { // the mean of CLINC150
			prompt += words[rng.IntN(len(words))] + " "
		}
		text.Reader{Buckets: probeBuckets}.Read(&out[i], prompt)
	}
	return Placement{Encoder: e, Weights: w, Options: c.options(), Rows: kernel.NewRows(s.dim)}, out, nil
}
