package storage

import (
	"encoding/binary"

	"github.com/google/uuid"

	"github.com/nexus-continuum/nexus/job"
)

// newID returns a fresh time-ordered id that sorts after the given one, also
// where the clock that made that one is ahead of ours: order of ids is order of
// events, whichever host they came from.
func newID(after string) string {
	id := job.NewID()
	if id > after || checkID(after) != nil {
		return id
	}
	u, prev := uuid.MustParse(id), uuid.MustParse(after)
	// The first 48 bits of a UUIDv7 are milliseconds; the next 16 stay ours.
	next := binary.BigEndian.Uint64(prev[:8]) + 1<<16
	binary.BigEndian.PutUint64(u[:8], next&^0xffff|binary.BigEndian.Uint64(u[:8])&0xffff)
	return u.String()
}
