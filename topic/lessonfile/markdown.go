package lessonfile

import (
	"regexp"
	"strings"
)

var (
	atxHeading = regexp.MustCompile(`^ {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$`)
	setext     = regexp.MustCompile(`^ {0,3}(=+|-{3,})[ \t]*$`)
	boldLine   = regexp.MustCompile(`^[ \t]*(?:\*\*|__)(.+\?)[ \t]*(?:\*\*|__)[ \t]*$`)
	askedLine  = regexp.MustCompile(`(?i)^[ \t]*(?:\*\*|__)?(?:q|question)[ \t]*\d*[ \t]*[:.)][ \t]*(?:\*\*|__)?[ \t]*(.+?)(?:\*\*|__)?[ \t]*$`)
	answerLine = regexp.MustCompile(`(?i)^[ \t]*(?:\*\*|__)?(?:a|answer)[ \t]*\d*[ \t]*[:.)][ \t]*(?:\*\*|__)?[ \t]*(.*)$`)
	fence      = regexp.MustCompile("^ {0,3}(```|~~~)")
	leadNumber = regexp.MustCompile(`^\d+[.)][ \t]+`)
	headingID  = regexp.MustCompile(`[ \t]*\{[#.:][^{}]*\}[ \t]*$`)
	inlineLink = regexp.MustCompile(`!?\[([^\[\]]*)\]\([^()]*\)`)
	strongMark = regexp.MustCompile(`(\*\*|__)([^*_]+)(?:\*\*|__)`)
	emphasis   = regexp.MustCompile(`\*([^*\s](?:[^*]*[^*\s])?)\*`)
	codeMark   = regexp.MustCompile("`([^`]+)`")
	anchorTag  = regexp.MustCompile(`</?a\b[^<>]*>`)
)

// unmarked drops from a heading the marks that nobody types who asks: links, bold,
// code and anchors.
func unmarked(title string) string {
	title = anchorTag.ReplaceAllString(headingID.ReplaceAllString(title, ""), "")
	title = inlineLink.ReplaceAllString(title, "$1")
	title = strongMark.ReplaceAllString(title, "$2")
	title = emphasis.ReplaceAllString(title, "$1")
	return strings.TrimSpace(codeMark.ReplaceAllString(title, "$1"))
}

// frontMatter counts the lines of the settings that some tools write at the top of a
// page, between two lines of dashes.
func frontMatter(lines []string) int {
	if strings.TrimRight(lines[0], " \t") != "---" {
		return 0
	}
	for i, line := range lines[1:] {
		switch line = strings.TrimRight(line, " \t"); {
		case line == "---" || line == "...":
			return i + 2
		case line == "" || strings.HasPrefix(line, "#"):
			return 0
		}
	}
	return 0
}

func looksMarkdown(s string) bool {
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\n")
		if atxHeading.MatchString(line) || askedLine.MatchString(line) && !strings.Contains(line, ",") || boldLine.MatchString(line) {
			return true
		}
	}
	return false
}

// section is a heading and what stands under it, up to the next heading.
type section struct {
	line  int
	level int // 1 to 6; 7 is a question without a heading
	title string
	body  []string
}

// openMarkdown takes headings, lines in bold that ask something and lines that
// begin with "Q:" for questions, and what follows for the answer.
func openMarkdown(body []byte, opt Options) (*File, error) {
	var all []*section
	var now *section
	fenced := false
	lines := strings.Split(string(body), "\n")
	begin := func(line, level int, title string) {
		title = strings.TrimSpace(leadNumber.ReplaceAllString(strings.Trim(unmarked(title), "*_"), ""))
		now = &section{line: line, level: level, title: title}
		all = append(all, now)
	}
	skipped := frontMatter(lines)
	for i, line := range lines {
		if i < skipped {
			continue
		}
		if fence.MatchString(line) {
			fenced = !fenced
		}
		if !fenced {
			if m := atxHeading.FindStringSubmatch(line); m != nil {
				begin(i+1, len(m[1]), m[2])
				continue
			}
			if m := setext.FindStringSubmatch(line); m != nil && i > 0 && strings.TrimSpace(lines[i-1]) != "" && !atxHeading.MatchString(lines[i-1]) && !setext.MatchString(lines[i-1]) {
				if now != nil && len(now.body) > 0 {
					now.body = now.body[:len(now.body)-1]
				}
				begin(i, 1+strings.Count(m[1][:1], "-"), lines[i-1])
				continue
			}
			if m := askedLine.FindStringSubmatch(line); m != nil {
				begin(i+1, 7, m[1])
				continue
			}
			if m := boldLine.FindStringSubmatch(line); m != nil {
				begin(i+1, 7, m[1])
				continue
			}
			if m := answerLine.FindStringSubmatch(line); m != nil && now != nil && strings.TrimSpace(strings.Join(now.body, "")) == "" {
				line = m[1]
			}
		}
		if now != nil {
			now.body = append(now.body, line)
		}
	}
	var lessons []Lesson
	for i, s := range all {
		text := strings.TrimSpace(strings.Join(s.body, "\n"))
		if text == "" || s.title == "" {
			continue // a heading over other headings
		}
		if s.level == 1 && i == 0 && len(all) > 1 && !strings.HasSuffix(s.title, "?") {
			continue // the title of the page with a preface
		}
		lessons = append(lessons, Lesson{Line: s.line, Prompt: s.title, Response: &text, Topic: opt.Topic})
	}
	if len(lessons) == 0 {
		return nil, unreadable("the page holds no question with an answer: write each question as a heading and its answer below")
	}
	return &File{Format: FormatMarkdown, next: listed(lessons, nil)}, nil
}
