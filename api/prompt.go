package api

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nexus-continuum/nexus/job"
)

// checkPrompt refuses a prompt that is empty or too long.
func checkPrompt(prompt string) *job.Error {
	if strings.TrimSpace(prompt) == "" {
		return job.Errorf(job.CodePromptEmpty, "the prompt is empty; say what you want to ask").On("prompt")
	}
	if n := utf8.RuneCountInString(prompt); n > job.MaxPromptChars {
		return job.Errorf(job.CodePromptTooLong, "the prompt has %d characters; at most %d are taken", n, job.MaxPromptChars).On("prompt")
	}
	return checkText("prompt", prompt)
}

// checkText refuses text that misleads later readers.
func checkText(name, text string) *job.Error {
	if !utf8.ValidString(text) { // of JSON it always is, of a URL not
		return job.Errorf(job.CodeInvalid, "the %s is not UTF-8", name).On(name)
	}
	if what := job.Misleading(text); what != "" {
		return job.Errorf(job.CodeInvalid, "the %s holds %s; remove it", name, what).On(name)
	}
	return nil
}

// checkResponse refuses a response that is empty or too long.
func checkResponse(response string) *job.Error {
	if strings.TrimSpace(response) == "" {
		return job.Errorf(job.CodeInvalid, "the response is empty; null teaches a refusal").On("response")
	}
	if n := utf8.RuneCountInString(response); n > job.MaxResponseChars {
		return job.Errorf(job.CodeResponseTooLong, "the response has %d characters; at most %d are taken", n, job.MaxResponseChars).On("response")
	}
	return checkText("response", response)
}

// checkTopic refuses a topic that is too long or not one line of text. An empty topic
// means none.
func checkTopic(topic string) *job.Error {
	if n := utf8.RuneCountInString(topic); n > job.MaxTopicChars {
		return job.Errorf(job.CodeInvalid, "the topic has %d characters; at most %d are taken", n, job.MaxTopicChars).On("topic")
	}
	if strings.ContainsFunc(topic, unicode.IsControl) {
		return job.Errorf(job.CodeInvalid, "the topic holds a control character").On("topic")
	}
	if topic != strings.TrimSpace(topic) {
		return job.Errorf(job.CodeInvalid, "the topic begins or ends with white space").On("topic")
	}
	return checkText("topic", topic)
}
