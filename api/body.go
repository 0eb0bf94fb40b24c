package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

const (
	// maxJSON limits the small bodies. The longest prompt takes 48 000 bytes with every
	// character escaped, and the longest response 384 000. A prompt of 1 MiB is still
	// read, so that the error can say that it is too long.
	maxJSON = 2 << 20

	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeCSV    = "text/csv"
	typeTSV    = "text/tab-separated-values"
)

// mediaType returns the request's content type. It must be one of want, in UTF-8.
func mediaType(c echo.Context, want ...string) (string, error) { //nolint:unparam // the type that was sent, for a route that takes several
	t, charset, err := mediaTypeIn(c, want...)
	if err == nil && charset != "" {
		return "", notUTF8(charset)
	}
	return t, err
}

func notUTF8(charset string) error {
	return job.Errorf(job.CodeUnsupportedType, "the body must be UTF-8, not %s", job.Clip(charset, 40))
}

// mediaTypeIn also returns the charset if it is not UTF-8. The error names only the
// first three types in want.
func mediaTypeIn(c echo.Context, want ...string) (kind, charset string, err error) {
	h := c.Request().Header
	wanted := strings.Join(want[:min(len(want), 3)], " or ")
	if enc := h.Get(echo.HeaderContentEncoding); enc != "" && !strings.EqualFold(enc, "identity") {
		return "", "", job.Errorf(job.CodeUnsupportedType, "the body is encoded with %s; send it as it is", job.Clip(enc, 40))
	}
	given := h.Get(echo.HeaderContentType)
	if given == "" {
		return "", "", job.Errorf(job.CodeUnsupportedType, "the content type is missing; set the header Content-Type: %s", wanted)
	}
	t, params, err := mime.ParseMediaType(given)
	if err != nil {
		return "", "", job.Errorf(job.CodeUnsupportedType, "the content type %q cannot be read; set the header Content-Type: %s", job.Clip(given, 80), wanted)
	}
	if cs := params["charset"]; !strings.EqualFold(cs, "utf-8") && !strings.EqualFold(cs, "us-ascii") {
		charset = cs
	}
	for _, w := range want {
		if t == w {
			return t, charset, nil
		}
	}
	if t == "application/x-www-form-urlencoded" {
		return "", "", job.Errorf(job.CodeUnsupportedType,
			"the content type is %s, which curl -d sends unless told otherwise; add -H 'Content-Type: %s'", t, want[0])
	}
	return "", "", job.Errorf(job.CodeUnsupportedType, "the content type is %s; this route takes %s", job.Clip(t, 80), wanted)
}

// readBody reads the whole body, up to limit bytes.
func readBody(c echo.Context, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, limit))
	if err == nil {
		return body, nil
	}
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(tooBig.Limit)
	}
	return nil, job.Errorf(job.CodeInvalid, "the body broke off before its end").Because(err)
}

// jsonBody reads a JSON object into fields.
func jsonBody(c echo.Context, fields ...field) error {
	if _, err := mediaType(c, typeJSON); err != nil {
		return err
	}
	body, err := readBody(c, maxJSON)
	if err != nil {
		return err
	}
	return decodeObject(body, fields...)
}

// field is a member of a JSON object and where its value goes.
type field struct {
	name string
	into any
	// set, if not nil, is set to whether the member was present.
	set *bool
}

