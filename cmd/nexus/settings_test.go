package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var updatePage = flag.Bool("update", false, "write docs/operations/settings.md anew")

const settingsPage = "../../docs/operations/settings.md"

// The page of settings is made from their declaration, so that it is true.
func TestSettingsPage(t *testing.T) {
	t.Parallel()
	want := pageOf(settingsOf(t))
	if *updatePage {
		if err := os.WriteFile(settingsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(settingsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/operations/settings.md does not say what the settings are; run: go test ./cmd/nexus -run TestSettingsPage -update")
	}
}

// Settings that a newcomer has to read stay few.
func TestMostSettingsAreAdvanced(t *testing.T) {
	t.Parallel()
	plain := 0
	for _, v := range settingsOf(t) {
		if v.Group != advanced {
			plain++
		}
	}
	if plain > 65 {
		t.Errorf("%d settings are not in the group %s; move those that few deployments need there", plain, advanced)
	}
}

func pageOf(all []value) string {
	var b strings.Builder
	b.WriteString("# Settings\n\nThis page is generated from the settings' declaration; `nexus config` prints the same with the current values. " +
		"A flag takes precedence over its variable. A wrong value stops the start with a message that says what is allowed.\n")
	group := ""
	for _, v := range all {
		if v.Group != group {
			group = v.Group
			fmt.Fprintf(&b, "\n## %s\n\n", group)
			if group == advanced {
				b.WriteString("Few deployments need these.\n\n")
			}
			b.WriteString("| variable | flag | default | meaning |\n|---|---|---|---|\n")
		}
		standard := "–"
		if v.Default != "" {
			standard = "`" + v.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", v.Variable, v.Flag, standard, v.Help)
	}
	return b.String()
}

// settingsOf asks the program for its settings.
func settingsOf(t *testing.T) []value {
	t.Helper()
	var out bytes.Buffer
	if code := (Main{Stdout: &out, Stderr: t.Output()}).Run(t.Context(), []string{"config", "--json"}); code != exitOK {
		t.Fatalf("nexus config ended with %d", code)
	}
	var all []value
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}
