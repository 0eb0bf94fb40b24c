package model

import (
	"flag"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/gate"
)

var campaignBots = flag.String("campaign.bots", "", "show how the default calibration does on the data sets of this folder, one a file: lines of intent, tab, prompt")

// TestBots shows, when it is asked to, how deployments do that had no part in the
// default calibration: each data set with one, three and ten lessons an answer,
// drawn three times, and all of them together.
func TestBots(t *testing.T) {
	if *campaignBots == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(*campaignBots, "*.tsv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no .tsv file in %s: %v", *campaignBots, err)
	}
	empty, err := New(Config{Seed: 1, Size: Small})
	if err != nil {
		t.Fatal(err)
	}
	var all []deployment
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".tsv")
		d := dataset{name: name, family: name, intents: grouped(t, f, 2)}
		for _, lessons := range []int{1, 3, 10} {
			for draw := range uint64(3) {
				p, ok := d.draw(rand.New(rand.NewPCG(draw, 9)), size{150, lessons}, false)
				if !ok || len(p.asked) < 30 {
					continue
				}
				all = append(all, p.carriedOut(t, empty))
			}
		}
	}
	gates := make([]*gate.Gate, len(all))
	for i := range all {
		gates[i] = gate.Calibrate(all[i].own, 0.05)
	}
	each := summary(all, gates)
	for i := range all {
		all[i].family = "all"
	}
	t.Logf("each:\n%s\ntogether:\n%s", each, summary(all, gates))
}
