package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
)

// lastWord is how the last try of one exchange with the server was refused. The
// client tries again for as long as its caller has patience and then tells of
// the patience alone, which would have an ill server look like a slow one.
type lastWord struct{ refusal atomic.Pointer[error] }

type lastWordKey struct{}

// listen returns a context in which the server's last word is kept for fail.
func listen(ctx context.Context) context.Context {
	return context.WithValue(ctx, lastWordKey{}, &lastWord{})
}

// heard is the server's last refusal in the exchange of ctx, nil if none.
func heard(ctx context.Context) error {
	if w, ok := ctx.Value(lastWordKey{}).(*lastWord); ok {
		if refusal := w.refusal.Load(); refusal != nil {
			return *refusal
		}
	}
	return nil
}

// listening keeps the last word of each exchange.
type listening struct{ http.RoundTripper }

// maxRefusal is how much of a refusal is read for its code; the whole goes on
// to who asked.
const maxRefusal = 16 << 10

func (l listening) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	word, ok := r.Context().Value(lastWordKey{}).(*lastWord)
	switch {
	case !ok:
	case err != nil:
		if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			word.refusal.Store(&err)
		}
	case resp.StatusCode >= http.StatusBadRequest:
		b, cut := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
		resp.Body = goingOn{io.MultiReader(bytes.NewReader(b), failed{cut}, resp.Body), resp.Body}
		said := minio.ErrorResponse{}
		_ = xml.Unmarshal(b, &said) // the status is all that some servers say
		if said.Code == "" {
			said.Code = http.StatusText(resp.StatusCode)
		}
		refusal := fmt.Errorf("%s (%d)", said.Code, resp.StatusCode)
		word.refusal.Store(&refusal)
	}
	return resp, err
}

// goingOn is a body whose beginning was read already.
type goingOn struct {
	io.Reader
	io.Closer
}

// failed reads as the error that the beginning ended with, or as nothing.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}
