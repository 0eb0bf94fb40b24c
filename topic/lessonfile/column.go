package lessonfile

import (
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/nexus-continuum/nexus/job"
)

// Usual names of columns and fields, the surest first.
var (
	promptNames = strings.Fields(`prompt question utterance phrasing query patterns questions utterances phrasings instruction request
		title faq input user human text sentence example q frage pregunta domanda pergunta vraag pytanie вопрос 问题 問題 質問 질문 سؤال`)
	responseNames = strings.Fields(`response answer reply completion responses answers output solution resolution bot assistant target content a
		antwort respuesta reponse risposta resposta antwoord odpowiedz ответ 回答 答案 답변 جواب intent label`)
	// articleNames are what help centres call the text of an article, whose title is the
	// question. They count only beside a question.
	articleNames = []string{"body", "article", "description"}
	topicNames   = strings.Fields(`topic category class section subject theme group kategorie thema categoria categorie tema rubrik категория 类别 分类 カテゴリ`)
	// refusalNames mark lessons that teach a refusal, in tables, which have no null.
	refusalNames = []string{"refusal"}
	// Names of when an answer may be given, as an export calls them.
	draftNames = []string{"draft"}
	fromNames  = []string{"valid_from"}
	untilNames = []string{"valid_until"}
)

// plain is a name without case, accents, spaces and punctuation.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, norm.NFKD.String(name))
}

// choice is where the parts of a lesson stand; -1 is nowhere.
type choice struct{ prompt, response, topic, refusal, draft, from, until int }

// choose finds the columns of a header. miss names the option that no column
// fits, if one was given.
func choose(header []string, opt Options) (c choice, miss string) {
	c = choice{-1, -1, -1, -1, -1, -1, -1}
	for _, want := range []struct {
		name  string
		given string
		at    *int
	}{{"prompt", opt.Prompt, &c.prompt}, {"response", opt.Response, &c.response}} {
		if want.given == "" {
			continue
		}
		if *want.at = column(header, want.given); *want.at < 0 {
			return c, want.name
		}
	}
	if opt.Topic != "" {
		c.topic = column(header, opt.Topic) // else it is the name of a topic
	}
	usual := func(at *int, names []string) {
		for _, name := range names {
			for i, h := range header {
				if *at < 0 && i != c.prompt && i != c.response && i != c.topic && plain(h) == plain(name) {
					*at = i
				}
			}
		}
	}
	usual(&c.prompt, promptNames)
	usual(&c.response, responseNames)
	if c.prompt >= 0 {
		usual(&c.response, articleNames)
	}
	if opt.Topic == "" {
		usual(&c.topic, topicNames)
	}
	usual(&c.refusal, refusalNames)
	usual(&c.draft, draftNames)
	usual(&c.from, fromNames)
	usual(&c.until, untilNames)
	return c, ""
}

func (c choice) found() bool { return c.prompt >= 0 && c.response >= 0 }

// column finds a column by its header, else by its number.
func column(header []string, name string) int {
	for i, h := range header {
		if strings.EqualFold(strings.TrimSpace(h), strings.TrimSpace(name)) {
			return i
		}
	}
	for i, h := range header {
		if p := plain(name); p != "" && plain(h) == p {
			return i
		}
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(header) {
		return n - 1
	}
	return -1
}

func (c choice) columns(header []string) *Columns {
	out := &Columns{Prompt: header[c.prompt], Response: header[c.response], Names: header}
	if c.topic >= 0 {
		out.Topic = &header[c.topic]
	}
	return out
}

// unchosen says that the columns of a table are not known.
func unchosen(header []string, c choice, miss string, opt Options) error {
	shown := make([]string, 0, len(header))
	for _, h := range header {
		shown = append(shown, strconv.Quote(job.Clip(strings.TrimSpace(h), 40)))
		if len(shown) == 20 {
			break
		}
	}
	list := strings.Join(shown, ", ")
	switch {
	case miss == "prompt":
		return unreadable("no column is called %q; the columns are %s", job.Clip(opt.Prompt, 80), list).On("prompt")
	case miss == "response":
		return unreadable("no column is called %q; the columns are %s", job.Clip(opt.Response, 80), list).On("response")
	case len(header) < 2:
		return unreadable("the first line is %s: a table needs a header with a column for the question and one for the answer, such as prompt,response", list)
	case c.prompt < 0 && c.response < 0 && asks(header):
		return unreadable("the first line is %s, which looks like a lesson and not like a header: put a line above it that names the columns, such as prompt,response", list)
	case c.prompt < 0 && c.response < 0:
		return unreadable("no column is known as the question or the answer; the columns are %s: call them prompt,response or choose with ?prompt=<column>&response=<column>", list)
	case c.prompt < 0:
		return unreadable("no column is known as the question; the columns are %s: call them prompt,response or choose with ?prompt=<column>", list)
	}
	return unreadable("no column is known as the answer; the columns are %s: call them prompt,response or choose with ?response=<column>", list)
}

// asks reports whether a header holds a question, as the first line of a table without
// a header does.
func asks(header []string) bool {
	for _, h := range header {
		h = strings.TrimSpace(h)
		if strings.HasSuffix(h, "?") || strings.HasSuffix(h, "？") || strings.HasSuffix(h, "؟") {
			return true
		}
	}
	return false
}

// truthy reads the refusal column.
func truthy(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "yes", "y", "1", "x":
		return true
	}
	return false
}
