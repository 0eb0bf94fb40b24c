package heartbeat

// Shadow compares a challenger with the champion on the prompts that both were
// asked.
type Shadow struct {
	Checkpoint string `json:"checkpoint"`
	Prompts    int64  `json:"prompts"`
	// Agreed counts those where both refused or both gave the same answer,
	// Failed those that the challenger could not compute, LeftOut those that
	// found too many waiting.
	Agreed     int64         `json:"agreed"`
	Failed     int64         `json:"failed"`
	LeftOut    int64         `json:"left_out"`
	Champion   ShadowFigures `json:"champion"`
	Challenger ShadowFigures `json:"challenger"`
}

// ShadowFigures are one side's; confidence and time are sums.
type ShadowFigures struct {
	Answered   int64   `json:"answered"`
	Refused    int64   `json:"refused"`
	Confidence float64 `json:"confidence"`
	ComputeMS  float64 `json:"compute_ms"`
}

func (f *ShadowFigures) add(o ShadowFigures) {
	f.Answered += o.Answered
	f.Refused += o.Refused
	f.Confidence += finite(o.Confidence)
	f.ComputeMS += finite(o.ComputeMS)
}

// SumShadows adds up what the workers say of one challenger.
func SumShadows(beats []Beat, challenger string) Shadow {
	out := Shadow{Checkpoint: challenger}
	for i := range beats {
		s := beats[i].Shadow
		if s == nil || s.Checkpoint != challenger {
			continue
		}
		out.Prompts += s.Prompts
		out.Agreed += s.Agreed
		out.Failed += s.Failed
		out.LeftOut += s.LeftOut
		out.Champion.add(s.Champion)
		out.Challenger.add(s.Challenger)
	}
	return out
}

// SumUploads adds up what waits for the bucket; nil without one. Processes on
// one host that share a folder say the same, so of a host the worst counts.
func SumUploads(beats []Beat) *Uploads {
	worst := map[string]Uploads{}
	var out *Uploads
	for i := range beats {
		u := beats[i].Uploads
		if u == nil {
			continue
		}
		if out == nil {
			out = &Uploads{Bucket: u.Bucket}
		}
		if have, ok := worst[beats[i].Host]; !ok || u.Pending > have.Pending || u.LagSeconds > have.LagSeconds {
			worst[beats[i].Host] = *u
		}
		if u.Fault != "" {
			out.Fault = u.Fault
		}
	}
	for _, u := range worst {
		out.Pending += u.Pending
		out.LagSeconds = max(out.LagSeconds, finite(u.LagSeconds))
	}
	return out
}
