package storage

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// FolderName is the name of the storage folder, under the data folder and at the root
// of a backup.
const FolderName = "nexus_checkpoints"

// Places under the root.
const (
	ManifestPrefix = "checkpoint_"
	ManifestSuffix = ".json"
	PartsPrefix    = "parts/"
	DatasetsPrefix = "datasets/"
	HeadKey        = "head.json"
	ControlKey     = "control.json"
	RegistryKey    = "registry.json"
	KeysKey        = "keys.json"
	KeyUseKey      = "keyuse.json"
	ChecksKey      = "checks.json"
	ValidityKey    = "validity.json"
	UsageKey       = "usage.json"

	// Corrupted is the folder for objects that were found damaged.
	Corrupted = "corrupted/"
)

const (
	maxKey      = 512
	maxSegments = 4
)

// CheckKey returns ErrBadKey unless key has the form that Store requires. No valid key
// can name a hidden file or leave the root.
func CheckKey(key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("key of %d bytes: %w", len(key), ErrBadKey)
	}
	segments := strings.Split(key, "/")
	if len(segments) > maxSegments {
		return fmt.Errorf("key %q has more than %d segments: %w", key, maxSegments, ErrBadKey)
	}
	for _, s := range segments {
		if s == "" || s[0] == '.' || len(s) > 255 {
			return fmt.Errorf("key %q: %w", key, ErrBadKey)
		}
		for _, c := range []byte(s) {
			if !keyByte(c) {
				return fmt.Errorf("key %q: %w", key, ErrBadKey)
			}
		}
	}
	return nil
}

// CheckPrefix is CheckKey for the prefix of List.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return CheckKey(strings.TrimSuffix(prefix, "/"))
}

func keyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}

func manifestKey(id string) (string, error) {
	if err := checkID(id); err != nil {
		return "", fmt.Errorf("checkpoint %w", err)
	}
	return ManifestPrefix + id + ManifestSuffix, nil
}

// manifestID is the inverse of manifestKey; it returns false for other names.
func manifestID(key string) (string, bool) {
	id, ok := strings.CutPrefix(key, ManifestPrefix)
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(id, ManifestSuffix)
	return id, ok && checkID(id) == nil
}

func datasetKey(id string) (string, error) {
	if err := checkID(id); err != nil {
		return "", fmt.Errorf("dataset %w", err)
	}
	return DatasetsPrefix + id, nil
}

func datasetID(key string) (string, bool) {
	id, ok := strings.CutPrefix(key, DatasetsPrefix)
	return id, ok && checkID(id) == nil
}

// isDataset reports whether key names a dataset or a segment.
func isDataset(key string) bool {
	_, single := datasetID(key)
	return single || IsSegment(key)
}

// checkID accepts only the spelling that job.NewID makes, so that an id is a safe part
// of a key and sorts by time.
func checkID(id string) error {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 || u.String() != id {
		return fmt.Errorf("id %q: %w", id, ErrBadKey)
	}
	return nil
}

func checkDigest(s string) error {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 || strings.ToLower(s) != s {
		return fmt.Errorf("%q is not a SHA-256 in lower-case hex: %w", s, ErrBadKey)
	}
	return nil
}
