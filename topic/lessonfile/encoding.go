package lessonfile

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"

	"github.com/nexus-continuum/nexus/job"
)

// Names of encodings that are found out by themselves.
const (
	encodingUTF8        = "utf-8"
	encodingUTF16LE     = "utf-16le"
	encodingUTF16BE     = "utf-16be"
	encodingWindows1252 = "windows-1252"
)

// detect finds the encoding of a text. What is no UTF-8 and has no mark is taken
// for Windows-1252, the usual one of Western Excel; the caller is told.
func detect(head []byte, body *io.SectionReader, given string) (string, error) {
	if mark := marked(head); mark != "" {
		return mark, nil
	}
	if given != "" {
		name, err := known(given)
		return name, err
	}
	even, odd := 0, 0
	for i, b := range head[:min(len(head), 4096)] {
		if b == 0 {
			if i%2 == 0 {
				even++
			} else {
				odd++
			}
		}
	}
	looked := min(len(head), 4096)
	switch {
	case odd*4 > looked && even*8 < looked:
		return encodingUTF16LE, nil
	case even*4 > looked && odd*8 < looked:
		return encodingUTF16BE, nil
	case even+odd > 0:
		return "", unsupported("this is no text")
	}
	good, bad, err := tally(body)
	if err != nil {
		return "", err
	}
	if bad == 0 || good > bad {
		return encodingUTF8, nil
	}
	return encodingWindows1252, nil
}

// marked reads the byte order mark.
func marked(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		return encodingUTF8
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		return encodingUTF16LE
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		return encodingUTF16BE
	}
	return ""
}

// known finds an encoding by any of its names.
func known(name string) (string, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case encodingUTF16LE, encodingUTF16BE:
		return name, nil
	case "utf-16":
		return encodingUTF16LE, nil
	case "us-ascii", "ascii":
		return encodingUTF8, nil
	}
	e, err := htmlindex.Get(name)
	if err != nil {
		return "", job.Errorf(job.CodeInvalid, "the encoding %q is not known; usual ones are utf-8, utf-16, windows-1252", job.Clip(name, 40)).On("encoding")
	}
	canonical, err := htmlindex.Name(e)
	if err != nil {
		return "", job.Errorf(job.CodeInvalid, "the encoding %q cannot be read", job.Clip(name, 40)).On("encoding")
	}
	return canonical, nil
}

// tally counts the characters beyond ASCII that are UTF-8 and the bytes that are
// not.
func tally(r io.ReadSeeker) (good, bad int, err error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return 0, 0, err
	}
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		c, n, err := b.ReadRune()
		switch {
		case errors.Is(err, io.EOF):
			_, err = r.Seek(0, io.SeekStart)
			return good, bad, err
		case err != nil:
			return 0, 0, err
		case c == utf8.RuneError && n == 1:
			bad++
		case n > 1:
			good++
		}
	}
}

func decoder(name string) encoding.Encoding {
	switch name {
	case encodingUTF16LE:
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case encodingUTF16BE:
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	case encodingWindows1252:
		return charmap.Windows1252
	case encodingUTF8:
		return nil
	}
	e, err := htmlindex.Get(name)
	if err != nil {
		return nil
	}
	return e
}

// decoded is body in UTF-8, without the byte order mark and with one kind of
// line end, and the text with which it begins.
func decoded(body io.Reader, head []byte, name string) (r io.Reader, start string, err error) {
	skip := 0
	switch mark := marked(head); {
	case mark == encodingUTF8 && name == encodingUTF8:
		skip = 3
	case mark == name && mark != "":
		skip = 2
	}
	if _, err := io.CopyN(io.Discard, body, int64(skip)); err != nil {
		return nil, "", err
	}
	if e := decoder(name); e != nil {
		body = e.NewDecoder().Reader(body)
	}
	b := bufio.NewReaderSize(&lineEnds{r: body}, sniffBytes)
	peeked, err := b.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, "", err
	}
	return b, string(peeked), nil
}

// lineEnds turns the line ends of Windows and of old Macs into \n.
type lineEnds struct {
	r       io.Reader
	afterCR bool
}

func (l *lineEnds) Read(p []byte) (int, error) {
	for {
		n, err := l.r.Read(p)
		out := p[:0]
		for _, c := range p[:n] {
			if c == '\n' && l.afterCR {
				l.afterCR = false
				continue
			}
			l.afterCR = c == '\r'
			if l.afterCR {
				c = '\n'
			}
			out = append(out, c)
		}
		if len(out) > 0 || err != nil || n == 0 {
			return len(out), err
		}
	}
}
