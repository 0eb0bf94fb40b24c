package storage

import (
	"encoding/binary"

	"github.com/google/uuid"

	"github.com/nexus-continuum/nexus/job"
)

// newID returns a new time-ordered id that sorts after the given one, even if the clock
// that made that one is ahead of ours. The order of ids is the order of events,
// whichever host made them.
func newID(after string) string {
	id := job.NewID()
	if id > after || checkID(after) != nil {
		return id
	}
	u, prev := uuid.MustParse(id), uuid.MustParse(after)
	// The first 48 bits of a UUIDv7 are milliseconds; the next 16 are ours.
	next := binary.BigEndian.Uint64(prev[:8]) + 1<<16
	binary.BigEndian.PutUint64(u[:8], next&^0xffff|binary.BigEndian.Uint64(u[:8])&0xffff)
	return u.String()
}
