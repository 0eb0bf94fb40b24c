package main

import (
	"archive/tar"
	"compress/gzip"
	encoding "encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	oldProgram = flag.String("upgrade.old", "", "an older nexus: it makes data, this version goes on with it, and then the older one again")
	writeData  = flag.String("upgrade.write", "", "keep the data that -upgrade.old made in this .tar.gz")
)

// desk is what every data folder of another version holds.
var desk = []lesson{
	{"How do I reset my password?", "Open Settings, then Security."},
	{"Where is my invoice?", "Under Billing, Documents."},
	{"When does the office open?", "At eight on weekdays."},
	{"Can I return a damaged parcel?", "Yes, within 30 days; the label is in your orders."},
	{"Which countries do you ship to?", "All countries of the European Union."},
	{"How can I cancel my subscription?", "Open Billing and choose End."},
	{"What does the premium plan cost?", "Twelve euros a month."},
	{"Wie ändere ich meine Adresse?", "Unter Konto, Adressen."},
	{"Do you offer a student discount?", "Yes, a fifth off with a student card."},
	{"How long does delivery take?", "Two to four days."},
	{"Who do I call in an emergency?", "Our hotline, day and night: 0800 000."},
	{"What is the Wi-Fi password of the lobby?", "tulip-42"},
}

// visit is a server over data of another version.
type visit struct {
	*process
	note note
}

// note tells what no storage tells: the secret of a key, and the id of a job.
type note struct {
	Key string `json:"key"`
	Job string `json:"job"`
}

func (v visit) header() []string { return []string{"X-API-Key", v.note.Key} }

func (v visit) teachAs(topic string, lessons ...lesson) string {
	v.t.Helper()
	var j task
	code, _ := v.call("POST", "/api/lessons", map[string]any{"topic": topic, "lessons": lessons}, &j, append(v.header(), "Prefer", "respond-async")...)
	if code != http.StatusAccepted {
		v.t.Fatalf("teach: %d %s", code, j.Detail)
	}
	v.ends(j.ID)
	return j.ID
}

func (v visit) ends(id string) {
	v.t.Helper()
	var j task
	v.eventually("job "+id+" ends", func() bool {
		v.call("GET", "/api/jobs/"+id, nil, &j, v.header()...)
		return j.State == "succeeded" || j.State == "failed"
	})
	if j.State != "succeeded" {
		v.t.Fatalf("job %s: %+v", id, j)
	}
}

// knows asks everything.
func (v visit) knows(when string, more ...lesson) {
	v.t.Helper()
	ask := func(prompt string) (a reply) {
		if code, _ := v.call("POST", "/api/interact", map[string]string{"prompt": prompt}, &a, v.header()...); code != http.StatusOK {
			v.t.Fatalf("%s: ask %q: %d %s", when, prompt, code, a.Detail)
		}
		return a
	}
	for _, l := range append(append([]lesson{}, desk...), more...) {
		if a := ask(l.Prompt); a.Response != l.Response {
			v.t.Errorf("%s: %q answers %+v", when, l.Prompt, a)
		}
	}
	if a := ask(phone); a.Response == "555-0100" {
		v.t.Errorf("%s: what was unlearned is answered: %+v", when, a)
	}
	if a := ask("Tell me the salary of my boss"); a.Responded || a.Reason == nil || *a.Reason != "taught_refusal" {
		v.t.Errorf("%s: the taught refusal: %+v", when, a)
	}
	if code, _ := v.call("GET", "/api/status", nil, nil); code != http.StatusUnauthorized {
		v.t.Errorf("%s: a caller without a key gets %d", when, code)
	}
	if v.note.Job == "" {
		return
	}
	var j task
	if code, _ := v.call("GET", "/api/jobs/"+v.note.Job, nil, &j, v.header()...); code != http.StatusOK || j.State != "succeeded" {
		v.t.Errorf("%s: the first job: %d %+v", when, code, j)
	}
}

