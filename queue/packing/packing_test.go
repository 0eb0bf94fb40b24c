package packing

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

// Whatever a result is, it is read as it was written; so are results that an earlier
// version deflated.
func FuzzPacking(f *testing.F) {
	const id = "019dcbf0-2a44-7c31-9a11-0a1b2c3d4e5f"
	for _, s := range []string{
		"", "x", id, id + id, "019DCBF0-2a44-7c31-9a11-0a1b2c3d4e5f", "019dcbf0-2a44-7c31-9a11-0a1b2c3d4e6", "------------------------------------",
		`","similarity":1}`, "\x01\x02\x03\x1f", strings.Repeat("lorem ", 400), "Größe \u2028",
	} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		own := strings.ToValidUTF8(b, "")
		for _, v := range []any{
			a,
			[]string{a, own, id},
			map[string]any{a: own, "lesson_id": id},
			job.Answer{JobID: id, InteractionID: id, Response: a, Checkpoint: &own, Sources: []job.Source{{LessonID: own, Prompt: a, Similarity: 1}}},
		} {
			want, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Unpack(id, string(Pack(id, want)))
			if err != nil || string(got) != string(want) {
				t.Fatalf("%q is read as %q, %v", want, got, err)
			}
		}
	})
}

func TestDeflatedResultsOfEarlierVersionsAreRead(t *testing.T) {
	t.Parallel()
	const old = "z\xab\x06\x99\x0e\v^\xe7Ĝ\x1c\xb0SSR\x8b\xb3\xb1\x855R\xe0\xd5\x02\x00"
	const want = `{"response":"Call the desk","responded":true,"topic":null}`
	if got, err := Unpack("", old); err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
}

func BenchmarkPack(b *testing.B) {
	b.ReportAllocs()
	id := job.NewID()
	source := func(prompt string) job.Source {
		return job.Source{LessonID: job.NewID(), Prompt: prompt, Similarity: 0.8731}
	}
	checkpoint := job.NewID()
	result, err := json.Marshal(job.Answer{
		JobID: id, InteractionID: id, Response: "Send the parcel back within 30 days of receiving it.", Responded: true, Confidence: 0.9142, Threshold: 0.71,
		Checkpoint: &checkpoint,
		Sources:    []job.Source{source("how do I return a parcel"), source("can I send something back"), source("what is your returns policy")},
	})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		n = len(Pack(id, result))
	}
	b.ReportMetric(float64(n), "bytes")
	b.ReportMetric(float64(len(result)), "bytes-before")
}
