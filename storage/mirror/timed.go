package mirror

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// timed bounds how long a bucket may take to begin an answer and to go on
// with it: one that hangs must not hold up whoever reads.
type timed struct {
	storage.Store
	timeout time.Duration
}

// Get opens an object; a body that stands still for the timeout is cut.
func (p *timed) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(p.timeout, cancel)
	body, err := p.Store.Get(ctx, key)
	if err != nil {
		timer.Stop()
		cancel()
		return nil, away(ctx, err)
	}
	return &moving{ReadCloser: body, ctx: ctx, cancel: cancel, timer: timer, timeout: p.timeout}, nil
}

// moving is a body that has to keep coming.
type moving struct {
	io.ReadCloser
	ctx     context.Context //nolint:containedctx // that of the request whose body it is
	cancel  context.CancelFunc
	timer   *time.Timer
	timeout time.Duration
}

func (m *moving) Read(b []byte) (int, error) {
	m.timer.Reset(m.timeout)
	n, err := m.ReadCloser.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // io.EOF comes bare from a reader
		err = away(m.ctx, err)
	}
	return n, err
}

func (m *moving) Close() error {
	m.timer.Stop()
	defer m.cancel()
	return m.ReadCloser.Close()
}

// Read reads a small object.
func (p *timed) Read(ctx context.Context, key string) ([]byte, storage.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	b, v, err := p.Store.Read(ctx, key)
	return b, v, away(ctx, err)
}

// Stat describes an object.
func (p *timed) Stat(ctx context.Context, key string) (storage.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	i, err := p.Store.Stat(ctx, key)
	return i, away(ctx, err)
}

// away gives an answer that did not come in time its meaning.
func away(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: no answer in time: %w", storage.ErrUnavailable, err)
	}
	return err
}