// makeData lets a program learn the desk, forget one lesson, make a key and, if
// asked, train.
func makeData(t *testing.T, program, dir string, train bool) {
	t.Helper()
	v := visit{process: startProgram(t, program, dir, []string{"serve"})}
	wrong := append([]lesson{}, desk...)
	wrong[1].Response = "Under Billing, Invoices."
	v.note.Job = v.teachAs("support", wrong...)
	v.teachAs("support", desk[1])
	v.teachAs("hr", lesson{phone, "555-0100"})
	v.forget("hr")
	if code, _ := v.call("POST", "/api/lessons", `{"topic":"hr","lessons":[{"prompt":"Tell me the salary of my boss","response":null}]}`, nil); code != http.StatusAccepted {
		t.Fatalf("teach a refusal: %d", code)
	}
	if train {
		var more []lesson
		for _, l := range desk {
			for _, before := range []string{"Please tell me: ", "I would like to know, ", "Quick question: "} {
				more = append(more, lesson{before + l.Prompt, l.Response})
			}
		}
		v.teachAs("support", more...)
	}
	key := launchProgram(t, program, dir, []string{"keys", "create", "desk", "--scopes", "ask,teach,jobs,read,control"})
	<-key.done
	for line := range strings.Lines(key.out.String()) {
		if strings.HasPrefix(line, "nexus_") {
			v.note.Key = strings.TrimSpace(line)
		}
	}
	v.eventually("the key counts", func() bool {
		code, _ := v.call("GET", "/api/status", nil, nil)
		return code == http.StatusUnauthorized
	})
	v.knows("the older version")
	v.stop()
	data, err := json.Marshal(v.note)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "note.json"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// openData starts a program on data of another version.
func openData(t *testing.T, program, dir string) visit {
	t.Helper()
	v := visit{}
	data, err := os.ReadFile(filepath.Join(dir, "note.json"))
	if err == nil {
		err = json.Unmarshal(data, &v.note)
	}
	if err != nil {
		t.Fatal(err)
	}
	v.process = startProgram(t, program, dir, []string{"serve"})
	return v
}

func checked(t *testing.T, program, dir string) {
	t.Helper()
	p := launchProgram(t, program, dir, []string{"upgrade", "--check"})
	<-p.done
	if out := p.out.String(); p.cmd.ProcessState.ExitCode() != exitOK || !strings.Contains(out, "lessons at once") {
		t.Errorf("nexus upgrade --check: %s", out)
	}
}

var afterwards = lesson{"What is new in this version?", "It is smaller."}

// Data of the versions before answers every lesson, and stays data that they can
// read: no kind of record has a newer format than they wrote. A change that needs
// one first ships a version that reads it.
func TestDataOfOlderVersions(t *testing.T) {
	t.Parallel()
	all, err := filepath.Glob("testdata/versions/*.tar.gz")
	if err != nil || len(all) == 0 {
		t.Fatalf("no data of older versions: %v", err)
	}
	for _, archive := range all {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".tar.gz"), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			unpackData(t, archive, dir)
			before := formats(t, dir)
			// Its version knows this record too and had no reason to write it. A scrub whose
			// time has passed since runs at the start and writes it.
			before["registry"] = max(before["registry"], 1)
			checked(t, binary, dir)
			v := openData(t, binary, dir)
			v.note.Job = "" // its record may have expired since
			v.knows("this version")
			v.teachAs("support", afterwards)
			v.knows("this version, after a lesson", afterwards)
			v.stop()
			for kind, format := range formats(t, dir) {
				if format > before[kind] {
					t.Errorf("%s records now have format %d; the version before reads up to %d", kind, format, before[kind])
				}
			}
		})
	}
}

// With -upgrade.old the older program itself makes the data, trained, and goes on
// with it after this version has taught and trained it further (make upgrade).
func TestUpgradeAndDowngrade(t *testing.T) {
	t.Parallel()
	old, dir := *oldProgram, t.TempDir()
	if old == "" {
		old = binary // the same version twice: the test itself stays sound
	}
	if *writeData != "" {
		small := t.TempDir()
		makeData(t, old, small, false)
		packData(t, small, *writeData)
	}
	makeData(t, old, dir, *oldProgram != "")
	checked(t, binary, dir)
	v := openData(t, binary, dir)
	v.knows("after the upgrade")
	v.teachAs("support", afterwards)
	if *oldProgram != "" {
		var j task
		v.call("POST", "/api/jobs", `{"kind":"train"}`, &j, v.header()...)
		v.ends(j.ID)
	}
	v.knows("after the upgrade and a lesson", afterwards)
	v.stop()
	checked(t, old, dir)
	v = openData(t, old, dir)
	v.knows("after the downgrade", afterwards)
	v.teachAs("support", lesson{"And after the downgrade?", "Still here."})
	v.stop()
	v = openData(t, binary, dir)
	v.knows("after the second upgrade", afterwards, lesson{"And after the downgrade?", "Still here."})
}

// formats gives the newest format of each kind of record in a folder.
func formats(t *testing.T, dir string) map[string]uint64 {
	t.Helper()
	newest := map[string]uint64{}
	root := filepath.Join(dir, "nexus_checkpoints")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var record struct {
			Format uint64 `json:"format"`
			Kind   string `json:"kind"`
			Body   struct {
				Parts []struct {
					Name   string `json:"name"`
					Stored struct {
						SHA256 string `json:"sha256"`
					} `json:"stored"`
				} `json:"parts"`
			} `json:"body"`
		}
		first, _, _ := strings.Cut(string(data), "\n")
		if json.Unmarshal([]byte(first), &record) != nil || record.Kind == "" {
			return nil //nolint:nilerr // a part, a lock or the secret of webhooks
		}
		newest[record.Kind] = max(newest[record.Kind], record.Format)
		for _, part := range record.Body.Parts {
			if part.Name != "model" {
				continue
			}
			model, err := os.ReadFile(filepath.Join(root, "parts", part.Stored.SHA256))
			if err != nil {
				return err
			}
			version, n := encoding.Uvarint(model)
			if n <= 0 {
				return errors.New("the part model of " + path + " has no version")
			}
			newest["model"] = max(newest["model"], version)
		}
		return nil
	})
	if err != nil || newest["checkpoint"] == 0 || newest["dataset"] == 0 || newest["model"] == 0 {
		t.Fatalf("%v: %v", newest, err)
	}
	return newest
}

func packData(t *testing.T, dir, archive string) {
	t.Helper()
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
}

func unpackData(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil || !filepath.IsLocal(h.Name) {
			t.Fatalf("%v: %v", h, err)
		}
		path := filepath.Join(dir, h.Name)
		if h.FileInfo().IsDir() {
			err = os.MkdirAll(path, 0o700)
		} else if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			var data []byte
			if data, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, data, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
