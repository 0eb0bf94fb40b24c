package gate_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/nexus-continuum/nexus/model/gate"
)

// judgedAt is a prompt with that nearness, as a person judged it.
func judgedAt(near float64, right bool, of string) gate.Record {
	r := gate.Record{Right: -1, Feedback: true, Of: of}
	c := gate.Candidate{}
	c[gate.Best], c[gate.Mean], c[gate.Cover], c[gate.Core], c[gate.Back], c[gate.Same] = near, near, near, near, near, near
	c[gate.Missing] = 1 - near
	r.Candidates = append(r.Candidates, c)
	if right {
		r.Right = 0
	}
	return r
}

// After long content people begin to complain: a dozen complaints in a row raise
// the threshold over what they complain of, though they are few of all judgements;
// as many among praise do not.
func TestAChangeInWhatPeopleAskRaisesTheThreshold(t *testing.T) {
	t.Parallel()
	calm := gate.Calibrate(drawn(rand.New(rand.NewPCG(1, 2)), 500), 0.05)
	var praise []gate.Record
	for i := range 700 {
		praise = append(praise, judgedAt(0.97, true, fmt.Sprint("praise ", i)))
	}
	calm = calm.Judge(nil, praise)
	of := judgedAt(0.97, false, "")
	_, confidence, _ := calm.Weigh(&of.Look)
	if confidence < calm.Threshold() {
		t.Fatalf("the prompts are not answered at the start: %.3f below %.3f", confidence, calm.Threshold())
	}
	mixed, shifted := calm, calm
	for i := range 14 {
		complaint := judgedAt(0.97, false, fmt.Sprint("complaint ", i))
		shifted = shifted.Judge(nil, []gate.Record{complaint})
		mixed = mixed.Judge(nil, append(praise[i*40:(i+1)*40:(i+1)*40], complaint))
	}
	if tau := shifted.Threshold(); tau <= confidence {
		t.Errorf("after 14 complaints in a row the threshold is %.3f, and what they complain of has %.3f", tau, confidence)
	}
	if tau := mixed.Threshold(); tau > confidence {
		t.Errorf("14 complaints among 560 that praise raise the threshold to %.3f", tau)
	}
}
