package text_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nexus-continuum/nexus/model/text"
)

func words(s string) []string {
	var p text.Prompt
	text.Reader{Buckets: 1 << 15}.Read(&p, s)
	var out []string
	for t := range p.Words {
		out = append(out, string(p.Word(t)))
	}
	return out
}

func TestPromptsSplitIntoFoldedWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"How do I reset my PASSWORD?":  "how do i reset my password ?",
		"what's 2+2":                   "what ' s 2 + 2",
		"  tabs\tand\nlines ":          "tabs and lines",
		"東京はどこ":                        "東 京 は ど こ",
		"ﬁne ＡＢＣ １２":                   "fine abc 12",
		"Cafe\u0301 ÉCOLE":             "café école",
		"ΣΊΣΥΦΟΣ":                      "σίσυφοσ",
		"हिन्दी भाषा":                  "हिन्दी भाषा",
		"zero\u200dwidth\ufe0f":        "zerowidth\ufe0f",
		"أَيْنَ طَلَبِي؟":              "اين طلبي ؟",
		"DIŞ KAPI":                     "diş kapi",
		"👍🏽 ok":                        "👍 🏽 ok",
		"it’s “quoted” — dashed":       "it ' s \" quoted \" - dashed",
		"":                             "",
		" \u00a0\t":                    "",
		"\u0301":                       "",
		strings.Repeat("a ", 70) + "b": strings.TrimSpace(strings.Repeat("a ", 64)),
	} {
		if got := strings.Join(words(in), " "); got != want {
			t.Errorf("%q splits into %q, want %q", in, got, want)
		}
	}
}

func TestTypoSharesMostFeatures(t *testing.T) {
	t.Parallel()
	r := text.Reader{Buckets: 1 << 15}
	var a, b text.Prompt
	r.Read(&a, "password")
	r.Read(&b, "pasword")
	seen := map[uint32]bool{}
	for _, f := range a.Features {
		seen[f] = true
	}
	shared := 0
	for _, f := range b.Features {
		if seen[f] {
			shared++
		}
	}
	if share := float64(shared) / float64(len(b.Features)); share < 0.4 || share == 1 {
		t.Errorf("a typo shares %.2f of its features with the word, want at least 0.4 and less than 1", share)
	}
}

func TestBucketsNeverChange(t *testing.T) {
	t.Parallel()
	var p text.Prompt
	text.Reader{Buckets: 1 << 15}.Read(&p, "Hi né")
	want := []uint32{1084, 10429, 31015, 4735, 23437, 17541, 20342, 3304}
	if len(p.Features) != len(want) {
		t.Fatalf("features %v, want %v", p.Features, want)
	}
	for i := range want {
		if p.Features[i] != want[i] {
			t.Fatalf("features %v, want %v: checkpoints made before would turn to noise", p.Features, want)
		}
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	var p text.Prompt
	r := text.Reader{Buckets: 1 << 15}
	for _, s := range []string{"how do i reset my password?", "Où est la bibliothèque — s’il vous plaît?"} {
		r.Read(&p, s)
		if n := testing.AllocsPerRun(100, func() { r.Read(&p, s) }); n > 0 {
			t.Errorf("reading %q allocates %.0f times, want none", s, n)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "hello", "\xff\xfe", "é東a1+", strings.Repeat("x", 9000), strings.Repeat("é ", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		const buckets = 1 << 15
		var p text.Prompt
		text.Reader{Buckets: buckets}.Read(&p, s)
		if p.Words < 0 || p.Words > text.MaxWords || len(p.Offsets) != p.Words+1 || len(p.Keys) != p.Words {
			t.Fatalf("%q: %d words, %d offsets, %d keys", s, p.Words, len(p.Offsets), len(p.Keys))
		}
		for i := range p.Words {
			if len(p.Word(i)) == 0 || !utf8.Valid(p.Word(i)) {
				t.Fatalf("%q: word %d is %q", s, i, p.Word(i))
			}
			if p.Offsets[i+1] <= p.Offsets[i] || p.Offsets[i+1]-p.Offsets[i] > 130 {
				t.Fatalf("%q: word %d has features %d to %d", s, i, p.Offsets[i], p.Offsets[i+1])
			}
		}
		if int(p.Offsets[p.Words]) != len(p.Features) {
			t.Fatalf("%q: %d features, offsets end at %d", s, len(p.Features), p.Offsets[p.Words])
		}
		for _, b := range p.Features {
			if b >= buckets {
				t.Fatalf("%q: bucket %d", s, b)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var p text.Prompt
	r := text.Reader{Buckets: 1 << 15}
	for b.Loop() {
		r.Read(&p, "how do i reset the password of my account?")
	}
}
