package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// formatVersion is the version of every record that this code writes. The code keeps a
// reader for each released version.
const formatVersion = 1

// formatJudged is the version of datasets of the judge operation. Programs that do not
// know it leave them alone.
const formatJudged = 2

// formatRevised is the version of datasets of the revise operation.
const formatRevised = 3

// sealed is the envelope of each JSON record. It is one line in one canonical spelling,
// so that any changed byte is noticed. The file can still be read by eye and by jq.
type sealed struct {
	Format int    `json:"format"`
	Kind   string `json:"kind"`
	// SHA256 is the digest of format, kind and Body exactly as written.
	SHA256 string          `json:"sha256"`
	Body   json.RawMessage `json:"body"`
}

var errNewer = errors.New("written by a newer version of nexus")

// Kinds of sealed records.
const (
	kindManifest = "checkpoint"
	kindDataset  = "dataset"
	kindSegment  = "segment"
	kindHead     = "head"
	kindControl  = "control"
	kindRegistry = "registry"
	kindKeys     = "keys"
	kindKeyUse   = "keyuse"
	kindChecks   = "checks"
	kindValidity = "validity"
	kindUsage    = "usage"
)

// seal wraps body into an envelope, ended by a newline.
func seal(kind string, body any) ([]byte, error) { return sealAs(formatVersion, kind, body) }

func sealAs(format int, kind string, body any) ([]byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", kind, err)
	}
	return sealRaw(format, kind, raw)
}

func sealRaw(format int, kind string, raw []byte) ([]byte, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s ", format, kind)
	h.Write(raw)
	b, err := json.Marshal(sealed{Format: format, Kind: kind, SHA256: hex.EncodeToString(h.Sum(nil)), Body: raw})
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", kind, err)
	}
	return append(b, '\n'), nil
}

// unseal checks the envelope and decodes its body into v. It returns ErrCorrupt for
// anything but the exact bytes that seal made, and errNewer for an intact record of a
// newer format, which must not be set aside as damaged.
func unseal(b []byte, kind string, v any) error {
	var s sealed
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%w: %s record is no JSON: %w", ErrCorrupt, kind, err)
	}
	again, err := sealRaw(s.Format, s.Kind, s.Body)
	if err != nil {
		return fmt.Errorf("%w: %s record: %w", ErrCorrupt, kind, err)
	}
	if !bytes.Equal(again, b) {
		return fmt.Errorf("%w: %s record does not match its SHA-256", ErrCorrupt, kind)
	}
	if s.Kind != kind {
		return fmt.Errorf("%w: a %q record where a %q record belongs", ErrCorrupt, s.Kind, kind)
	}
	known := s.Format == formatVersion || kind == kindDataset && (s.Format == formatJudged || s.Format == formatRevised)
	if !known {
		return fmt.Errorf("%s record of format %d, this version reads %d: %w", kind, s.Format, formatVersion, errNewer)
	}
	d := json.NewDecoder(bytes.NewReader(s.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %s record: %w", ErrCorrupt, kind, err)
	}
	return nil
}
