package api

import (
	"cmp"
	"math"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model/gate"
)

// risk is the body of GET /api/risk.
type risk struct {
	TargetError float64 `json:"target_error"`
	// Set says that the target was set over the API, not by the settings.
	Set     bool `json:"set"`
	Prompts int  `json:"prompts"`
	Foreign int  `json:"foreign"`
	Own     bool `json:"own"`
	riskPoint
	Curve       []riskPoint  `json:"curve"`
	Choices     []riskChoice `json:"choices"`
	Reliability []riskBin    `json:"reliability"`
}

type riskPoint struct {
	Threshold       float64 `json:"threshold"`
	Answered        float64 `json:"answered"`
	Wrong           float64 `json:"wrong"`
	ForeignAnswered float64 `json:"foreign_answered"`
}

type riskChoice struct {
	TargetError float64 `json:"target_error"`
	riskPoint
}

type riskBin struct {
	From       float64 `json:"from"`
	To         float64 `json:"to"`
	Prompts    int     `json:"prompts"`
	Confidence float64 `json:"confidence"`
	Right      float64 `json:"right"`
}

// targets are the limits on wrong answers to choose from, from strict to bold.
var targets = []float64{
	0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5,
}

// Limits of a target, as for NEXUS_TARGET_ERROR.
const (
	leastTarget = 0.001
	mostTarget  = 0.5
)

// showRisk is GET /api/risk.
func (s *Server) showRisk(c echo.Context) (risk, error) {
	ctx := c.Request().Context()
	known, err := s.opt.Known(ctx)
	if err != nil {
		return risk{}, err
	}
	control, err := s.controls.Read(ctx)
	if err != nil {
		return risk{}, stored("read the control record", err)
	}
	target := cmp.Or(control.TargetError, known.Info().TargetError)
	r := known.Risk(target, targets)
	out := risk{
		TargetError: target, Set: control.TargetError > 0, Prompts: r.Prompts, Foreign: r.Foreign, Own: r.Own, riskPoint: riskPointOf(r.Now),
		Curve: make([]riskPoint, len(r.Curve)), Choices: make([]riskChoice, len(r.Choices)), Reliability: make([]riskBin, len(r.Reliability)),
	}
	for i, p := range r.Curve {
		out.Curve[i] = riskPointOf(p)
	}
	for i, p := range r.Choices {
		out.Choices[i] = riskChoice{targets[i], riskPointOf(p)}
	}
	for i, b := range r.Reliability {
		out.Reliability[i] = riskBin{round(b.From), round(b.To), b.Prompts, round(b.Confidence), round(b.Right)}
	}
	return out, nil
}

func riskPointOf(p gate.Point) riskPoint {
	return riskPoint{round(finite(p.Threshold)), round(finite(p.Answered)), round(finite(p.Wrong)), round(finite(p.Foreign))}
}

// checkTarget refuses a limit on wrong answers that the settings would also refuse.
func checkTarget(alpha float64) error {
	if math.IsNaN(alpha) || alpha < leastTarget || alpha > mostTarget {
		return job.Errorf(job.CodeInvalid, "target_error is %v; it must be from %v to %v, or null for the one of the settings", alpha, leastTarget, mostTarget).On("target_error")
	}
	return nil
}
