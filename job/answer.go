package job

import "fmt"

// Answer is the result of an interact job: the 200 body of POST /api/interact.
type Answer struct {
	JobID         string   `json:"job_id"`
	InteractionID string   `json:"interaction_id"`
	Response      string   `json:"response"`
	Responded     bool     `json:"responded"`
	Reason        *string  `json:"reason"`
	Confidence    float64  `json:"confidence"`
	Threshold     float64  `json:"threshold"`
	Topic         *string  `json:"topic"`
	Sources       []Source `json:"sources"`
	Flow          Flow     `json:"flow"`
	Checkpoint    *string  `json:"checkpoint"`
	Timing        Timing   `json:"timing"`
}

// Source is a taught lesson that is similar to the prompt.
type Source struct {
	LessonID   string  `json:"lesson_id"`
	Prompt     string  `json:"prompt"`
	Similarity float64 `json:"similarity"`
}

// Flow describes how the model reached its state. Depth measures work, not confidence.
type Flow struct {
	Depth     int     `json:"depth"`
	Converged bool    `json:"converged"`
	Residual  float64 `json:"residual"`
}

// Timing splits the time of an interact, in milliseconds.
type Timing struct {
	QueueMS   float64 `json:"queue_ms"`
	ComputeMS float64 `json:"compute_ms"`
	TotalMS   float64 `json:"total_ms"`
}

// Measures are the figures of an answer that are counted. They contain none of its
// words.
type Measures struct {
	Responded, Converged bool
	Reason               string // of a refusal; may be empty
	Depth                int    // 0: the flow did not run
	QueueMS, ComputeMS   float64
	Confidence           float64
}

// Measures returns the figures of the answer.
func (a *Answer) Measures() Measures {
	m := Measures{
		Responded: a.Responded, Converged: a.Flow.Converged, Depth: a.Flow.Depth,
		QueueMS: a.Timing.QueueMS, ComputeMS: a.Timing.ComputeMS, Confidence: a.Confidence,
	}
	if a.Reason != nil {
		m.Reason = *a.Reason
	}
	return m
}

// Reasons for a refusal.
const (
	ReasonUntaught      = "untaught"
	ReasonLowConfidence = "low_confidence"
	ReasonAmbiguous     = "ambiguous"
	ReasonUnfamiliar    = "unfamiliar"
	ReasonTaughtRefusal = "taught_refusal"
	ReasonNotConverged  = "not_converged"
)

// Figures are the results measured on held-out prompts.
type Figures struct {
	// Prompts is how many of the judged prompts have an answer. It is 0 if no lesson
	// could be held out; then the shares of them are 0 too.
	Prompts int `json:"prompts"`
	// Accuracy is the share that would be answered right if every prompt were answered.
	Accuracy float64 `json:"accuracy"`
	// Answered is the share of prompts at or above the threshold.
	Answered float64 `json:"answered"`
	// WrongAnswered is the share of prompts that are answered wrongly, counted as the
	// target limits it, so it never exceeds the target. Each lesson that was left out
	// for judging counts with its weight. While few prompts are judged, deployments
	// similar to this one count too.
	WrongAnswered float64 `json:"wrong_answered"`
	// WrongOfAnswered is the share of the given answers that are wrong, with the same
	// weights.
	WrongOfAnswered float64 `json:"wrong_of_answered"`
	// ForeignRefused is the share of foreign prompts that are refused. Their kinds have
	// the same weights as in the bound on them.
	ForeignRefused float64 `json:"foreign_refused"`
	Threshold      float64 `json:"threshold"`
}

// Outlook says what to expect of prompts like the taught ones, as shares, and what
// would improve it.
type Outlook struct {
	Answered float64 `json:"answered"`
	Wrong    float64 `json:"wrong"`
	// Answers is the number of answers. SinglePhrasing is how many of them have only
	// one phrasing.
	Answers        int `json:"answers"`
	SinglePhrasing int `json:"single_phrasing"`
}

// String returns the outlook as text for a person.
func (o Outlook) String() string {
	if o.Answers == 0 {
		return "Nothing is taught, so nothing is answered."
	}
	s := fmt.Sprintf("%.0f %% of prompts like these would be answered, %.0f %% wrongly", 100*o.Answered, 100*o.Wrong)
	switch o.SinglePhrasing {
	case 0:
		return s
	case 1:
		return s + "; 1 answer has one phrasing only"
	}
	return fmt.Sprintf("%s; %d answers have one phrasing only", s, o.SinglePhrasing)
}

// Trained is the result of a train job.
type Trained struct {
	Dataset        string  `json:"dataset,omitempty"`
	Topic          string  `json:"topic,omitempty"`
	LessonsTaken   int     `json:"lessons_taken"`
	LessonsKnown   int     `json:"lessons_known"`
	LessonsRemoved int     `json:"lessons_removed"`
	LessonsSkipped int     `json:"lessons_skipped"`
	Skipped        []Fault `json:"skipped,omitempty"`
	// Contradictions are the first contradictions. ContradictionsTotal is their number.
	Contradictions      []Contradiction `json:"contradictions,omitempty"`
	ContradictionsTotal int             `json:"contradictions_total"`
	Steps               int             `json:"steps"`
	// Losses are mean losses from the first step to the last, each over the same number
	// of steps.
	Losses     []float64 `json:"losses,omitempty"`
	DurationMS int64     `json:"duration_ms"`
	// Outlook says what to expect now. Summary is the same as text.
	Outlook    *Outlook `json:"outlook,omitempty"`
	Summary    string   `json:"summary,omitempty"`
	Before     *Figures `json:"before"`
	After      *Figures `json:"after"`
	Checkpoint string   `json:"checkpoint"`
	Promoted   bool     `json:"promoted"`
	Why        string   `json:"why"`
}

// Contradiction is a prompt that was taught a second answer. Within a topic, the newer
// answer replaced the older one. If OtherTopic is set, both remain.
type Contradiction struct {
	LessonID string `json:"lesson_id"`
	Prompt   string `json:"prompt"`
	Older    string `json:"older"`
	Newer    string `json:"newer"`
	// OtherTopic is the topic of the older answer if it differs.
	OtherTopic *string `json:"other_topic,omitempty"`
}

// Interaction is one line of the bounded log of prompts and answers.
type Interaction struct {
	ID         string   `json:"id"`
	Owner      string   `json:"owner,omitempty"` // name of the API key that asked
	Prompt     string   `json:"prompt,omitempty"`
	Topic      string   `json:"topic,omitempty"`
	Response   string   `json:"response,omitempty"`
	Responded  bool     `json:"responded"`
	Reason     string   `json:"reason,omitempty"`
	Confidence float64  `json:"confidence"`
	Threshold  float64  `json:"threshold"`
	Lessons    []string `json:"lessons,omitempty"`
	Checkpoint string   `json:"checkpoint,omitempty"`
	At         *Time    `json:"at"`
}
