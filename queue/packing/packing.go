// Package packing shortens the JSON of results before Redis stores it.
//
// It writes one byte for each phrase that results have in common, and ids as raw bytes.
// A short answer with three sources takes 240 bytes instead of 750, in 3 µs. Deflate
// alone takes 230 bytes, but 13 to 40 µs. A long result is deflated as well.
package packing

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	deflate "github.com/klauspost/compress/flate"

	"github.com/nexus-continuum/nexus/job"
)

const (
	// ownID stands for the id of the job itself.
	ownID = 0x01
	// anyID stands before the 16 bytes of another id.
	anyID = 0x02
	// firstPhrase is the code of phrases[0]. Codes are control characters, which JSON
	// does not contain.
	firstPhrase = 0x03

	// The first byte says how a result is stored. JSON begins with none of them.
	shortened, deflated = 's', 'z'
	// deflateFrom is the length from which the time to deflate is worth it.
	deflateFrom = 1024
)

// phrases are what the results of jobs have in common. Stored results need them to be
// read: change none, and append at most 6 more.
var phrases = []string{
	`{"job_id":"`, `","interaction_id":"`, `","response":"`, `","responded":true,"reason":null,"confidence":0.`,
	`","responded":true,"reason":null,"confidence":1,`, `","responded":false,"reason":"low_confidence","confidence":0.`,
	`","responded":false,"reason":"`, `","confidence":0.`, `"threshold":0.`, `,"topic":null,"sources":[`, `,"topic":"`, `","sources":[`, `"lesson_id":"`,
	`","prompt":"`, `","similarity":0.`, `","similarity":1}`, `],"flow":{"depth":`, `,"converged":true,"residual":`, `},"checkpoint":"`,
	`","timing":{"queue_ms":`, `,"compute_ms":`, `,"total_ms":`, `I am not sure enough of the answer to give it.`,
}

var replacePhrases = func() *strings.Replacer {
	var pairs []string
	for i, p := range phrases {
		pairs = append(pairs, p, string(rune(firstPhrase+i)))
	}
	return strings.NewReplacer(pairs...)
}()

// Pack shortens the JSON of the result of job id.
func Pack(id string, result []byte) []byte {
	if len(result) < 64 {
		return result
	}
	if len(result) >= deflateFrom {
		b := bytes.NewBuffer(make([]byte, 0, len(result)/2))
		b.WriteByte(deflated)
		if err := deflate.StatelessDeflate(b, result, true, []byte(deflateDictionary)); err == nil && b.Len() < len(result) {
			return b.Bytes()
		}
		return result
	}
	return shortIDs(id, replacePhrases.Replace(string(result)))
}

// Unpack undoes Pack.
func Unpack(id, s string) (b json.RawMessage, err error) {
	switch {
	case s == "":
		return nil, nil
	case s[0] == shortened:
		b, err = expand(id, s[1:])
	case s[0] == deflated:
		b, err = io.ReadAll(flate.NewReaderDict(strings.NewReader(s[1:]), []byte(deflateDictionary)))
	default:
		b = []byte(s)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack a result: %w", err)
	}
	return b, nil
}

// shortIDs replaces each id that is a whole string by its bytes.
func shortIDs(own, s string) []byte {
	out := append(make([]byte, 0, len(s)+1), shortened)
	ends := func(i int) bool { return s[i] == '"' || s[i] < ' ' }
	for i := 0; i < len(s); i++ {
		if to := i + job.IDLength; i > 0 && ends(i-1) && to < len(s) && ends(to) {
			if s[i:to] == own {
				out, i = append(out, ownID), to
			} else if raw, ok := rawID(s[i:to]); ok {
				out, i = append(append(out, anyID), raw[:]...), to
			}
		}
		out = append(out, s[i])
	}
	return out
}

// rawID returns the bytes of an id; false if expand would not write it as it was.
func rawID(text string) (raw [16]byte, ok bool) {
	if text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' || strings.ContainsAny(text, "ABCDEF") {
		return raw, false
	}
	digits := strings.ReplaceAll(text, "-", "")
	if len(digits) != hex.EncodedLen(len(raw)) {
		return raw, false
	}
	_, err := hex.Decode(raw[:], []byte(digits))
	return raw, err == nil
}

// expand undoes shortIDs and replacePhrases.
func expand(own, s string) ([]byte, error) {
	out := make([]byte, 0, 4*len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= ' ':
			out = append(out, c)
		case c == ownID:
			out = append(out, own...)
		case c == anyID && i+16 < len(s):
			raw := []byte(s[i+1 : i+17])
			i += 16
			for j, part := range [][]byte{raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:]} {
				if j > 0 {
					out = append(out, '-')
				}
				out = hex.AppendEncode(out, part)
			}
		case c >= firstPhrase && int(c-firstPhrase) < len(phrases):
			out = append(out, phrases[c-firstPhrase]...)
		default:
			return nil, fmt.Errorf("byte %d has no meaning", i)
		}
	}
	return slices.Clip(out), nil
}

// deflateDictionary is needed to read what was deflated: do not change it.
const deflateDictionary = `"low_confidence","ambiguous","unfamiliar","untaught","taught_refusal","not_converged",` +
	`I am not sure enough of the answer to give it. This is unlike anything that I was taught.` +
	`{"dataset":"019","topic":"","lessons_taken":1,"lessons_known":0,"lessons_removed":0,"lessons_skipped":0,"steps":` +
	`"before":{"prompts":,"accuracy":,"answered":,"wrong_answered":,"foreign_refused":,"threshold":},"after":null,"checkpoint":"","promoted":true,"why":""}` +
	`{"job_id":"019","interaction_id":"019","response":"","responded":true,"reason":null,"confidence":0.9,"threshold":0.7,"topic":null,` +
	`"sources":[{"lesson_id":"019","prompt":"how do I ","similarity":0.9},{"lesson_id":"019","prompt":"What is the ","similarity":0.8}],` +
	`"flow":{"depth":1,"converged":true,"residual":0.0000},"checkpoint":"019","timing":{"queue_ms":0.,"compute_ms":1.,"total_ms":2.}}`
