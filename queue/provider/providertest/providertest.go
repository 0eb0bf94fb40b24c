// Package providertest runs tests on each Redis that the program can provide by itself.
package providertest

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/queue/provider"
)

// Timeout of a command. It is long because the machine may be busy with other tests.
const Timeout = 20 * time.Second

// EachMode runs a test on every Redis that this machine has, all at the same time.
func EachMode(t *testing.T, test func(t *testing.T, mode string)) {
	t.Helper()
	t.Parallel()
	modes := []string{provider.Embedded}
	for _, server := range []string{"redis-server", "valkey-server"} {
		if _, err := exec.LookPath(server); err == nil {
			modes = append(modes, provider.Child)
			break
		}
	}
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			test(t, mode)
		})
	}
}

// Start provides a Redis until the test ends. A folder is made where opt names none. The
// context is for what the test does with it; it ends after a minute.
func Start(t *testing.T, opt provider.Options) (context.Context, *provider.Provider) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	if opt.Dir == "" {
		opt.Dir = t.TempDir()
	}
	opt.Timeout = Timeout
	p, err := provider.Start(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return ctx, p
}
