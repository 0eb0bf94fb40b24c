package webhook

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nexus-continuum/nexus/storage"
)

// SecretKey is where a secret that nobody set is kept.
const SecretKey = "webhook_secret"

const secretPrefix = "whsec_"

// CheckSecret tells whether a secret has the form that Standard Webhooks asks
// for: whsec_ and 24 to 64 bytes in base64.
func CheckSecret(secret string) error {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return errors.New("must be whsec_ followed by 24 to 64 bytes in base64")
	}
	return nil
}

// Store is what keeping a secret needs of the storage; storage.Store is one.
type Store interface {
	Read(ctx context.Context, key string) ([]byte, storage.Version, error)
	Swap(ctx context.Context, key string, old storage.Version, body []byte) (storage.Version, error)
}

// KeptSecret returns the secret that the store keeps, so that every process
// and every start signs alike. The first call makes it, from random.
func KeptSecret(ctx context.Context, store Store, random io.Reader) (string, error) {
	for {
		b, _, err := store.Read(ctx, SecretKey)
		if err == nil {
			secret := strings.TrimSpace(string(b))
			if err := CheckSecret(secret); err != nil {
				return "", fmt.Errorf("the secret kept as %s %w", SecretKey, err)
			}
			return secret, nil
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return "", fmt.Errorf("read the secret of webhooks: %w", err)
		}
		key := make([]byte, 32)
		if _, err := io.ReadFull(random, key); err != nil {
			return "", fmt.Errorf("make a secret for webhooks: %w", err)
		}
		body := secretPrefix + base64.StdEncoding.EncodeToString(key) + "\n"
		_, err = store.Swap(ctx, SecretKey, storage.Absent, []byte(body))
		if err != nil && !errors.Is(err, storage.ErrConflict) {
			return "", fmt.Errorf("keep the secret of webhooks: %w", err)
		}
	}
}
