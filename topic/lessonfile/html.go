package lessonfile

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

var htmlStart = regexp.MustCompile(`(?i)^(<!--.*?-->\s*)*<(!doctype html|html|head|body|main|article|section|div|h[1-6]|dl|details|p)\b`)

func looksHTML(s string) bool { return htmlStart.MatchString(s) }

// openHTML reads a page of questions and answers: the FAQ that it describes to
// search engines, else lists of terms, details with a summary, and headings with
// what stands below them.
func openHTML(body []byte, opt Options) (*File, error) {
	doc, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return nil, unreadable("the page cannot be read: its elements are nested too deeply or broken")
	}
	p := &htmlPage{openers: map[*html.Node]bool{}}
	p.walk(doc)
	found := p.described
	if len(found) == 0 {
		found = p.pairs
		for i, s := range p.sections {
			if s.level == 1 && i == 0 && len(p.sections) > 1 && !strings.HasSuffix(s.title, "?") {
				continue // the title of the page
			}
			found = append(found, [2]string{s.title, strings.Join(s.body, "")})
		}
	}
	var lessons []Lesson
	for _, f := range found {
		prompt, answer := tidy(f[0]), tidyBlock(f[1])
		if prompt == "" || answer == "" {
			continue
		}
		lessons = append(lessons, Lesson{Line: len(lessons) + 1, Prompt: prompt, Response: &answer, Topic: opt.Topic})
	}
	if len(lessons) == 0 {
		return nil, unreadable("the page holds no question with an answer: no FAQ data, no <details>, no <dl> and no headings with text below")
	}
	return &File{Format: FormatHTML, next: listed(lessons, nil)}, nil
}

type htmlPage struct {
	described [][2]string // schema.org FAQPage
	pairs     [][2]string // details and term lists
	sections  []*section  // headings, and buttons that open an answer
	openers   map[*html.Node]bool
}

// walk goes through the page in order, without recursion: pages may be deep.
func (p *htmlPage) walk(doc *html.Node) {
	for n := range doc.Descendants() {
		switch {
		case n.Type == html.ElementNode && n.DataAtom == atom.Script:
			if attr(n, "type") == "application/ld+json" && n.FirstChild != nil {
				p.describe([]byte(n.FirstChild.Data))
			}
		case p.within(n):
		case n.Type == html.TextNode:
			if len(p.sections) > 0 {
				s := p.sections[len(p.sections)-1]
				s.body = append(s.body, flat(n.Data))
			}
		case n.Type != html.ElementNode:
		case n.DataAtom == atom.Details:
			p.pair(n, atom.Summary)
		case n.DataAtom == atom.Dt:
			p.term(n)
		case len(n.Data) == 2 && n.Data[0] == 'h' && n.Data[1] >= '1' && n.Data[1] <= '6':
			p.sections = append(p.sections, &section{level: int(n.Data[1] - '0'), title: inner(n, nil)})
		case opener(n):
			p.openers[n] = true
			p.sections = append(p.sections, &section{level: 7, title: inner(n, nil)})
		case block(n) && len(p.sections) > 0:
			s := p.sections[len(p.sections)-1]
			s.body = append(s.body, "\n")
		}
	}
}

// within reports whether n is a part of what was taken already or is not shown.
func (p *htmlPage) within(n *html.Node) bool {
	depth := 0
	for a := n.Parent; a != nil && depth < 600; a = a.Parent {
		depth++
		if p.openers[a] {
			return true
		}
		switch a.DataAtom {
		case atom.Script, atom.Style, atom.Nav, atom.Footer, atom.Template, atom.Noscript, atom.Head, atom.Details, atom.Dl,
			atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
			if a.DataAtom == atom.Dl && n.DataAtom == atom.Dt {
				continue
			}
			return true
		}
	}
	return false
}

