package deploy

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"
)

// elsewhere are the beginnings of commands of the pages that other tests type, with
// their name, and of what is no command.
var elsewhere = map[string]string{
	"docker ":                "make runbook-docker",
	"docker-compose ":        "make runbook-docker",
	"deploy/secrets.sh":      "TestSecretsOfCompose",
	"echo COMPOSE_FILE=":     "TestSecretsOfCompose",
	"sudo deploy/install.sh": "make runbook",
	"sudo systemctl start|":  "make runbook",
	"sudo journalctl ":       "make runbook",
	"helm ":                  "TestTheProgramOfTheChart",
	"kubectl ":               "TestTheProgramOfTheChart",
	"ACL SETUSER ":           "queue",
	"… nexus ":               "as the line before it",
	"ollama ":                "another program",
	"go tool pprof ":         "cmd/nexus",
	"nexus logs -f":          "never ends",
	"{":                      "an answer",
}

// typedAs is what is typed where a page has a name that the reader fills in, or
// a file that the reader has.
var typedAs = strings.NewReplacer(
	"nexus serve", "nexus config >/dev/null",
	"nexus api", "nexus config >/dev/null",
	"nexus config >/dev/nullkey", "nexus apikey",
	`export NEXUS_API_KEY="nexus_…"`, "export NEXUS_API_KEY",
	"/api/answers/ID", "/api/answers/$(nexus lessons --answers --json | jq -r '.[0].id')",
	"nexus answer ID", "nexus answer $(nexus lessons --answers --json | jq -r '.[0].id')",
	"--restore CHANGE", `--restore $(nexus answer $(nexus lessons --answers --json | jq -r '.[0].id') --history --json | jq -r '.[0].id')`,
	"--publish ID", "--publish $(nexus lessons --answers --state draft --json | jq -r '.[0].id')",
	"--dismiss ID", "--dismiss $(nexus refusals --json | jq -r '.[0].id')",
	"rollback ID", "rollback $(curl http://localhost:8000/api/checkpoints | jq -r '.checkpoints[-1].id')",
	`"checkpoint": "…"`, `"checkpoint": "'$(curl http://localhost:8000/api/checkpoints | jq -r '.checkpoints[0].id')'"`,
	"/checkpoints/$ID/", "/checkpoints/$(curl http://localhost:8000/api/checkpoints | jq -r '.checkpoints[-1].id')/",
	"ssh backup-server 'cat > nexus.tar'", "cat >nexus.tar",
	"-20260110.tar.gz", "-$(date +%Y%m%d).tar.gz",
	"sudo -u nexus ", "",
	`"what is the meaning of life"`, `"what is the meaning of life" || test $? = 3`,
	"curl -X DELETE 'http://localhost:8000/api/lessons?topic=tides'", `nexus teach --topic tides -q "When is high tide?" -a "At noon." && curl -X DELETE 'http://localhost:8000/api/lessons?topic=tides'`,
	"'.storage.uploads'", "'has(\"storage\")'", // without a bucket there is nothing to say
	"'.workers[].embeddings'", "'.workers | length'", // nor without an embedding server
	"nexus restore ", "nexus restore --force ",
)

// commands reads the lines that a page shows as code.
func commands(t *testing.T, page string) []string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	text := strings.ReplaceAll(string(b), "\\\n", "")
	for _, m := range regexp.MustCompile(`(?m)^    (\S.*)$`).FindAllStringSubmatch(text, -1) {
		out = append(out, strings.TrimSpace(regexp.MustCompile(`\s+# .*$`).ReplaceAllString(m[1], "")))
	}
	return out
}

// Every line that the pages for people show as a command is typed against a running
// server, in the order of the pages. One that cannot be typed here names who types it.
func TestThePagesAreTyped(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	for name, text := range map[string]string{
		".curlrc": `header = "X-API-Key: ` + siteKey + `"` + "\nsilent\nfail-with-body\n",
		"faq.csv": "question,answer,Frage A,topic\nWhen do you open?,At nine.,Wann öffnen Sie?,support\nWhere do you sit?,In Vienna.,Wo sitzen Sie?,support\n",
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	book := excelize.NewFile()
	for cell, text := range map[string]string{"A1": "question", "B1": "answer", "A2": "Do you ship abroad?", "B2": "Within the EU."} {
		if err := book.SetCellStr("Sheet1", cell, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := book.SaveAs(filepath.Join(s.dir, "faq.xlsx")); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"backups", "app"} {
		if err := os.MkdirAll(filepath.Join(s.dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.env = append(s.env, "NEXUS_TEACHER_URL=http://127.0.0.1:1/v1", "NEXUS_TEACHER_MODEL=nobody")
	s.api = launch(t, s.env, s.binary, s.args...)
	s.awaitReady()
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}

	count := 0
	for _, page := range []string{
		"README.md", "docs/guide/newcomer.md", "docs/guide/support.md", "docs/guide/operator.md",
		"docs/operations/README.md", "docs/operations/embeddings.md", "docs/operations/monitoring.md",
	} {
		for _, command := range commands(t, filepath.Join("..", page)) {
			if targets, ok := strings.CutPrefix(command, "make "); ok {
				for _, target := range strings.Fields(targets) {
					if !strings.Contains(string(makefile), "\n"+target+":") {
						t.Errorf("%s: %s: no such target", page, command)
					}
				}
				continue
			}
			if slices.ContainsFunc(slices.Collect(maps.Keys(elsewhere)), func(p string) bool { return strings.HasPrefix(command, p) }) {
				continue
			}
			count++
			s.typePage(page, command)
		}
	}
	if count < 60 {
		t.Errorf("%d commands; the pages are not read as they should be", count)
	}
}

// typePage types one command. It must end well, and what jq picks must be there.
func (s *site) typePage(page, command string) {
	s.Helper()
	typed := strings.NewReplacer("localhost:8000", strings.TrimPrefix(s.url, "http://"), "/backups/", filepath.Join(s.dir, "backups")+"/").Replace(typedAs.Replace(command))
	eventually(s.T, page+": "+command, func() string {
		out, err := s.types("cd " + s.dir + "/app; cp ../faq.* .; export NEXUS_DATA_DIR=$PWD NEXUS_URL=" + s.url + " NEXUS_API_KEY=" + siteKey + "\nset -o pipefail\n" + typed)
		if err != nil || strings.TrimSpace(string(out)) == "null" {
			return cmp.Or(strings.TrimSpace(string(out)), "nothing") + " (" + typed + ")"
		}
		return ""
	})
}
