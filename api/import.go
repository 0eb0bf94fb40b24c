package api

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/topic/lessonfile"
)

// importFile is POST /api/import: a file of any usual format, as the body or as a part
// of a form. With ?dry_run=true it only reports what was understood.
func (s *Server) importFile(c echo.Context) error {
	if err := onlyQuery(c, "dry_run", "filename", "prompt", "response", "topic", "encoding", "header", "on_error", "webhook", "webhook_events"); err != nil {
		return err
	}
	dry, err := flag(c, "dry_run", false)
	if err != nil {
		return err
	}
	header, err := flag(c, "header", true)
	if err != nil {
		return err
	}
	skip, err := onError(c)
	if err != nil {
		return err
	}
	h, err := s.queryHook(c)
	if err != nil {
		return err
	}
	if !dry {
		// Redis is checked before the upload, so that nobody sends 256 MiB in vain.
		if err := s.queue.Ping(c.Request().Context()); err != nil {
			return err
		}
	}
	up := &upload{hash: sha256.New()}
	_, _ = fmt.Fprintf(up.hash, "%s\n%s\n", c.Request().Method, c.Request().URL.RequestURI())
	if dry {
		return s.withFile(c, up, !header, func(f *lessonfile.File) error {
			p, err := s.preview(c.Request().Context(), f, up.source)
			if err != nil {
				return err
			}
			return s.send(c, func(echo.Context) (reply, error) { return reply{status: http.StatusOK, body: p}, nil })
		})
	}
	return s.onceStreaming(c, largeBody{
		do: func(c echo.Context) (r reply, err error) {
			err = s.withFile(c, up, !header, func(*lessonfile.File) (err error) {
				r, err = s.taught(c, up, skip, h)
				return err
			})
			return r, err
		},
		skim: func(c echo.Context) error {
			spooled, _, err := s.receive(c, up.hash)
			if err != nil {
				return err
			}
			return spooled.Close()
		},
		digest: up.digest,
	})
}

// withFile receives the file of an import and passes it to do.
func (s *Server) withFile(c echo.Context, up *upload, noHeader bool, do func(*lessonfile.File) error) error {
	spooled, opt, err := s.receive(c, up.hash)
	if err != nil {
		return err
	}
	defer spooled.Close()
	opt.Prompt, opt.Response, opt.Topic = c.QueryParam("prompt"), c.QueryParam("response"), c.QueryParam("topic")
	if e := c.QueryParam("encoding"); e != "" {
		opt.Encoding = e
	}
	opt.NoHeader = noHeader
	f, err := lessonfile.Open(spooled, spooled.size, opt)
	if err != nil {
		return err
	}
	defer f.Close()
	up.source = &fileLessons{f}
	return do(f)
}

// flag reads ?name=true.
func flag(c echo.Context, name string, otherwise bool) (bool, error) {
	v := c.QueryParam(name)
	if v == "" {
		return otherwise, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, job.Errorf(job.CodeInvalid, "%s is %q; it may be true or false", name, job.Clip(v, 40)).On(name)
	}
	return b, nil
}

// receive reads the file, from a form if it is one, and the sender's options for it.
// hash receives the bytes of the file.
func (s *Server) receive(c echo.Context, hash io.Writer) (*spool, lessonfile.Options, error) {
	var opt lessonfile.Options
	if enc := c.Request().Header.Get(echo.HeaderContentEncoding); enc != "" && enc != "identity" {
		return nil, opt, job.Errorf(job.CodeUnsupportedType, "the body is encoded with %s; send it as it is", job.Clip(enc, 40))
	}
	opt.Name = c.QueryParam("filename")
	kind, params, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil {
		kind = ""
	}
	s.allowToSend(c, uploadTimeout)
	body := io.Reader(http.MaxBytesReader(c.Response(), c.Request().Body, maxUpload))
	if kind == "multipart/form-data" {
		form := multipart.NewReader(body, params["boundary"])
		for {
			part, err := form.NextPart()
			if errors.Is(err, io.EOF) {
				return nil, opt, job.Errorf(job.CodeInvalid, `the form has no file; send it as the part "file": curl -F file=@faq.csv`).On("file")
			}
			if err != nil {
				return nil, opt, brokenOff(err)
			}
			if part.FormName() != "file" && part.FileName() == "" {
				continue
			}
			if opt.Name == "" {
				opt.Name = part.FileName()
			}
			if kind, params, err = mime.ParseMediaType(part.Header.Get(echo.HeaderContentType)); err != nil {
				kind = ""
			}
			body = part
			break
		}
	}
	opt.Type, opt.Encoding = kind, params["charset"]
	spooled, err := newSpool(io.TeeReader(body, hash))
	if err != nil {
		return nil, opt, brokenOff(err)
	}
	return spooled, opt, nil
}

// fileLessons yields the lessons of a file.
type fileLessons struct{ file *lessonfile.File }

func (f *fileLessons) next() (taughtLesson, *job.Fault, error) {
	l, fault, err := f.file.Next()
	if errors.Is(err, io.EOF) {
		return taughtLesson{}, nil, errEnd
	}
	if err != nil || fault != nil {
		return taughtLesson{}, fault, err
	}
	out := taughtLesson{Lesson: storage.Lesson{Prompt: l.Prompt, Response: l.Response, Topic: l.Topic}, when: when{draft: l.Draft}}
	if l.From != nil {
		out.when.from = &bound{l.From}
	}
	if l.Until != nil {
		out.when.until = &bound{l.Until}
	}
	if err := cmp.Or(checkLesson(out.Lesson), checkWhen(out.when.on(storage.Validity{}))); err != nil {
		return out, faultOn(l.Line, err), nil
	}
	return out, nil, nil
}

// spool is a received file with random access. It is stored in a temporary file without
// a name.
type spool struct {
	*os.File
	size int64
}

func newSpool(r io.Reader) (*spool, error) {
	f, err := os.CreateTemp("", "nexus-import-")
	if err != nil {
		return nil, stored("take the file", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(stored("take the file", err), f.Close())
	}
	n, err := io.Copy(f, r)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &spool{f, n}, nil
}