// decodeObject reads one JSON object strictly. Names must match exactly, unknown and
// repeated names are refused, and nothing may follow. Every error names its position.
func decodeObject(body []byte, fields ...field) error {
	if i := invalidUTF8(body); i >= 0 {
		return job.Errorf(job.CodeNotUTF8, "the body is not UTF-8: byte %d (0x%02x) does not belong to any character", i+1, body[i])
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return job.Errorf(job.CodeBadJSON, "the body is empty; send a JSON object with %s", names(fields))
	}
	d := json.NewDecoder(bytes.NewReader(body))
	start, err := d.Token()
	if err != nil {
		return badJSON(body, d, err)
	}
	if start != json.Delim('{') {
		return job.Errorf(job.CodeBadJSON, "the body must be a JSON object with %s", names(fields))
	}
	seen := make([]bool, len(fields))
	for d.More() {
		if err := decodeMember(body, d, fields, seen); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return badJSON(body, d, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return job.Errorf(job.CodeBadJSON, "something follows the JSON object at %s", position(body, d.InputOffset()))
	}
	return nil
}

func decodeMember(body []byte, d *json.Decoder, fields []field, seen []bool) error {
	token, err := d.Token()
	if err != nil {
		return badJSON(body, d, err)
	}
	name, ok := token.(string)
	if !ok {
		return job.Errorf(job.CodeBadJSON, "a name is expected at %s", position(body, d.InputOffset()))
	}
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		return badJSON(body, d, err)
	}
	for i, f := range fields {
		if f.name != name {
			continue
		}
		if seen[i] {
			return job.Errorf(job.CodeBadJSON, "%q is there twice", name).On(name)
		}
		seen[i] = true
		if f.set != nil {
			*f.set = true
		}
		return decodeValue(name, value, f.into)
	}
	return job.Errorf(job.CodeUnknownField, "unknown field %q; known: %s", job.Clip(name, 80), names(fields)).On(job.Clip(name, 80))
}

func decodeValue(name string, value json.RawMessage, into any) error {
	if raw, ok := into.(*json.RawMessage); ok {
		*raw = value
		return nil
	}
	if _, list := into.(*[]json.RawMessage); list {
		// Each member is decoded separately later.
	} else if code := loneSurrogate(value); code != "" {
		return job.Errorf(job.CodeInvalid, "%q holds %s, which is half of a character; remove it or write its other half too", name, code).On(name)
	}
	err := json.Unmarshal(value, into)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return job.Errorf(job.CodeInvalid, "%q must be %s, not %s", name, kindName(e.Type.Kind().String()), e.Value).On(name)
	}
	return job.Errorf(job.CodeInvalid, "%q cannot be read", name).On(name).Because(err)
}

func kindName(kind string) string {
	switch kind {
	case "string":
		return "a string"
	case "bool":
		return "true or false"
	case "slice":
		return "a list"
	case "struct", "map":
		return "an object"
	}
	return "a whole number"
}

func names(fields []field) string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return strings.Join(out, ", ")
}

func badJSON(body []byte, d *json.Decoder, err error) error {
	at := d.InputOffset()
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		// The offset includes the faulty byte.
		at = max(at, e.Offset-1)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return job.Errorf(job.CodeBadJSON, "the JSON ends too early, at %s", position(body, int64(len(body))))
	}
	return job.Errorf(job.CodeBadJSON, "the JSON is broken at %s: %s", position(body, at), strings.TrimPrefix(err.Error(), "json: "))
}

// position converts an offset to a line and a character, both counted from one.
func position(body []byte, offset int64) string {
	before := body[:min(max(offset, 0), int64(len(body)))]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("line %d, character %d", line, column)
}

// invalidUTF8 returns the offset at which b stops being UTF-8, or -1.
func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// loneSurrogate finds an escape that is half of a character. The decoder would silently
// replace it with a question mark.
func loneSurrogate(raw []byte) string {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++ // what is escaped
		high, ok := escape(raw, i)
		switch {
		case !ok:
		case high >= 0xdc00 && high <= 0xdfff:
			return string(raw[i-1 : i+5])
		case high >= 0xd800 && high <= 0xdbff:
			low, ok := escape(raw, i+6)
			if !ok || raw[i+5] != '\\' || low < 0xdc00 || low > 0xdfff {
				return string(raw[i-1 : i+5])
			}
			i += 10
		}
	}
	return ""
}

// escape reads uXXXX at i.
func escape(raw []byte, i int) (uint64, bool) {
	if i+5 > len(raw) || raw[i] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(raw[i+1:i+5]), 16, 16)
	return n, err == nil
}
