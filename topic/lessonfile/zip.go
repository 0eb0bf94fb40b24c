package lessonfile

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/nexus-continuum/nexus/job"
)

// openZip reads what comes as a zip: XLSX, a Dialogflow ES export, a Rasa
// project, or one readable file.
func openZip(r io.ReaderAt, size int64, opt Options) (*File, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, unreadable("the zip is damaged and cannot be opened")
	}
	if len(z.File) > maxEntries {
		return nil, unreadable("the zip holds %d files, more than the %d that are read", len(z.File), maxEntries)
	}
	var intents, rasa, single []*zip.File
	for _, f := range z.File {
		name := strings.TrimPrefix(path.Clean("/"+f.Name), "/")
		switch ext := strings.ToLower(path.Ext(name)); {
		case name == "xl/workbook.xml":
			return openSheets(r, size, opt)
		case name == "word/document.xml":
			return nil, unsupported("this is a Word document: save it as a web page or a table")
		case f.FileInfo().IsDir() || strings.HasPrefix(path.Base(name), ".") || strings.HasPrefix(name, "__MACOSX/"):
		case ext == ".json" && path.Base(path.Dir(name)) == "intents":
			intents = append(intents, f)
		case ext == ".yml" || ext == ".yaml":
			rasa = append(rasa, f)
		case ext != "":
			single = append(single, f)
		}
	}
	u := &unzipper{left: maxUnzipped}
	switch {
	case len(intents) > 0:
		return openDialogflow(u, intents, opt)
	case len(rasa) > 0:
		var all []byte
		for _, f := range rasa {
			body, err := u.read(f)
			if err != nil {
				return nil, err
			}
			all = append(append(all, "\n---\n"...), body...)
		}
		return openRasa(all, opt)
	case len(single) == 1:
		body, err := u.read(single[0])
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(body, []byte("PK\x03\x04")) {
			return nil, unsupported("this is a zip in a zip")
		}
		opt.Name, opt.Type = single[0].Name, ""
		return Open(bytes.NewReader(body), int64(len(body)), opt)
	}
	return nil, unsupported("this zip holds %d files and is no export that is known; send one of them", len(z.File))
}

// unzipper reads files of a zip within bounds, whatever the zip says of their
// sizes.
type unzipper struct{ left int64 }

func (u *unzipper) read(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, unreadable("%q in the zip cannot be opened", job.Clip(f.Name, 80))
	}
	defer r.Close()
	most := min(int64(maxEntry), u.left)
	body, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && len(body) == 0 {
		return nil, unreadable("%q in the zip is damaged", job.Clip(f.Name, 80))
	}
	if err != nil {
		return nil, unreadable("%q in the zip is damaged: %s", job.Clip(f.Name, 80), err)
	}
	if int64(len(body)) > most {
		return nil, job.Errorf(job.CodeTooLarge, "the zip unfolds to more than is read: %s a file and %s in all", mib(maxEntry), mib(maxUnzipped))
	}
	u.left -= int64(len(body))
	return body, nil
}

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
