package gate

// What people judge is tested as it comes, by betting: a bettor holds that more
// than the target of the prompts are answered wrongly at a level, and each
// judgement multiplies what he has by 1 + λ·(x − α), where x is 1 for a wrong
// answer at that level. While the promise holds he gains nothing on average, so
// that what he has may be looked at after each judgement (Ville's inequality;
// Waudby-Smith and Ramdas, 2010.09686). He starts anew whenever he has less than
// at the start, so that years of content count for nothing against a change in
// what people ask (e-detectors: Shin, Ramdas and Rinaldo, 2203.03532): then a false
// alarm comes once in 1/alarmChance judgements or less often.
const (
	// enoughWealth ends the bet. It is large, since people complain sooner than they
	// praise, and the judgements are no fair sample.
	enoughWealth = 1000
	// silent is how many answers that nobody judged count as right for each complaint.
	silent = 4
)

// stakes are the bets λ·α among which the bettor spreads what he has, since how
// much is wrong is not known.
var stakes = [...]float64{0.05, 0.1, 0.2, 0.4, 0.7}

// wealth is what the bettor of each level and stake has.
type wealth [levels][len(stakes)]float64

// alarm is the lowest level at which the bets on judgements, the oldest first, have
// not come in, or Never. Foreign prompts have no part in the promise.
func alarm(judged []Judged, alpha float64) float64 {
	var w wealth
	for l := range w {
		for k := range w[l] {
			w[l][k] = 1
		}
	}
	for i := range judged {
		if judged[i].Foreign {
			continue
		}
		wrong := 0.0
		if judged[i].Wrong {
			wrong = judged[i].Confidence
		}
		for range silent {
			if judged[i].Complaint {
				w.judge(0, alpha)
			}
		}
		w.judge(wrong, alpha)
	}
	return lowest(func(l int) bool { return w.at(l) < enoughWealth })
}

// judge settles the bets on a prompt that is answered wrongly at the levels up to
// that confidence.
func (w *wealth) judge(confidence, alpha float64) {
	for l := range w {
		x := 0.0
		if confidence >= level(l) {
			x = 1
		}
		for k, stake := range stakes {
			w[l][k] = max(1, w[l][k]*(1+stake/alpha*(x-alpha)))
		}
	}
}

// at is what the bettor of a level has in all, as a multiple of his start.
func (w *wealth) at(l int) float64 {
	sum := 0.0
	for k := range stakes {
		sum += w[l][k] / float64(len(stakes))
	}
	return sum
}
