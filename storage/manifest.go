package storage

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Meta is what the saver records about a checkpoint.
type Meta struct {
	Architecture string `json:"architecture"`
	Size         string `json:"size"`
	Lessons      int    `json:"lessons"`
	// Topics is the number of lessons of each topic.
	Topics map[string]int `json:"topics,omitempty"`
	// Figures are the results on held-out prompts, in the saver's format.
	Figures json.RawMessage `json:"figures,omitempty"`
	// Certificate is what is proven about the weights, in the saver's format.
	Certificate json.RawMessage `json:"certificate,omitempty"`
	// Fence is the fencing token of the trainer lease under which it was saved.
	Fence int64 `json:"fence"`
	// Why is the reason for the save: "memorised", "consolidated", "interval", ….
	Why string `json:"why,omitempty"`
	// Learned are the ids of the datasets learned since the parent. Save appends them
	// to the lineage, which is stored in separate parts; Load leaves this field empty.
	Learned []string `json:"-"`
}

// Manifest describes one checkpoint. Its parts are stored separately.
type Manifest struct {
	ID        string    `json:"id"`
	Parent    string    `json:"parent,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	// Datasets is the length of the lineage: how many datasets the checkpoint learned
	// from.
	Datasets int       `json:"datasets"`
	Meta     Meta      `json:"meta"`
	Parts    []PartRef `json:"parts"`
}

// Limits of a checkpoint.
const (
	// MaxParts limits the parts of one checkpoint, including those of its lineage.
	MaxParts = 8192
	// MaxPartBytes limits one part, in bytes.
	MaxPartBytes = 2 << 30
	maxPartName  = 128
	maxTopics    = 10_000
)

// Bytes is the unpacked size of all parts, in bytes.
func (m Manifest) Bytes() int64 {
	var n int64
	for _, p := range m.Parts {
		n += p.Size
	}
	return n
}

// StoredBytes is the stored size of all parts, in bytes. Parts that several checkpoints
// share count in each.
func (m Manifest) StoredBytes() int64 {
	var n int64
	for _, p := range m.Parts {
		n += p.Stored.Size
	}
	return n
}

func encodeManifest(m Manifest) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	b, err := seal(kindManifest, m)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxRecord {
		return nil, fmt.Errorf("manifest of %d bytes: %w", len(b), ErrTooLarge)
	}
	return b, nil
}

// decodeManifest reads the manifest of checkpoint id. It returns ErrCorrupt for damaged
// data.
func decodeManifest(b []byte, id string) (Manifest, error) {
	var m Manifest
	if len(b) > MaxRecord {
		return Manifest{}, fmt.Errorf("%w: manifest of %d bytes", ErrCorrupt, len(b))
	}
	if err := unseal(b, kindManifest, &m); err != nil {
		return Manifest{}, err
	}
	if err := m.check(); err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if m.ID != id {
		return Manifest{}, fmt.Errorf("%w: it is checkpoint %s under another name", ErrCorrupt, m.ID)
	}
	return m, nil
}

// check rejects what no Save can have written, before anything is read or allocated
// because of it.
func (m Manifest) check() error {
	if err := checkID(m.ID); err != nil {
		return err
	}
	if m.Parent != "" {
		if err := checkID(m.Parent); err != nil {
			return fmt.Errorf("parent: %w", err)
		}
	}
	if len(m.Parts) > MaxParts || len(m.Meta.Topics) > maxTopics {
		return fmt.Errorf("%d parts and %d topics: %w", len(m.Parts), len(m.Meta.Topics), ErrTooLarge)
	}
	if m.Datasets < 0 || m.Datasets > MaxParts*lineageSegment {
		return fmt.Errorf("lineage of %d datasets: %w", m.Datasets, ErrTooLarge)
	}
	names := make(map[string]bool, len(m.Parts))
	for _, p := range m.Parts {
		if names[p.Name] {
			return fmt.Errorf("part %q appears twice", p.Name)
		}
		names[p.Name] = true
		if err := p.check(); err != nil {
			return fmt.Errorf("part %q: %w", p.Name, err)
		}
	}
	return nil
}

func (p PartRef) check() error {
	if err := checkPartName(p.Name); err != nil {
		return err
	}
	if err := checkDigest(p.SHA256); err != nil {
		return err
	}
	if err := checkDigest(p.Stored.SHA256); err != nil {
		return err
	}
	if p.Size < 0 || p.Size > MaxPartBytes || p.Stored.Size < 0 || p.Stored.Size > MaxPartBytes {
		return fmt.Errorf("%d bytes stored in %d: %w", p.Size, p.Stored.Size, ErrTooLarge)
	}
	switch p.Stored.Encoding {
	case encodingZstd:
	case encodingPlain:
		if p.SHA256 != p.Stored.SHA256 || p.Size != p.Stored.Size {
			return fmt.Errorf("stored plain under another digest or size")
		}
	default:
		return fmt.Errorf("unknown encoding %q", p.Stored.Encoding)
	}
	return nil
}

func checkPartName(name string) error {
	if name == "" || len(name) > maxPartName {
		return fmt.Errorf("name of %d bytes: %w", len(name), ErrBadKey)
	}
	for _, s := range strings.Split(name, "/") {
		if s == "" || s[0] == '.' {
			return fmt.Errorf("name %q: %w", name, ErrBadKey)
		}
	}
	for _, c := range []byte(name) {
		if !keyByte(c) && c != '/' {
			return fmt.Errorf("name %q: %w", name, ErrBadKey)
		}
	}
	return nil
}
