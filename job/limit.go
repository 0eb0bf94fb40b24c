package job

// Limits on input. Characters are Unicode code points.
const (
	MaxPromptChars   = 8_000
	MaxResponseChars = 64_000
	MaxTopicChars    = 128
)
