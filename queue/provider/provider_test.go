package provider

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// TestMain also plays a process that holds a child and is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PROVIDER_TEST_HOLD"); dir != "" {
		r, err := Start(context.Background(), Options{Mode: Child, Dir: dir})
		if err != nil {
			panic(err)
		}
		if err := r.Client().Set(context.Background(), "from", "the killed", 0).Err(); err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString("ready\n")
		select {}
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, opt Options) *Provider {
	t.Helper()
	r, err := Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// withChild says whether this machine can run a child.
func withChild() bool { return findServer() != "" }

func eachOwn(t *testing.T, test func(t *testing.T, mode string)) {
	t.Parallel()
	modes := []string{Embedded}
	if withChild() {
		modes = append(modes, Child)
	}
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			test(t, mode)
		})
	}
}

func TestRungAnswers(t *testing.T) {
	eachOwn(t, func(t *testing.T, mode string) {
		r := start(t, Options{Mode: mode, Dir: t.TempDir()})
		if r.Name != mode || r.Describe() == "" {
			t.Errorf("rung is %q, %q", r.Name, r.Describe())
		}
		if err := r.Client().Set(t.Context(), "k", "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
		further := r.Asynq().MakeRedisClient().(redis.UniversalClient)
		defer closing(t, further)
		if v, err := further.Get(t.Context(), "k").Result(); v != "v" {
			t.Errorf("a further client reads %q, %v", v, err)
		}
	})
}

func TestKeysExpire(t *testing.T) {
	eachOwn(t, func(t *testing.T, mode string) {
		r := start(t, Options{Mode: mode, Dir: t.TempDir()})
		if err := r.Client().Set(t.Context(), "k", "v", 50*time.Millisecond).Err(); err != nil {
			t.Fatal(err)
		}
		until(t, "the key expires", func() bool { return errors.Is(r.Client().Get(t.Context(), "k").Err(), redis.Nil) })
	})
}

func TestStopIsSafeTwice(t *testing.T) {
	eachOwn(t, func(t *testing.T, mode string) {
		r := start(t, Options{Mode: mode, Dir: t.TempDir()})
		for range 2 {
			if err := r.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Others on the machine can reach the embedded Redis, but not use it.
func TestEmbeddedWantsAPassword(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Mode: Embedded})
	c := redis.NewClient(&redis.Options{Addr: r.Client().(*redis.Client).Options().Addr})
	defer closing(t, c)
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Error("it answers anybody")
	}
}

func TestChoice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		opt  Options
		want string // in the error
	}{
		{Options{Mode: "sideways"}, "auto, external, child and embedded"},
		{Options{Mode: External}, "redis://"},
		{Options{Mode: Child}, "data folder"},
	} {
		if _, err := Start(t.Context(), c.opt); err == nil || (!strings.Contains(err.Error(), c.want) && withChild()) {
			t.Errorf("%+v: %v", c.opt, err)
		}
	}
	want := Embedded
	if withChild() {
		want = Child
	}
	if r := start(t, Options{Dir: t.TempDir()}); r.Name != want {
		t.Errorf("auto took %s, want %s", r.Name, want)
	}
	if r := start(t, Options{}); r.Name != Embedded {
		t.Errorf("without a folder auto took %s", r.Name)
	}
}

func TestExternal(t *testing.T) {
	eachOwn(t, func(t *testing.T, mode string) {
		o := start(t, Options{Mode: mode, Dir: t.TempDir()}).Client().(*redis.Client).Options()
		url := "redis://:" + o.Password + "@" + o.Addr
		if o.Network == "unix" {
			url = "unix://" + o.Addr
		}
		r := start(t, Options{URL: url})
		if r.Name != External {
			t.Errorf("rung is %s", r.Name)
		}
		if o.Password != "" && strings.Contains(r.Describe(), o.Password) {
			t.Error("the password is told")
		}
		if mode != Child {
			return
		}
		if len(r.Warnings) != 0 {
			t.Errorf("warnings %v", r.Warnings)
		}
		if err := r.Client().ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
			t.Fatal(err)
		}
		r = start(t, Options{URL: url})
		if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "noeviction") {
			t.Errorf("warnings %v", r.Warnings)
		}
	})
}

func TestExternalThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := Start(ctx, Options{URL: "unix://" + filepath.Join(t.TempDir(), "none")})
	if err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("error is %v", err)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string][]string{
		"redis://localhost:6379/2":                       {"localhost:6379"},
		"rediss://user:pw@redis.example":                 {"redis.example:6379"},
		"unix:///run/redis.sock?db=1":                    {"/run/redis.sock"},
		"redis-sentinel://:p%40w@a,b:1,[::1]/mymaster/3": {"a:26379", "b:1", "[::1]:26379"},
		"redis-cluster://a:7000,b:7001":                  {"a:7000", "b:7001"},
		"rediss-cluster://a:7000":                        {"a:7000"},
	} {
		got, err := Parse(raw)
		if err != nil || !slices.Equal(got.opt.Addrs, want) {
			t.Errorf("%s: addresses %v, %v", raw, got.opt.Addrs, err)
			continue
		}
		if tls := strings.HasPrefix(raw, "rediss"); tls != (got.opt.TLSConfig != nil) {
			t.Errorf("%s: TLS %v", raw, got.opt.TLSConfig != nil)
		}
		if strings.Contains(got.label, "pw") || strings.Contains(got.label, "p%40w") {
			t.Errorf("%s: the label %s tells the password", raw, got.label)
		}
		if err := got.connect(Options{PoolSize: 1}).Close(); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
	sentinel, err := Parse("redis-sentinel://u:p%40w@a/mymaster/3")
	if err != nil || sentinel.opt.MasterName != "mymaster" || sentinel.opt.DB != 3 || sentinel.opt.Password != "p@w" {
		t.Errorf("sentinel is %+v, %v", sentinel.opt, err)
	}
	for _, raw := range []string{
		"", "localhost:6379", "http://localhost", "redis://localhost:port", "redis://localhost/one",
		"redis-sentinel://a:1", "redis-sentinel://a/m/x", "redis-cluster://a/1", "redis-cluster://", "redis-cluster://a,,b",
		"nonsense://user:secret@host",
	} {
		_, err := Parse(raw)
		if err == nil || !strings.Contains(err.Error(), "redis://") {
			t.Errorf("%q: error %v does not say what would be right", raw, err)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the password", raw)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("redis://user:pw@localhost:6379/2")
	f.Add("redis-sentinel://a,b:1/m/3")
	f.Fuzz(func(t *testing.T, raw string) {
		if target, err := Parse(raw); err == nil && len(target.opt.Addrs) == 0 {
			t.Errorf("%q has no address", raw)
		}
	})
}

func closing(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// log collects lines.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) says(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

func (l *log) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// kill ends the server on a data folder as a crash would.
func kill(t *testing.T, r *Provider) {
	t.Helper()
	info, err := r.Client().InfoMap(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	pid := info["Server"]["process_id"]
	if err := exec.Command("kill", "-9", pid).Run(); err != nil {
		t.Fatal(err)
	}
}

func TestChildKeepsItsData(t *testing.T) {
	t.Parallel()
	if !withChild() {
		return
	}
	dir := t.TempDir()
	first := start(t, Options{Mode: Child, Dir: dir})
	if err := first.Client().Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := start(t, Options{Mode: Child, Dir: dir})
	if v, err := second.Client().Get(t.Context(), "k").Result(); v != "v" {
		t.Errorf("it reads %q, %v", v, err)
	}
}

func TestChildIsStartedAgain(t *testing.T) {
	t.Parallel()
	if !withChild() {
		return
	}
	var l log
	r := start(t, Options{Mode: Child, Dir: t.TempDir(), Log: l.logger()})
	if err := r.Client().Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	kill(t, r)
	until(t, "it answers again", func() bool { return r.Client().Get(t.Context(), "k").Val() == "v" })
	if !l.says("starting it again") {
		t.Error("the log does not tell")
	}
}

// A second process on the same folder uses the first one's server, and takes
// over when that ends.
func TestGuestTakesOver(t *testing.T) {
	t.Parallel()
	if !withChild() {
		return
	}
	dir := t.TempDir()
	owner := start(t, Options{Mode: Child, Dir: dir})
	second := start(t, Options{Mode: Child, Dir: dir})
	if err := owner.Client().Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if v, err := second.Client().Get(t.Context(), "k").Result(); v != "v" {
		t.Fatalf("the second reads %q, %v", v, err)
	}
	if err := owner.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the second has a server", func() bool { return second.Client().Get(t.Context(), "k").Val() == "v" })
}

// The process is killed: its server ends too, and the next one finds the data.
func TestKilledProcessLeavesNoServer(t *testing.T) {
	t.Parallel()
	if !withChild() {
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PROVIDER_TEST_HOLD="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if _, err := out.Read(line); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	until(t, "its server has ended", func() bool {
		f, err := lockDir(filepath.Join(dir, "redis"))
		if err != nil {
			return false
		}
		f.Close()
		return true
	})
	r := start(t, Options{Mode: Child, Dir: dir})
	if v, err := r.Client().Get(t.Context(), "from").Result(); v != "the killed" {
		t.Errorf("it reads %q, %v", v, err)
	}
}

func TestStaleSocketIsRemoved(t *testing.T) {
	t.Parallel()
	if !withChild() {
		return
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "redis"), 0o700); err != nil {
		t.Fatal(err)
	}
	path, err := socketPath(filepath.Join(dir, "redis"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, Options{Mode: Child, Dir: dir})
	if err := r.Client().Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket is %v, %v", info, err)
	}
}

func TestLongFoldersGetAShortSocket(t *testing.T) {
	t.Parallel()
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	path, err := socketPath(long)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(path)) })
	if len(path) > maxSocketPath {
		t.Errorf("socket path %s has %d bytes", path, len(path))
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its folder is %v, %v", info, err)
	}
	if again, err := socketPath(long); again != path {
		t.Errorf("another process would look at %s, %v", again, err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := socketPath(long); err == nil {
		t.Error("a folder that others can enter was taken")
	}
	if !withChild() {
		return
	}
	if err := os.Chmod(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := start(t, Options{Mode: Child, Dir: long[:len(long)-6]}).Client().Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

// A server that cannot run at all is an error at start, with its last lines.
func TestChildThatFailsAtOnce(t *testing.T) {
	t.Parallel()
	if !withChild() {
		return
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "redis", "appendonlydir"), 0o700); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, "redis", "appendonlydir", "appendonly.aof.manifest")
	if err := os.WriteFile(manifest, []byte("garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Mode: Child, Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "last lines") {
		t.Errorf("error is %v", err)
	}
}

func BenchmarkStartChild(b *testing.B) {
	if !withChild() {
		b.Log("no redis-server here; the embedded one is measured")
	}
	for b.Loop() {
		r, err := Start(b.Context(), Options{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := r.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
