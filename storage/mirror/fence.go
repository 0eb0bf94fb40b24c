package mirror

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nexus-continuum/nexus/storage"
)

// checkFence is storage.ErrFenced if the head that a save is about to write is of
// a trainer that was replaced by one on another host: that one's saves are in
// the bucket, and may not have reached this folder yet. While the bucket cannot
// be asked the lease alone decides.
func (s *Store) checkFence(ctx context.Context, body []byte) error {
	var next struct{ Body storage.Head }
	if err := json.Unmarshal(body, &next); err != nil || next.Body.Why != storage.HeadSaved {
		return nil //nolint:nilerr // what no save wrote has no trainer
	}
	var there content
	err := s.within(ctx, s.opt.Timeout, func(ctx context.Context) (err error) {
		there, err = read(ctx, s.remote, headKey)
		return err
	})
	if err != nil || there.absent() {
		return nil //nolint:nilerr // the queue compares the two once the bucket answers
	}
	var now struct{ Body storage.Head }
	//nolint:nilerr // a head that cannot be read has no newer trainer
	if s.accept(headKey, there) != nil || json.Unmarshal(there.bytes, &now) != nil || now.Body.Fence <= next.Body.Fence {
		return nil
	}
	s.Kick()
	return fmt.Errorf("write %s: token %d, the bucket's head has %d: %w", headKey, next.Body.Fence, now.Body.Fence, storage.ErrFenced)
}
