package layer_test

import (
	"testing"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/encoder/encodertest"
	"github.com/nexus-continuum/nexus/model/layer"
	"github.com/nexus-continuum/nexus/model/text"
)

const dim, buckets, blocks = 32, 1 << 10, 3

func TestLayeredIsAnEncoder(t *testing.T) {
	encodertest.Run(t, encodertest.Architecture{
		New: func(seed uint64) encoder.Weights { return layer.New(dim, buckets, blocks, seed) },
		Load: func(stored []encoder.Section) (encoder.Weights, error) {
			return layer.Load(dim, buckets, blocks, stored)
		},
	})
}

func TestEveryPromptPassesEveryBlock(t *testing.T) {
	t.Parallel()
	w := layer.New(dim, buckets, blocks, 1)
	n, err := w.Net()
	if err != nil {
		t.Fatal(err)
	}
	var p text.Prompt
	text.Reader{Buckets: buckets}.Read(&p, "how are you")
	if info := n.Encode(&p, make([]float32, dim), n.NewScratch()); info.Depth != blocks {
		t.Errorf("depth %d, want %d", info.Depth, blocks)
	}
}

// BenchmarkEncode encodes nine words, the mean of CLINC150.
func BenchmarkEncode(b *testing.B) {
	for name, s := range map[string]struct{ dim, blocks int }{"d128": {128, 2}, "d256": {256, 4}} {
		b.Run(name, func(b *testing.B) {
			n, err := layer.New(s.dim, 1<<15, s.blocks, 1).Net()
			if err != nil {
				b.Fatal(err)
			}
			var p text.Prompt
			text.Reader{Buckets: 1 << 15}.Read(&p, "how do i reset the password of my account")
			h, scratch := make([]float32, s.dim), n.NewScratch()
			b.ReportAllocs()
			for b.Loop() {
				n.Encode(&p, h, scratch)
			}
		})
	}
}
