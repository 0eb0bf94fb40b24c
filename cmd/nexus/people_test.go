package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// typed runs a command as a person types it.
func typed(t *testing.T, env []string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Main{Stdout: &stdout, Stderr: &stderr, Environ: env}.Run(t.Context(), args)
	return code, stdout.String(), stderr.String()
}

// What people do at a terminal, against one server, and then what it was taught
// against another.
func TestPeopleAtATerminal(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve"})
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := typed(t, []string{"NEXUS_URL=" + p.url}, args...)
		if code != want {
			t.Fatalf("nexus %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, errs)
		}
		return out + errs
	}
	says := func(out string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("%q is not said in:\n%s", w, out)
			}
		}
	}
	if out := run(exitRefused, "ask", "where", "is", "my", "parcel"); !strings.Contains(out, "untaught") {
		t.Errorf("a refusal: %s", out)
	}
	check := map[string]any{"checks": []map[string]any{{"prompt": "How do I reset my password?", "expected": "Open Settings."}}}
	p.call("POST", "/api/checks", check, nil)
	says(run(exitOK, "teach", "--topic", "support", "-q", "How do I reset my password?", "-a", "Open Settings."), "lessons taken: 1")
	if out := run(exitOK, "ask", "How do I reset my password?"); out != "Open Settings.\n" {
		t.Errorf("asked: %q", out)
	}

	p.eventually("the test prompt was asked before the lesson and after it", func() bool {
		var table struct{ Changes []struct{ Change string } }
		p.call("GET", "/api/checks/changes", nil, &table)
		return len(table.Changes) == 1 && table.Changes[0].Change == "fixed"
	})
	var known struct{ Answers []struct{ Hits int } }
	p.call("GET", "/api/answers", nil, &known)
	if len(known.Answers) != 1 || known.Answers[0].Hits != 1 {
		t.Errorf("an answer that was given once: %+v", known)
	}

	file := filepath.Join(t.TempDir(), "faq.csv")
	rows := "Question;Answer\nWhere is my parcel?;Under Orders.\nWhen are you open?;Nine to five.\nMay I return shoes?;Within 30 days.\n"
	if err := os.WriteFile(file, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	says(run(exitOK, "import", "--dry-run", file), "csv", `question "Question"`, "3 new")
	says(run(exitOK, "import", file, "--topic", "shop"), "3 new")
	says(run(exitOK, "teach", file, "--topic", "shop"), "known before: 3")
	says(run(exitOK, "lessons", "-q", "PARCEL"), "Where is my parcel?", "Under Orders.")
	says(run(exitOK, "lessons", "--answers", "--topic", "shop"), "Within 30 days.")
	run(exitRefused, "ask", "what is the meaning of life")
	p.eventually("the refusal is in the log", func() bool {
		return strings.Contains(run(exitOK, "refusals"), "what is the meaning of life")
	})
	if out := run(exitOK, "refusals"); strings.Contains(out, "parcel  ") {
		t.Errorf("what is answered by now is listed:\n%s", out)
	}
	p.eventually("the status counts the lessons", func() bool {
		return strings.Contains(run(exitOK, "status"), "4 in 4 answers")
	})
	if out := run(exitOK, "status", "--json"); !json.Valid([]byte(out)) {
		t.Errorf("no JSON: %s", out)
	}
	says(run(exitOK, "health"), "ready")
	says(run(exitOK, "pause"), "paused")
	says(run(exitOK, "resume"), "goes on")
	says(run(exitOK, "jobs", "--kind", "train"), "succeeded")
	says(run(exitOK, "checkpoints"), "*")
	says(run(exitOK, "dashboard", "--print"), p.url+"/dashboard")
	run(exitFailure, "rollback", "nothing")
	run(exitFailure, "import", "--response", "none", file)
	run(exitUsage, "frobnicate")
	run(exitUsage, "teach")
	says(run(exitUsage, "teach", "When is tea?"), "no file", "nexus teach -q")
	faulty := filepath.Join(t.TempDir(), "faulty.csv")
	if err := os.WriteFile(faulty, []byte("question,answer\nWhen is tea?,At four.\n,Nobody asks this.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	says(run(exitFailure, "teach", faulty), "line 3", "--skip")
	says(run(exitOK, "import", "--dry-run", faulty), "1 faulty")
	if out := run(exitFailure, "import", faulty); strings.Count(out, "\n  line 3: ") != 1 {
		t.Errorf("a faulty line is not listed once: %s", out)
	}

	exported := filepath.Join(t.TempDir(), "all.csv")
	run(exitOK, "export", "--format", "csv", "-o", exported)
	first := p
	p = start(t, t.TempDir(), []string{"serve"})
	says(run(exitOK, "import", exported), "4 new")
	for _, prompt := range []string{"How do I reset my password?", "where is my parcel", "When are you open?", "May I return shoes?"} {
		if a, b := first.ask(prompt), p.ask(prompt); a.Response != b.Response || !b.Responded {
			t.Errorf("%s: %+v, after the round trip %+v", prompt, a, b)
		}
	}

	var open struct{ Answers []struct{ ID string } }
	p.call("GET", "/api/answers?q=Nine", nil, &open)
	if len(open.Answers) != 1 {
		t.Fatalf("answers that say Nine: %+v", open)
	}
	id := open.Answers[0].ID
	run(exitOK, "answer", id, "--text", "Nine to six.")
	says(run(exitOK, "ask", "When are you open?"), "Nine to six.")
	history := run(exitOK, "answer", id, "--history")
	says(history, "revised", "Nine to six.", "taught", "Nine to five.")
	lines := strings.Split(strings.TrimSpace(history), "\n")
	run(exitOK, "answer", id, "--restore", strings.Fields(lines[len(lines)-1])[0])
	says(run(exitOK, "ask", "When are you open?"), "Nine to five.")
	says(run(exitOK, "answer", id, "--until", "2020-01-01T00:00:00Z"), "expired", "When are you open?")
	says(run(exitOK, "answer", id, "--until", "always"), "live")
	says(run(exitUsage, "answer", id, "--from", "tomorrow"), "is no time")
	says(run(exitUsage, "answer", id, "--text", "Nine to six.", "--until", "always"), "--text", "--until")
	run(exitFailure, "answer", "nothing")
	says(run(exitFailure, "answer", id, "--suggest"), "teacher")
	run(exitOK, "answer", id, "--forget")
	run(exitRefused, "ask", "When are you open?")

	run(exitOK, "teach", "--draft", "--topic", "shop", "-q", "Is the shop open at Easter?", "-a", "Until noon.")
	if _, out, _ := typed(t, []string{"NEXUS_URL=" + p.url}, "ask", "Is the shop open at Easter?"); strings.Contains(out, "Until noon.") {
		t.Errorf("a draft is given: %s", out)
	}
	draft := strings.Fields(strings.Split(run(exitOK, "lessons", "--state", "draft"), "\n")[1])
	says(strings.Join(draft, " "), "shop draft 1 Is the shop open", "Until noon.")
	says(run(exitOK, "lessons", "--publish", draft[0]), "live")
	p.eventually("the published answer is given", func() bool {
		code, out, _ := typed(t, []string{"NEXUS_URL=" + p.url}, "ask", "Is the shop open at Easter?")
		return code == exitOK && out == "Until noon.\n"
	})

	var saved struct {
		State, File string
		Datasets    int
	}
	if code, _ := p.call("POST", "/api/backups", nil, &saved); code != 200 || saved.State != "done" || saved.Datasets == 0 {
		t.Errorf("a backup over HTTP: %d %+v", code, saved)
	}
	run(exitOK, "verify", saved.File)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	dir := filepath.Join(t.TempDir(), "never made")
	code, _, errs := typed(t, []string{"NEXUS_LISTEN=" + address, "NEXUS_DATA_DIR=" + dir}, "serve")
	if _, err := os.Stat(dir); code != exitFailure || !strings.Contains(errs, "the port is in use") || !os.IsNotExist(err) {
		t.Errorf("a port in use: %d %s, %v", code, errs, err)
	}
	l.Close()
	code, _, errs = typed(t, []string{"NEXUS_LISTEN=" + address}, "status")
	if code != exitFailure || !strings.Contains(errs, "reach http://"+address) {
		t.Errorf("no server: %d %s", code, errs)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	code, bare, _ := typed(t, nil)
	if code != exitOK || !strings.Contains(bare, "ask") || strings.Contains(bare, "--listen") {
		t.Errorf("nexus alone: %d\n%s", code, bare)
	}
	_, ask, _ := typed(t, nil, "ask", "--help")
	_, again, _ := typed(t, nil, "help", "ask")
	if ask != again || strings.Contains(ask, "--listen") || !strings.Contains(ask, "--topic") || strings.Count(ask, "\n") > 40 {
		t.Errorf("nexus ask --help:\n%s\nnexus help ask:\n%s", ask, again)
	}
	if _, serve, _ := typed(t, nil, "serve", "--help"); !strings.Contains(serve, "--listen") {
		t.Errorf("nexus serve --help:\n%s", serve)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, out, errs := typed(t, nil, "completion", shell); code != exitOK || !strings.Contains(out, "refusals") {
			t.Errorf("%s: %d %s%s", shell, code, out, errs)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nexus-serve.log"), []byte("one\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, out, _ := typed(t, []string{"NEXUS_LOG_DIR=" + dir}, "logs", "-n", "2"); out != "two\nthree\n" {
		t.Errorf("logs: %q", out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if code := (Main{Stdout: &out, Stderr: &out, Environ: []string{"NEXUS_LOG_DIR=" + dir}}).Run(ctx, []string{"logs", "-f", "-n", "0"}); code != exitOK {
		t.Errorf("logs -f that is interrupted: %d %s", code, &out)
	}
	if code, _, errs := typed(t, nil, "logs"); code != exitUsage || !strings.Contains(errs, "journalctl") {
		t.Errorf("no log files: %d %s", code, errs)
	}
}
