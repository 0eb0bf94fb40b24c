package s3

import (
	"bufio"
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

// lastResponse keeps how the last try of one exchange with the server was
// refused. The client tries again until its caller's deadline and then reports
// only the deadline, so that a failing server looks like a slow one. It also
// leaves out the headers that name the cause.
type lastResponse struct{ atomic.Pointer[refusal] }

type lastResponseKey struct{}

// refusal is an answer that says no, or the error in place of an answer.
type refusal struct {
	err    error
	status int
	header http.Header
	body   bytes.Buffer // as far as the client has read it
}

// errorResponse is the body of the answer; zero if it has none.
func (r *refusal) errorResponse() minio.ErrorResponse {
	said := minio.ErrorResponse{}
	_ = xml.Unmarshal(r.body.Bytes(), &said) // the status is all that some servers say
	return said
}

func (r *refusal) text() string { return r.body.String() }

// watch returns a context in which the server's last refusal is kept for fail.
func watch(ctx context.Context) context.Context {
	return context.WithValue(ctx, lastResponseKey{}, &lastResponse{})
}

// lastAnswer is the server's last refusal in the exchange of ctx; an empty one if
// there was none.
func lastAnswer(ctx context.Context) *refusal {
	if kept, ok := ctx.Value(lastResponseKey{}).(*lastResponse); ok {
		if last := kept.Load(); last != nil {
			return last
		}
	}
	return &refusal{}
}

// lastError is lastAnswer as an error, nil if there was none.
func lastError(ctx context.Context) error {
	last := lastAnswer(ctx)
	switch {
	case last.err != nil:
		return last.err
	case last.status == 0:
		return nil
	}
	code := last.errorResponse().Code
	if code == "" {
		code = http.StatusText(last.status)
	}
	return fmt.Errorf("%s (%d)", code, last.status)
}

// recorder keeps the last refusal of each exchange.
type recorder struct{ http.RoundTripper }

func (l recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	kept, ok := r.Context().Value(lastResponseKey{}).(*lastResponse)
	switch {
	case !ok:
	case err != nil:
		if !gaveUp(err) {
			kept.Store(&refusal{err: err})
		}
	case resp.StatusCode >= http.StatusMultipleChoices:
		refused := &refusal{status: resp.StatusCode, header: resp.Header}
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(resp.Body, &refused.body), resp.Body}
		kept.Store(refused)
	default:
		kept.Store(nil)
	}
	if err == nil && resp.StatusCode == http.StatusOK && r.URL.Query().Has("list-type") {
		resp.Body = listing(resp.Body)
	}
	return resp, err
}

var errNotS3 = errors.New("no ListBucketResult in a listing")

// refuse is what is read in place of another document.
type refuse struct{}

func (refuse) Read([]byte) (int, error) { return 0, errNotS3 }

// listing lets a listing through. The client takes any other document, such as
// the sign-in page of a proxy, for a listing of no objects: from it comes errNotS3.
func listing(body io.ReadCloser) io.ReadCloser {
	b := bufio.NewReader(body)
	var r io.Reader = b
	if start, err := b.Peek(512); (err == nil || errors.Is(err, io.EOF)) && !bytes.Contains(start, []byte("ListBucketResult")) {
		r = refuse{}
	}
	return struct {
		io.Reader
		io.Closer
	}{r, body}
}
