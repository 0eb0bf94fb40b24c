package storage

import (
	"bytes"
	"fmt"
	"strings"
)

// The lineage of a checkpoint is the ordered list of the datasets that it learned from.
// It is stored in separate parts of 1024 ids each, one id a line. Full parts never
// change again, so a long history costs a save no more than a short one.
const (
	lineagePrefix  = "lineage/"
	lineageSegment = 1024
	idLength       = 36
)

// Lineage is the ordered list of dataset ids that a checkpoint learned from.
type Lineage []string

// Missing returns the ids that are not in the lineage, in the order of ids.
func (l Lineage) Missing(ids []string) []string {
	have := make(map[string]struct{}, len(l))
	for _, id := range l {
		have[id] = struct{}{}
	}
	var missing []string
	for _, id := range ids {
		if _, ok := have[id]; !ok {
			missing = append(missing, id)
		}
	}
	return missing
}

// with returns l followed by the ids that are new to it.
func (l Lineage) with(ids []string) (Lineage, error) {
	for _, id := range ids {
		if err := checkID(id); err != nil {
			return nil, fmt.Errorf("lineage: dataset %w", err)
		}
	}
	// The roles are swapped compared with Missing: ids are few, and the lineage may be
	// long.
	known := make(map[string]bool, len(ids))
	for _, id := range ids {
		known[id] = false
	}
	for _, id := range l {
		if _, ok := known[id]; ok {
			known[id] = true
		}
	}
	out := l[:len(l):len(l)]
	for _, id := range ids {
		if !known[id] {
			out = append(out, id)
			known[id] = true
		}
	}
	return out, nil
}

// piece is a part that a save stores, or one that the parent already has. A part of the
// parent is named as in the parent's manifest, and made again only if it is gone.
type piece struct {
	Part
	known *PartRef
	again func() []byte
}

// pieces returns the parts of l for a save. l continues the lineage of parent, whose
// full parts are already stored.
func (l Lineage) pieces(parent base) []piece {
	known := map[string]*PartRef{}
	for i, p := range parent.manifest.Parts {
		if isLineage(p.Name) {
			known[p.Name] = &parent.manifest.Parts[i]
		}
	}
	var parts []piece
	for from := 0; from < len(l); from += lineageSegment {
		ids := l[from:min(from+lineageSegment, len(l))]
		p := piece{Part: Part{Name: fmt.Sprintf("%s%06d", lineagePrefix, from/lineageSegment)}}
		if ref := known[p.Name]; ref != nil && from+lineageSegment <= len(parent.lineage) {
			p.known, p.again = ref, ids.lines
		} else {
			p.Data = ids.lines()
		}
		parts = append(parts, p)
	}
	return parts
}

// lines is l in the form that a part holds.
func (l Lineage) lines() []byte {
	var b bytes.Buffer
	for _, id := range l {
		b.WriteString(id)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// decodeLineage is the inverse of lines for one part. It returns ErrCorrupt for damaged
// data.
func decodeLineage(l Lineage, data []byte) (Lineage, error) {
	if len(data)%(idLength+1) != 0 || len(data) > lineageSegment*(idLength+1) {
		return nil, fmt.Errorf("%w: lineage of %d bytes", ErrCorrupt, len(data))
	}
	for line := range bytes.Lines(data) {
		id := strings.TrimSuffix(string(line), "\n")
		if err := checkID(id); err != nil {
			return nil, fmt.Errorf("%w: lineage: %w", ErrCorrupt, err)
		}
		l = append(l, id)
	}
	return l, nil
}

func isLineage(name string) bool { return strings.HasPrefix(name, lineagePrefix) }
