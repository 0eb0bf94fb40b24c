package gate

import "cmp"

// Promise is what the threshold keeps to, in shares of prompts.
type Promise struct {
	Answered float64 // of prompts that have an answer
	// Wrong is the share of them that are answered wrongly. The target bounds it.
	Wrong float64
	// Foreign is the share of foreign prompts that are answered, the sorts in the
	// shares of boundShare; a multiple of the target bounds it (see bound).
	Foreign float64
}

// Promise counts as the bounds of the threshold count: the deployment's own judged
// prompts, each left-out one for what such prompts are worth, and, while they are
// few, deployments like this one.
func (g *Gate) Promise() Promise {
	var p Promise
	if g.threshold >= Never {
		return p
	}
	n := 0
	var foreign, asked [sorts]float64
	count := func(j *Judged, feedback bool) {
		yes := j.Confidence >= g.threshold
		if j.Foreign {
			if !feedback { // no fair sample, see bound
				asked[j.Sort]++
				if yes {
					foreign[j.Sort]++
				}
			}
			return
		}
		if !j.Complaint {
			n++
			if yes {
				p.Answered++
			}
		}
		if yes && j.Wrong {
			p.Wrong += cmp.Or(j.Counts, 1)
		}
	}
	for i := range g.base {
		count(&g.base[i], false)
	}
	feedback := g.judge(g.records[g.heldOut:])
	for i := range feedback {
		count(&feedback[i], true)
	}
	weight := priorWeight(n)
	at := levels - 1
	for at > 0 && level(at-1) >= g.threshold {
		at--
	}
	p.Answered = (p.Answered + weight*(g.wrong[at]+g.right[at])) / (float64(n) + weight)
	p.Wrong = (p.Wrong + weight*g.wrong[at]) / (float64(n) + weight)
	of := 0.0
	for s := range asked {
		if asked[s] > 0 {
			p.Foreign += boundShare[s] * foreign[s] / asked[s]
			of += boundShare[s]
		}
	}
	p.Foreign /= max(of, 1)
	return p
}
