package webhook

import (
	"crypto/rand"
	"testing"

	"github.com/nexus-continuum/nexus/storage/dir"
)

func TestTheKeptSecretStays(t *testing.T) {
	t.Parallel()
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	for range 4 {
		go func() {
			s, err := KeptSecret(t.Context(), store, rand.Reader)
			if err != nil {
				t.Error(err)
			}
			got <- s
		}()
	}
	first := <-got
	for range 3 {
		if s := <-got; s != first {
			t.Errorf("secrets differ: %q and %q", first, s)
		}
	}
	if err := CheckSecret(first); err != nil {
		t.Error(err)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	for s, ok := range map[string]bool{secret: true, "": false, "whsec_": false, "whsec_AAAA": false, secret[6:]: false, "whsec_!" + secret[7:]: false} {
		if err := CheckSecret(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}