// opener reports whether n is the question of an accordion: a button that opens the
// answer below it.
func opener(n *html.Node) bool {
	if n.DataAtom != atom.Button && attr(n, "role") != "button" {
		return false
	}
	parts := 0
	for range n.Descendants() {
		if parts++; parts > 50 {
			return false
		}
	}
	if strings.HasSuffix(tidy(inner(n, nil)), "?") {
		return true
	}
	class := attr(n, "class")
	return strings.Contains(class, "accordion") || strings.Contains(class, "faq") || strings.Contains(class, "collapsible")
}

// pair takes a details element apart.
func (p *htmlPage) pair(n *html.Node, head atom.Atom) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.DataAtom == head {
			p.pairs = append(p.pairs, [2]string{inner(c, nil), inner(n, c)})
			return
		}
	}
}

// term takes a dt with the dd elements behind it.
func (p *htmlPage) term(n *html.Node) {
	var answer strings.Builder
	for c := n.NextSibling; c != nil && c.DataAtom != atom.Dt; c = c.NextSibling {
		if c.DataAtom == atom.Dd {
			answer.WriteString(inner(c, nil) + "\n")
		}
	}
	p.pairs = append(p.pairs, [2]string{inner(n, nil), answer.String()})
}

// inner is the text within n, without that of except.
func inner(n, except *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode && !below(c, except) && c.Parent.DataAtom != atom.Script && c.Parent.DataAtom != atom.Style {
			b.WriteString(flat(c.Data))
		} else if block(c) {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func below(n, top *html.Node) bool {
	for a := n; a != nil && top != nil; a = a.Parent {
		if a == top {
			return true
		}
	}
	return false
}

func block(n *html.Node) bool {
	switch n.DataAtom {
	case atom.P, atom.Br, atom.Li, atom.Ul, atom.Ol, atom.Div, atom.Tr, atom.Pre, atom.Blockquote, atom.Section, atom.Article:
		return n.Type == html.ElementNode
	}
	return false
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return strings.TrimSpace(strings.ToLower(a.Val))
		}
	}
	return ""
}

// describe reads a FAQPage of schema.org.
func (p *htmlPage) describe(body []byte) {
	type question struct {
		Name           string `json:"name"`
		AcceptedAnswer struct {
			Text string `json:"text"`
		} `json:"acceptedAnswer"`
	}
	type faq struct {
		MainEntity json.RawMessage `json:"mainEntity"`
	}
	var pages []faq
	var graph struct {
		Graph []faq `json:"@graph"`
	}
	if isObject(body) {
		var one faq
		if json.Unmarshal(body, &one) != nil || json.Unmarshal(body, &graph) != nil {
			return
		}
		pages = append(pages, graph.Graph...)
		pages = append(pages, one)
	} else if json.Unmarshal(body, &pages) != nil {
		return
	}
	for _, f := range pages {
		var list []question
		if isObject(f.MainEntity) {
			list = make([]question, 1)
			if json.Unmarshal(f.MainEntity, &list[0]) != nil {
				continue
			}
		} else if json.Unmarshal(f.MainEntity, &list) != nil {
			continue
		}
		for _, q := range list {
			p.described = append(p.described, [2]string{q.Name, stripped(q.AcceptedAnswer.Text)})
		}
	}
}

// stripped is the text of an answer that may hold HTML.
func stripped(s string) string {
	if !strings.Contains(s, "<") {
		return html.UnescapeString(s)
	}
	n, err := html.Parse(strings.NewReader(s))
	if err != nil {
		return s
	}
	return inner(n, nil)
}

// flat drops the line ends of a source, which mean nothing in HTML.
func flat(s string) string { return strings.ReplaceAll(s, "\n", " ") }

// tidy puts a text onto one line.
func tidy(s string) string { return strings.Join(strings.Fields(s), " ") }

// tidyBlock keeps paragraphs and drops other white space.
func tidyBlock(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		line = tidy(line)
		if line == "" && (len(out) == 0 || out[len(out)-1] == "") {
			continue
		}
		out = append(out, line)
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}
