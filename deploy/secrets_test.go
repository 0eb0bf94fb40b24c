package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// The secrets of Compose are made once and kept, are for their owner only, and
// Redis takes nobody but nexus with them.
func TestSecretsOfCompose(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	run := func() string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "bash", "secrets.sh", root).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		b, err := os.ReadFile(filepath.Join(root, ".env"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := run()
	if second := run(); second != first {
		t.Errorf("a second run changes the secrets:\n%s\n%s", first, second)
	}
	values, seen := map[string]string{}, map[string]bool{}
	for line := range strings.Lines(first) {
		name, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		if len(v) < 16 || seen[v] {
			t.Errorf("%s is short or not random", name)
		}
		values[name], seen[v] = v, true
	}
	for path, want := range map[string]os.FileMode{".env": 0o600, "deploy/secrets": 0o700} {
		i, err := os.Stat(filepath.Join(root, path))
		if err != nil || i.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, i.Mode(), err)
		}
	}

	secret := regexp.MustCompile(`\$\{(\w*(?:KEY|SECRET|PASSWORD)\w*)([^}]*)\}`)
	for _, path := range append([]string{"../docker-compose.yml"}, globbed(t, "compose/*.yml")...) {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range secret.FindAllStringSubmatch(string(file), -1) {
			// Without a key, only this machine is answered.
			if !strings.HasPrefix(m[2], ":?") && m[0] != "${NEXUS_API_KEY:-}" && m[0] != "${NEXUS_API_KEYS:-}" {
				t.Errorf("%s in %s has a default or may be missing", m[0], path)
			}
			if values[m[1]] == "" {
				t.Errorf("secrets.sh does not make %s", m[1])
			}
		}
	}

	socket := filepath.Join(t.TempDir(), "redis.sock")
	server := exec.CommandContext(t.Context(), "redis-server", "--port", "0", "--unixsocket", socket, "--save", "",
		"--aclfile", filepath.Join(root, "deploy/secrets/redis-users.acl"))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	nexus := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, Username: "nexus", Password: values["NEXUS_REDIS_PASSWORD"], MaxRetries: -1})
	defer nexus.Close()
	deadline, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for nexus.Set(t.Context(), "nexus:probe", "1", time.Minute).Err() != nil {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("nexus is not let in: %v", nexus.Ping(t.Context()).Err())
		}
	}
	if nexus.Set(t.Context(), "other", "1", 0).Err() == nil || nexus.FlushAll(t.Context()).Err() == nil || nexus.ConfigSet(t.Context(), "dir", "/").Err() == nil ||
		nexus.ConfigGet(t.Context(), "*").Err() == nil || nexus.FunctionFlush(t.Context()).Err() == nil {
		t.Error("nexus may do more than it needs")
	}
	anybody := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, MaxRetries: -1})
	defer anybody.Close()
	if err := anybody.Get(t.Context(), "nexus:probe").Err(); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("somebody without a password: %v", err)
	}
}
