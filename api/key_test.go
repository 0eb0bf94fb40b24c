package api

import (
	"strings"
	"testing"
)

func TestKeysOfTheSettings(t *testing.T) {
	t.Parallel()
	const good = "0123456789abcdefghij"
	for entry, want := range map[string]Key{
		"ci=" + good:                  {"ci", good, ScopeUsual},
		"ci=" + good + "=":            {"ci", good + "=", ScopeUsual},
		"ops[control]=" + good:        {"ops", good, ScopeControl},
		"kiosk[ask + READ]=" + good:   {"kiosk", good, ScopeAsk | ScopeRead},
		"all[ask+teach+jobs]=" + good: {"all", good, ScopeAsk | ScopeTeach | ScopeJobs},
	} {
		if got, err := ParseKey(entry); err != nil || got != want {
			t.Errorf("%s: %+v, %v", entry, got, err)
		}
	}
	for _, bad := range []string{
		good, "=" + good, "ci=", "ci=short", "ci[nothing]=" + good, "ci[]=" + good, "ci[ask=" + good, "two words=" + good, "ci=" + strings.Repeat("ab", 20), "ci=with a space in the key",
	} {
		_, err := ParseKey(bad)
		if err == nil {
			t.Errorf("%q was taken", bad)
		} else if strings.Contains(err.Error(), good) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

func TestKeysThatCouldBeGuessed(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"a", "secret", strings.Repeat("a", 40), strings.Repeat("abc", 12), "aaaaaaaabaaaaaaaaaaa", "1234567890123456", "qwertyuiopqwertyuio", strings.Repeat("x", 600), "naïve-but-long-enough-key"} {
		if err := CheckKey(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	made, err := NewKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{made, "nexus_your-generated-key-here", "correct-horse-battery", "0123456789abcdef"} {
		if err := CheckKey(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

func TestNamesOfKeyHeaders(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "Bad Header", "Host", "host", "Authorization", "Cookie", "X:Y", "X-Forwarded-For", "Sec-Fetch-Site", "Bäd"} {
		if err := CheckHeaderName(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	for _, good := range []string{"X-API-Key", "x-nexus-token", "Api_Key"} {
		if err := CheckHeaderName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}
