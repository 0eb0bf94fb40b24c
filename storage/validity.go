package storage

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Validity says when an answer may be given. An answer without a Validity may always be
// given.
type Validity struct {
	Topic string `json:"topic,omitempty"`
	// Answer is the digest of the response, as AnswerDigest makes it.
	Answer string `json:"answer"`
	// Draft withholds the answer until Draft is cleared.
	Draft bool `json:"draft,omitempty"`
	// From is the first moment at which the answer is given, and Until the first at
	// which it is no longer given; nil means no bound.
	From  *time.Time `json:"from,omitempty"`
	Until *time.Time `json:"until,omitempty"`
	// Gone is when the answer was deleted. The answer is not given from then on,
	// although unlearning takes a moment. Teaching it again clears the validity.
	Gone *time.Time `json:"gone,omitempty"`
}

// States of an answer.
const (
	AnswerLive      = "live"
	AnswerDraft     = "draft"
	AnswerScheduled = "scheduled" // its time is still to come
	AnswerExpired   = "expired"
)

// State is the state of the answer at a moment.
func (v Validity) State(now time.Time) string {
	switch {
	case v.Draft:
		return AnswerDraft
	case v.Until != nil && !now.Before(*v.Until):
		return AnswerExpired
	case v.From != nil && now.Before(*v.From):
		return AnswerScheduled
	}
	return AnswerLive
}

// Bounded reports whether v restricts the answer by a draft state or a date.
func (v Validity) Bounded() bool { return v.Draft || v.From != nil || v.Until != nil }

// changes returns the next moment after now at which the state changes by itself; the
// zero time if there is none.
func (v Validity) changes(now time.Time) time.Time {
	if v.Draft || v.Gone != nil {
		return time.Time{}
	}
	for _, t := range []*time.Time{v.From, v.Until} {
		if t != nil && now.Before(*t) {
			return *t
		}
	}
	return time.Time{}
}

// AnswerDigest returns the digest that identifies a response within a topic. All taught
// refusals of a topic are one answer.
func AnswerDigest(response string, refusal bool) string {
	kind := "answer\n"
	if refusal {
		kind, response = "refusal\n", ""
	}
	sum := sha256.Sum256([]byte(kind + response))
	return hex.EncodeToString(sum[:16])
}

// AnswerKey identifies the answer that a validity belongs to.
type AnswerKey struct{ Topic, Answer string }

// Validities maps every answer that has a validity to it.
type Validities map[AnswerKey]Validity

// KeyOf makes the key of an answer; a nil response is a taught refusal.
func KeyOf(topic string, response *string) AnswerKey {
	if response == nil {
		return AnswerKey{topic, AnswerDigest("", true)}
	}
	return AnswerKey{topic, AnswerDigest(*response, false)}
}

// Set stores the validity of an answer.
func (vs Validities) Set(key AnswerKey, v Validity) {
	v.Topic, v.Answer = key.Topic, key.Answer
	vs[key] = v
}

// Hidden returns a function that reports which answers must not be given at now, and
// the time until which that holds; the zero time means for good. hide is nil if every
// answer may be given.
func (vs Validities) Hidden(now time.Time) (hide func(topic, response string, refusal bool) bool, until time.Time) {
	out, topics := map[AnswerKey]bool{}, map[string]bool{}
	for key, v := range vs {
		if v.Gone != nil || v.State(now) != AnswerLive {
			out[key], topics[key.Topic] = true, true
		}
		if t := v.changes(now); !t.IsZero() && (until.IsZero() || t.Before(until)) {
			until = t
		}
	}
	if len(out) == 0 {
		return nil, until
	}
	return func(topic, response string, refusal bool) bool {
		return topics[topic] && out[AnswerKey{topic, AnswerDigest(response, refusal)}]
	}, until
}

// validityRecord is all of them.
type validityRecord struct {
	Version   int64      `json:"version"`
	Answers   []Validity `json:"answers"`
	UpdatedAt time.Time  `json:"updated_at"`
}

// goneFor is how long the validity of a deleted answer is kept, for processes that
// still serve the answer.
const goneFor = 30 * 24 * time.Hour

// ValidityRecord keeps the validities of a store in one record.
type ValidityRecord struct {
	store Store
	now   func() time.Time
}

// NewValidity returns the validities of a store; now may be nil.
func NewValidity(store Store, now func() time.Time) *ValidityRecord {
	if now == nil {
		now = time.Now
	}
	return &ValidityRecord{store: store, now: now}
}

// Read returns all validities, with one small read, and a number that grows with each
// change. It returns ErrCorrupt if the record is damaged.
func (c *ValidityRecord) Read(ctx context.Context) (Validities, int64, error) {
	r, _, err := c.read(ctx)
	return r.validities(), r.Version, err
}

func (r validityRecord) validities() Validities {
	out := make(Validities, len(r.Answers))
	for _, v := range r.Answers {
		out[AnswerKey{v.Topic, v.Answer}] = v
	}
	return out
}

func (c *ValidityRecord) read(ctx context.Context) (validityRecord, Version, error) {
	return readSealed[validityRecord](ctx, c.store, ValidityKey, kindValidity, "read the validities")
}

// Update applies change to the validities. If another process writes first, Update
// calls change again on the new record. change reports whether there is anything to
// write. A validity that restricts nothing is dropped. Update returns ErrTooLarge if
// there is no room for so many.
func (c *ValidityRecord) Update(ctx context.Context, change func(Validities) bool) error {
	err := swapUntil(ctx, c.store, ValidityKey, "update the validities", func() ([]byte, Version, error) {
		r, version, err := c.read(ctx)
		if err != nil {
			return nil, version, err
		}
		all := r.validities()
		if !change(all) {
			return nil, version, errUnchanged
		}
		now := c.now().UTC().Round(0)
		r.Answers = r.Answers[:0]
		for _, key := range slices.SortedFunc(maps.Keys(all), func(a, b AnswerKey) int {
			return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Answer, b.Answer))
		}) {
			v := all[key]
			if v.Bounded() && (v.Gone == nil || now.Sub(*v.Gone) < goneFor) {
				r.Answers = append(r.Answers, v)
			}
		}
		r.Version++
		r.UpdatedAt = now
		b, err := seal(kindValidity, r)
		if err == nil && len(b) > MaxRecord {
			err = fmt.Errorf("update the validities: %w", ErrTooLarge)
		}
		return b, version, err
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// errUnchanged ends an update that has nothing to write.
var errUnchanged = errors.New("unchanged")
