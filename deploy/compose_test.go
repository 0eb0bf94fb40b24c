package deploy

import (
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/xeipuuv/gojsonschema"
	"go.yaml.in/yaml/v3"
)

// overlays are the files that go behind docker-compose.yml.
var overlays = []string{"fleet", "monitoring", "gpu"}

// project reads docker-compose.yml with further files, as Compose does.
func project(t *testing.T, env []string, files ...string) *types.Project {
	t.Helper()
	paths := []string{"../docker-compose.yml"}
	for _, f := range files {
		paths = append(paths, "compose/"+f+".yml")
	}
	opt, err := cli.NewProjectOptions(paths, cli.WithName("nexus"), cli.WithEnv(env), cli.WithWorkingDirectory(".."), cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := opt.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("%v: %v", paths, err)
	}
	return p
}

// secrets are what deploy/secrets.sh makes.
func secrets(t *testing.T) []string {
	t.Helper()
	root := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "bash", "secrets.sh", root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(root, ".env"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(b))
}

// Compose takes the files, alone and together, and so does docker-compose 1.29.2
// of Debian 12, whose schema knows less.
func TestComposeTakesTheFiles(t *testing.T) {
	t.Parallel()
	if services := project(t, nil).ServiceNames(); !slices.Equal(services, []string{"nexus", "ollama"}) {
		t.Errorf("without secrets and further files: %v", services)
	}
	env := secrets(t)
	for _, o := range overlays {
		project(t, env, o)
	}
	p := project(t, env, overlays...)
	for name, s := range p.Services {
		if s.Build == nil && !regexp.MustCompile(`:v?\d+\.\d+\.\d+`).MatchString(s.Image) && !strings.HasPrefix(s.Image, "nexus-continuum:") {
			t.Errorf("%s takes %s, which is no certain version", name, s.Image)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s is open to other machines: %+v", name, port)
			}
		}
		if strings.HasPrefix(s.Image, "nexus-continuum:") && (!s.ReadOnly || !slices.Contains(s.CapDrop, "ALL")) {
			t.Errorf("%s may write to its root or has capabilities", name)
		}
	}

	definition, err := os.ReadFile("testdata/compose-1.29.2.json")
	if err != nil {
		t.Fatal(err)
	}
	loader := gojsonschema.NewSchemaLoader()
	loader.AutoDetect, loader.Draft = false, gojsonschema.Draft7
	schema, err := loader.Compile(gojsonschema.NewBytesLoader(definition))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append([]string{"../docker-compose.yml"}, globbed(t, "compose/*.yml")...) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file map[string]any
		if err := yaml.Unmarshal(b, &file); err != nil {
			t.Fatal(err)
		}
		result, err := schema.Validate(gojsonschema.NewGoLoader(file))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range result.Errors() {
			t.Errorf("docker-compose 1.29.2 refuses %s: %s", path, e)
		}
	}
}

func globbed(t *testing.T, pattern string) []string {
	t.Helper()
	out, err := filepath.Glob(pattern)
	if err != nil || len(out) == 0 {
		t.Fatalf("%s: %v, %v", pattern, out, err)
	}
	return out
}

// imageEnv is what the image itself sets.
func imageEnv(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, _ := strings.Cut(string(b), "AS nexus\n")
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`(NEXUS_\w+)=(\S+)`).FindAllStringSubmatch(last, -1) {
		out[m[1]] = m[2]
	}
	return out
}

// What the service nexus was told to keep lies in named volumes, so that no
// acknowledged lesson goes with a container; workers acknowledge nothing that is
// not in S3.
func TestComposeKeepsWhatWasTaught(t *testing.T) {
	t.Parallel()
	env := secrets(t)
	alone, fleet := project(t, nil), project(t, env, "fleet")
	for _, p := range []*types.Project{alone, fleet} {
		named := map[string]bool{}
		for _, v := range p.Services["nexus"].Volumes {
			named[v.Target] = v.Type == types.VolumeTypeVolume && v.Source != ""
		}
		for _, folder := range []string{"/app/nexus_checkpoints", "/app/logs", "/app/redis"} {
			if !named[folder] {
				t.Errorf("%s is in no named volume of the service nexus", folder)
			}
		}
	}
	for _, name := range []string{"worker", "scheduler"} {
		if v := fleet.Services[name].Environment["NEXUS_S3_STRICT"]; v == nil || *v != "true" {
			t.Errorf("%s counts lessons as saved that only its container has", name)
		}
	}
}

// The program of the service nexus, started with its arguments and its
// environment: the first commands of the runbook get what they ask for, also
// after the container was thrown away.
func TestTheServiceOfCompose(t *testing.T) {
	t.Parallel()
	app := t.TempDir()
	binary := filepath.Join(t.TempDir(), "nexus")
	program(t, binary)
	service := project(t, nil).Services["nexus"]
	settings := imageEnv(t)
	for name, v := range service.Environment {
		if v != nil {
			settings[name] = *v
		}
	}
	if settings["NEXUS_LISTEN"] != "0.0.0.0:8000" || settings["NEXUS_DATA_DIR"] != "/app" {
		t.Errorf("the image sets %v", settings)
	}
	settings["NEXUS_LISTEN"] = "0.0.0.0:0"
	var env []string
	for name, v := range maps.All(settings) {
		env = append(env, name+"="+strings.ReplaceAll(v, "/app", app))
	}
	up := func() *fleet {
		t.Helper()
		d := launch(t, env, binary, service.Command...)
		_, port, ok := strings.Cut(d.printed(`(?m)^\s*api\s+(http://\S+:\d+)$`), "://")
		if !ok {
			t.Fatal("no address")
		}
		f := &fleet{T: t, api: d, url: "http://localhost:" + port[strings.LastIndex(port, ":")+1:]}
		eventually(t, "the service is ready", func() string {
			if code, body := f.call("GET", "/readyz", ""); code != http.StatusOK {
				return body
			}
			return ""
		})
		return f
	}
	f := up()
	if code, body := f.call("POST", "/api/lessons", `{"lessons":[{"prompt":"How do I reset my password?","response":"Open Settings."}]}`); code != http.StatusAccepted {
		t.Fatalf("teach: %d %s", code, body)
	}
	f.api.kill()
	f = up()
	eventually(t, "it answers", func() string {
		_, body := f.call("POST", "/api/interact", `{"prompt":"how do I reset my pasword"}`)
		if !strings.Contains(body, "Open Settings.") {
			return body
		}
		return ""
	})
	if code, _ := f.call("GET", "/api/status", ""); code != http.StatusOK {
		t.Errorf("the status wants a key: %d", code)
	}
	if _, err := os.Stat(filepath.Join(app, "logs", "audit.log")); err != nil {
		t.Errorf("the audit log is not where a volume keeps it: %v", err)
	}
	// A web page in a browser of this machine names another host.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/api/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example.com"
	if code, body := do(t, req); code == http.StatusOK {
		t.Errorf("a foreign name is answered: %d %s", code, body)
	}
}
