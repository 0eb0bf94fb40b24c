package text_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nexus-continuum/nexus/model/text"
)

func TestRepeatsHaveOneForm(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"How do I reset my password?", "how do i reset my password", "HOW DO I RESET MY PASSWORD!!!", "  How do I\treset my password ?", "«How do I reset my password?»"},
		{"What's up?", "what's up", "WHAT’S UP"},
		{"covid-19", "Covid 19"},
		{"Hello. How are you?", "hello how are you"},
		{"Café", "CAFE\u0301"},
		{"???", " ? ? ?"},
		{"１９９８", "1998", "١٩٩٨", "۱۹۹۸"},
		{"Ｈｏｗ　ａｒｅ　ｙｏｕ？", "how are you"},
		{"KAPI İÇİN ŞİFRE", "kapı için şifre", "kapı i\u0307çi\u0307n şi\u0307fre"},
		{"كيف أعيد تعيين كلمة المرور؟", "كَيْفَ أُعِيدُ تَعْيِينَ كَلِمَةَ المُرُورِ؟", "كيف اعيد تعيين كلمة المرور", "كـيـف أعيد تعيين كلمة المرور"},
		{"أين طلبي", "اين طلبى", "این طلبی"},
		{"سؤال عن الآن", "سوال عن الان"},
		{"שָׁלוֹם", "שלום"},
	} {
		want := text.Normalise(same[0])
		for _, s := range same[1:] {
			if got := text.Normalise(s); got != want {
				t.Errorf("%q becomes %q, but %q becomes %q", s, got, same[0], want)
			}
		}
	}
}

func TestWhatCarriesMeaningStays(t *testing.T) {
	t.Parallel()
	for _, apart := range [][]string{
		{"what is c", "what is c++", "what is c#"},
		{"3.5 percent", "35 percent", "3 5 percent"},
		{"2+2", "2-2", "2*2", "2/2", "22"},
		{"-5 degrees", "5 degrees"},
		{"what is .net", "what is net"},
		{"👍", "👎"},
		{"a < b", "a > b"},
		{"50%", "50"},
		{"password", "pass word"},
		{"كتاب", "كتب"},
		{"كتابة", "كتابه"},
		{"şifre", "sifre"},
	} {
		seen := map[string]string{}
		for _, s := range apart {
			n := text.Normalise(s)
			if other, ok := seen[n]; ok {
				t.Errorf("%q and %q are both %q", s, other, n)
			}
			seen[n] = s
		}
	}
}

func TestTypo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		word, of string
		want     bool
	}{
		{"pasword", "password", true},
		{"passowrd", "password", true},
		{"passwords", "password", true},
		{"paswrod", "password", false}, // seven letters and two slips
		{"photosyntesys", "photosynthesis", true},
		{"wakanda", "uganda", false},
		{"ghana", "guyana", false},
		{"hwo", "how", true},
		{"car", "cat", false},
		{"1994", "1998", false},
		{"win95", "win98", false},
		{"same", "same", false},
		{"été", "eté", false}, // three letters
		{"x", "y", false},
		{strings.Repeat("a", 40), strings.Repeat("a", 41), false},
	} {
		if got := text.Typo([]byte(c.word), []byte(c.of)); got != c.want {
			t.Errorf("Typo(%q, %q) = %v, want %v", c.word, c.of, got, c.want)
		}
	}
}

func TestOneSlipSharesADeletion(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"pasword", "password"}, {"passowrd", "password"}, {"hoow", "how"}, {"naïve", "naive"}, {"gahna", "ghana"}} {
		seen := map[uint64]bool{}
		for _, h := range text.Deletions(nil, []byte(pair[0])) {
			seen[h] = true
		}
		shared := false
		for _, h := range text.Deletions(nil, []byte(pair[1])) {
			shared = shared || seen[h]
		}
		if !shared {
			t.Errorf("%q and %q share no deletion", pair[0], pair[1])
		}
	}
}

func TestMovedWordsAreToldFromSwappedOnes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"how do i reset my password", "my password how do i reset", true},
		{"the capital of france is what", "what the capital of france is", true},
		{"convert miles to km", "convert km to miles", false},
		{"is 2 greater than 3", "is 3 greater than 2", false},
		{"dog bites man", "man bites dog", false},
		{"one two", "one two", false},
		{"one two", "one two three", false},
	} {
		var f, g text.Form
		f.Read(c.a)
		g.Read(c.b)
		if got := text.Moved(&f, &g); got != c.want {
			t.Errorf("Moved(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
		}
		if c.want && f.Bag() != g.Bag() {
			t.Errorf("%q and %q have the same words but other bags", c.a, c.b)
		}
	}
}

func TestFormAllocatesNothing(t *testing.T) {
	var f text.Form
	const s = "Où est la bibliothèque — s’il vous plaît?"
	f.Read(s)
	if n := testing.AllocsPerRun(100, func() { f.Read(s); _ = f.Hash() }); n > 0 {
		t.Errorf("reading a form allocates %.0f times, want none", n)
	}
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"", "What's up?", "c++ & c#", "\xff'\xfe", "3.5-4,2", "...", "é\u0301東", "ǅ", "\xf7ǅ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := text.Normalise(s)
		if spaced := text.Normalise(" " + s + "\t\n"); spaced != n {
			t.Fatalf("%q becomes %q, and with space around it %q", s, n, spaced)
		}
		if !utf8.ValidString(n) {
			t.Fatalf("%q becomes %q, which is not UTF-8", s, n)
		}
	})
}

func FuzzTypo(f *testing.F) {
	f.Add("pasword", "password")
	f.Add("\xff", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		if text.Typo([]byte(a), []byte(b)) != text.Typo([]byte(b), []byte(a)) {
			t.Fatalf("a typo one way and not the other: %q %q", a, b)
		}
	})
}

func BenchmarkForm(b *testing.B) {
	var f text.Form
	for b.Loop() {
		f.Read("how do i reset the password of my account?")
	}
}
