package api

import (
	"encoding/json"
	"html/template"
	"strings"
)

// markup renders the little Markdown that the OpenAPI file uses: paragraphs,
// `code`, **bold**, *emphasis* and tables. Everything else is escaped text.
func markup(text string) template.HTML {
	var b strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		block = strings.TrimSpace(block)
		switch {
		case block == "":
		case strings.HasPrefix(block, "|"):
			table(&b, strings.Split(block, "\n"))
		default:
			b.WriteString("<p>" + inline(block) + "</p>")
		}
	}
	return template.HTML(b.String()) //nolint:gosec // Every piece of text went through HTMLEscapeString.
}

func table(b *strings.Builder, lines []string) {
	b.WriteString("<table>")
	for i, line := range lines {
		if strings.HasPrefix(line, "|---") {
			continue
		}
		cell := "td"
		if i == 0 {
			cell = "th"
		}
		b.WriteString("<tr>")
		for c := range strings.SplitSeq(strings.Trim(line, "| "), "|") {
			b.WriteString("<" + cell + ">" + inline(strings.TrimSpace(c)) + "</" + cell + ">")
		}
		b.WriteString("</tr>")
	}
	b.WriteString("</table>")
}

// inline renders marks within a line. Marks do not nest.
func inline(text string) string {
	text = template.HTMLEscapeString(text)
	for _, m := range []struct{ mark, tag string }{{"`", "code"}, {"**", "strong"}, {"*", "em"}} {
		parts := strings.Split(text, m.mark)
		if len(parts)%2 == 0 {
			continue // an odd mark is just a character
		}
		var b strings.Builder
		for i, p := range parts {
			if i%2 == 1 {
				p = "<" + m.tag + ">" + p + "</" + m.tag + ">"
			}
			b.WriteString(p)
		}
		text = b.String()
	}
	return text
}

func jsonLine(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}
