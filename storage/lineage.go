package storage

import (
	"bytes"
	"fmt"
	"strings"
)

// The lineage of a checkpoint is the ordered list of the datasets that it
// learned from. It lies in parts of its own, 1024 ids each, one id a line: full
// ones never change again, so a long history costs a save no more than a short one.
const (
	lineagePrefix  = "lineage/"
	lineageSegment = 1024
	idLength       = 36
)

// Lineage is the ordered list of dataset ids that a checkpoint learned from.
type Lineage []string

// Missing returns those of ids, in their order, that are not in the lineage.
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

// with returns l and then those of ids that are new to it.
func (l Lineage) with(ids []string) (Lineage, error) {
	for _, id := range ids {
		if err := checkID(id); err != nil {
			return nil, fmt.Errorf("lineage: dataset %w", err)
		}
	}
	return append(l[:len(l):len(l)], l.Missing(ids)...), nil
}

func (l Lineage) parts() []Part {
	var parts []Part
	for from := 0; from < len(l); from += lineageSegment {
		ids := l[from:min(from+lineageSegment, len(l))]
		var b bytes.Buffer
		for _, id := range ids {
			b.WriteString(id)
			b.WriteByte('\n')
		}
		parts = append(parts, Part{Name: fmt.Sprintf("%s%06d", lineagePrefix, from/lineageSegment), Data: b.Bytes()})
	}
	return parts
}

// decodeLineage is the inverse of parts for one part; ErrCorrupt.
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
