package topic_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/nexus-continuum/nexus/topic"
)

func ExampleRead() {
	p, err := topic.Read("support", strings.NewReader(`
title: Support
licence: CC0-1.0

# Accounts

= Open Settings, then Security.
? How do I reset my password?
? forgot my password

= We are open from Monday to Friday, 9 to 17.
| On public holidays we are closed.
? opening hours
`))
	fmt.Println(p.Title, len(p.Lessons), err)
	fmt.Println(p.Lessons[2].Response)

	_, err = topic.Read("support", strings.NewReader("title: Support\n= Yes.\n? May I?\n= No.\n? may i\n"))
	fmt.Println(err)
	// Output:
	// Support 3 <nil>
	// We are open from Monday to Friday, 9 to 17.
	// On public holidays we are closed.
	// support:5: "may i" has another answer at support:3; a question has one answer, remove one or word it differently
}

func TestRead(t *testing.T) {
	t.Parallel()
	want := []topic.Lesson{{Prompt: "Who?", Response: "Me.\nAnd you."}, {Prompt: "who is it", Response: "Me.\nAnd you."}, {Prompt: "où", Response: "Ici."}}
	for name, body := range map[string]string{
		"plain":               "title: T\ndescription: D: d\nlicence: L\n\n= Me.\n| And you.\n? Who?\n? who is it\n\n= Ici.\n? où\n",
		"Windows":             "\uFEFFtitle: T\r\ndescription: D: d\r\nlicence: L\r\n= Me.\r\n| And you.\r\n? Who?\r\n? who is it\r\n= Ici.\r\n? où",
		"comments and spaces": "#c\ntitle:T  \nlicence:\tL\ndescription:  D: d\n=\tMe.\n# c\n|   And you.  \n\n?  Who?\n#\n? who is it\n=  Ici.\n? où\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := topic.Read("t", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if p.Name != "t" || p.Title != "T" || p.Description != "D: d" || p.Licence != "L" {
				t.Errorf("header is %+v", p)
			}
			if !slices.Equal(p.Lessons, want) {
				t.Errorf("lessons are %q", p.Lessons)
			}
		})
	}
}

func TestReadFaults(t *testing.T) {
	t.Parallel()
	const head = "title: T\n"
	for name, c := range map[string]struct {
		body, want string
	}{
		"empty file":                   {"", "p: no title; write “title: …”"},
		"no title":                     {"= A\n? b\n", "p: no title; write “title: …”"},
		"no lesson":                    {head, "p: no lesson; write an answer after “= ”"},
		"stray text before answers":    {"Hello\n", `p:1: "Hello" is no line of a pack; write “title: …”`},
		"unknown header":               {head + "author: me\n", `p:2: "author: me" is no line of a pack`},
		"stray text after answers":     {head + "= A\n? b\nc\n", `p:4: "c" is no line of a pack; after the first answer`},
		"header after answers":         {head + "= A\n? b\nlicence: MIT\n", `p:4: "licence: MIT" is no line of a pack; after the first answer`},
		"header twice":                 {head + "title: U\n", "p:2: a second title; the first is at p:1"},
		"empty header":                 {"title:  \n", "p:1: title is empty; write it after the colon"},
		"answer without text":          {head + "=\n? b\n", "p:2: an answer without text; write it after “= ”"},
		"answer without phrasing":      {head + "= A\n= B\n? b\n", "p:2: an answer without a phrasing; add at least one"},
		"last answer without phrasing": {head + "= A\n? b\n= C\n\n", "p:4: an answer without a phrasing"},
		"phrasing without answer":      {head + "? b\n", "p:2: a phrasing without an answer; put the answer above it"},
		"phrasing without words":       {head + "= A\n? ?!\n", "p:3: a phrasing without words"},
		"empty phrasing":               {head + "= A\n?\n", "p:3: a phrasing without words"},
		"continuation without answer":  {head + "| A\n", "p:2: “|” goes on with an answer, and none has begun"},
		"continuation after phrasing":  {head + "= A\n? b\n| C\n", "p:4: “|” after a phrasing; put it between"},
		"no space after the mark":      {head + "=A\n", "p:2: no space after “=”; write “= A”"},
		"no space, long line":          {head + "?" + strings.Repeat("é", 100) + "\n", "write “? " + strings.Repeat("é", 60) + "…”"},
		"same phrasing, same answer":   {head + "= A\n? b c\n? B, c?\n", `p:4: "B, c?" stands at p:3 already; leave one out`},
		"same phrasing, other answer":  {head + "= A\n? it's b\n= C\n? Its B\n", `p:5: "Its B" has another answer at p:3`},
		"not UTF-8":                    {head + "= A\xff\n", "p:2: not UTF-8; save the file as UTF-8"},
		"control character":            {head + "= A\x00\n", "p:2: control character U+0000"},
		"forced direction":             {head + "= A \u202eb\n", "p:2: the line holds U+202E"},
		"phrasing too long":            {head + "= A\n? " + strings.Repeat("ab ", 2700) + "\n", "p:3: the phrasing has more than 8000 characters"},
		"answer too long":              {head + "= " + strings.Repeat("é", 64_001) + "\n", "p:2: the answer has more than 64000 characters"},
		"answer too long by lines":     {head + "= " + strings.Repeat("a", 40_000) + "\n| " + strings.Repeat("a", 40_000) + "\n", "p:3: the answer has more than 64000 characters"},
		"line too long":                {head + "= " + strings.Repeat("a", 300_000) + "\n", "p:2: the line is longer than 256016 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := topic.Read("p", strings.NewReader(c.body))
			var fault *topic.SyntaxError
			if !errors.As(err, &fault) {
				t.Fatalf("error %v, want a SyntaxError", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q\nwant it to say %q", err, c.want)
			}
		})
	}
}

func TestReadPassesOnReadErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk gone")
	if _, err := topic.Read("p", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func TestReadRefusesBadName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "Support", "a b", "../a", "_a", strings.Repeat("a", 65)} {
		if _, err := topic.Read(name, strings.NewReader(support)); err == nil || !strings.Contains(err.Error(), "pack name") {
			t.Errorf("name %q: error %v", name, err)
		}
	}
}

func TestNormalise(t *testing.T) {
	t.Parallel()
	for prompt, want := range map[string]string{
		"What is the capital of Ghana?":      "what is the capital of ghana",
		"  what's   THE\tcapital — of Ghana": "whats the capital of ghana",
		"What’s “C++”, C# or C?":             "whats c++ c# or c",
		"Washington, D.C.":                   "washington d c",
		"50% of 3/4":                         "50% of 3/4",
		"ÜBER straße":                        "über straße",
		"?!…":                                "",
		"":                                   "",
	} {
		if got := topic.Normalise(prompt); got != want {
			t.Errorf("Normalise(%q) = %q, want %q", prompt, got, want)
		}
	}
}

// FuzzRead holds that whatever is read keeps the promises of Pack, and that
// nothing else than a fault with its place comes back.
func FuzzRead(f *testing.F) {
	f.Add(support)
	f.Add("\uFEFFtitle: T\r\ndescription: D\r\n= A\r\n| B\r\n? c\r\n? C++\r\n# d\r\n")
	f.Add("title: T\n= A\n= B\n? c\n")
	f.Add("? \n|\n=\n:")
	f.Fuzz(func(t *testing.T, body string) {
		p, err := topic.Read("p", strings.NewReader(body))
		if err != nil {
			var fault *topic.SyntaxError
			if !errors.As(err, &fault) || fault.File != "p" || fault.Line > strings.Count(body, "\n")+1 {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if p.Title == "" || len(p.Lessons) == 0 {
			t.Fatalf("pack %+v", p)
		}
		seen := make(map[string]bool)
		for _, lesson := range p.Lessons {
			key := topic.Normalise(lesson.Prompt)
			if key == "" || lesson.Response == "" || seen[key] {
				t.Fatalf("lesson %+v", lesson)
			}
			if topic.Normalise(key) != key {
				t.Fatalf("normalising %q twice gives %q", key, topic.Normalise(key))
			}
			seen[key] = true
		}
	})
}
