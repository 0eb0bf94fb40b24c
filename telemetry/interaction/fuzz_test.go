package interaction

import (
	"fmt"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

func FuzzDecodeInteraction(f *testing.F) {
	f.Add(`{"p":"x","y":true,"c":0.9,"l":["l1"],"a":1795680572662}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, s string) {
		it, err := decodeLine(job.NewID(), s)
		if err != nil {
			return
		}
		if j, err := delivered(it); err == nil && j.State != job.StateSucceeded {
			t.Errorf("job is %+v", j)
		}
	})
}

func FuzzGroupRefusals(f *testing.F) {
	f.Add("Can I pay by card?", "can i pay by CARD", "Where is my parcel")
	f.Add("", "\xff", "日本語")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		in := []job.Interaction{{ID: "1", Prompt: a}, {ID: "2", Prompt: b}, {ID: "3", Prompt: c}, {ID: "4", Prompt: a}}
		total := 0
		l := newLedger()
		for i, it := range in {
			l.add(fmt.Sprintf("%d-0", i+1), it)
		}
		for g := range l.groups {
			total += l.show(g, nil).Count
		}
		if total != len(in) {
			t.Errorf("%d refusals became %d", len(in), total)
		}
	})
}
