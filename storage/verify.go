package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// VerifyObject reads an object and uses only its key to check that its bytes are those
// that were stored. A part is named by its digest, a dataset has a digest in its
// header, and a record has one in its envelope. It returns ErrCorrupt if the bytes
// differ, and ErrBadKey for an object without a digest. Errors of the reader are passed
// on.
func VerifyObject(key string, r io.Reader) error {
	if sum, ok := strings.CutPrefix(key, PartsPrefix); ok && checkDigest(sum) == nil {
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != sum {
			return fmt.Errorf("%w: %s has the SHA-256 %s", ErrCorrupt, key, got)
		}
		return nil
	}
	if id, ok := datasetID(key); ok {
		return verifyDataset(r, id)
	}
	if IsSegment(key) {
		_, _, err := readSegment(r, key)
		return err
	}
	b, err := io.ReadAll(io.LimitReader(r, MaxRecord+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if id, ok := manifestID(key); ok {
		_, err = decodeManifest(b, id)
		return err
	}
	switch key {
	case HeadKey:
		return unseal(b, kindHead, &Head{})
	case ControlKey:
		_, err = decodeControl(b)
		return err
	case KeysKey:
		return unseal(b, kindKeys, &keyRecord{})
	case KeyUseKey:
		return unseal(b, kindKeyUse, &keyUse{})
	case ChecksKey:
		return unseal(b, kindChecks, &checkRecord{})
	case ValidityKey:
		return unseal(b, kindValidity, &validityRecord{})
	case UsageKey:
		return unseal(b, kindUsage, &usageRecord{})
	case RegistryKey:
		return unseal(b, kindRegistry, &Registry{})
	}
	return fmt.Errorf("%s has no digest: %w", key, ErrBadKey)
}
