package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/outbox"
)

// Body is what a receiver gets. Data has the job's id; that of a result event
// is the whole job object.
type Body struct {
	Type      string          `json:"type"` // state, progress or result
	Timestamp *job.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
}

// errGone means that the receiver wants no more.
var errGone = errors.New("the receiver answered 410")

// handle sends one event and tells the queue what became of it.
func (d *Deliverer) handle(ctx context.Context, p outbox.Delivery) {
	err := d.send(ctx, p)
	stopping := ctx.Err() != nil
	ctx = context.WithoutCancel(ctx) // what became of it is told also while stopping
	log := d.opt.Log.With("job", p.JobID, "receiver", host(p.URL), "event", p.Type)
	var told error
	switch {
	case err == nil:
		told = d.opt.Outbox.Delivered(ctx, p)
	case stopping:
		told = d.opt.Outbox.Postpone(ctx, p, p.Failures, 0)
	default:
		failures := p.Failures + 1
		rest, again := d.opt.Rest(failures)
		if again && !errors.Is(err, errGone) && !errors.Is(err, ErrForbidden) {
			log.Info("a webhook was not taken; it is sent again", "after", rest, "failures", failures, "error", err)
			told = d.opt.Outbox.Postpone(ctx, p, failures, rest)
			break
		}
		var n int
		n, told = d.opt.Outbox.Drop(ctx, p)
		log.Warn("a webhook was given up; what waits for it is dropped", "events", n, "failures", failures, "error", err)
	}
	if told != nil {
		log.Warn("what became of a webhook could not be written; it may be sent twice", "error", told)
	}
}

// send makes one request. The id is that of the event, the same at every try.
func (d *Deliverer) send(ctx context.Context, p outbox.Delivery) error {
	if err := d.opt.Guard.Check(p.URL); err != nil {
		return fmt.Errorf("%w: %w", ErrForbidden, err)
	}
	body, err := json.Marshal(Body{Type: p.Type, Timestamp: job.At(p.At), Data: p.Data})
	if err != nil {
		return fmt.Errorf("encode event %s: %w", p.EventID, err)
	}
	id, now := "msg_"+p.JobID+"_"+p.EventID, d.opt.Now()
	signature, err := d.signer.Sign(id, now, body)
	if err != nil {
		return fmt.Errorf("sign event %s: %w", p.EventID, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call the receiver: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "nexus-webhook")
	req.Header.Set(standard.HeaderWebhookID, id)
	req.Header.Set(standard.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standard.HeaderWebhookSignature, signature)
	answer, err := d.client.Do(req)
	if err != nil {
		// The URL may hold a token of the receiver's.
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return fmt.Errorf("call the receiver: %w", err)
	}
	defer answer.Body.Close()
	// A short rest is read so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, answer.Body, 4<<10)
	switch {
	case answer.StatusCode == http.StatusGone:
		return errGone
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		return fmt.Errorf("the receiver answered %d", answer.StatusCode)
	}
	return nil
}

func host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}
