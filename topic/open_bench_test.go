package topic_test

import (
	"testing"

	"github.com/nexus-continuum/nexus/topic"
)

// BenchmarkOpen is part of every start of the server.
func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		if _, err := topic.Open(""); err != nil {
			b.Fatal(err)
		}
	}
}
