package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
)

// lastWord is how the last try of one exchange with the server was refused. The
// client tries again for as long as its caller has patience and then tells of
// the patience alone, which would have an ill server look like a slow one.
type lastWord struct{ atomic.Pointer[refusal] }

type lastWordKey struct{}

// refusal is an answer that says no, or the error in place of an answer.
type refusal struct {
	err    error
	status int
	body   bytes.Buffer // as far as the client has read it
}

// listen returns a context in which the server's last word is kept for fail.
func listen(ctx context.Context) context.Context {
	return context.WithValue(ctx, lastWordKey{}, &lastWord{})
}

// heard is the server's last refusal in the exchange of ctx, nil if none.
func heard(ctx context.Context) error {
	word, ok := ctx.Value(lastWordKey{}).(*lastWord)
	if !ok {
		return nil
	}
	last := word.Load()
	switch {
	case last == nil:
		return nil
	case last.err != nil:
		return last.err
	}
	said := minio.ErrorResponse{}
	_ = xml.Unmarshal(last.body.Bytes(), &said) // the status is all that some servers say
	if said.Code == "" {
		said.Code = http.StatusText(last.status)
	}
	return fmt.Errorf("%s (%d)", said.Code, last.status)
}

// listening keeps the last word of each exchange.
type listening struct{ http.RoundTripper }

func (l listening) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	word, ok := r.Context().Value(lastWordKey{}).(*lastWord)
	switch {
	case !ok:
	case err != nil:
		if !patienceOver(err) {
			word.Store(&refusal{err: err})
		}
	case resp.StatusCode >= http.StatusBadRequest:
		said := &refusal{status: resp.StatusCode}
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(resp.Body, &said.body), resp.Body}
		word.Store(said)
	}
	return resp, err
}
