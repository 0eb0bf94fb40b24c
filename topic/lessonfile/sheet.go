package lessonfile

import (
	"archive/zip"
	"errors"
	"io"

	"github.com/xuri/excelize/v2"

	"github.com/nexus-continuum/nexus/job"
)

// headerRows is how far down the header of a sheet may lie.
const headerRows = 10

// sheets reads every sheet of an XLSX file that has a header which is
// understood, row by row.
type sheets struct {
	book   *excelize.File
	opt    Options
	names  []string
	rows   *excelize.Rows
	row    int
	header []string
	choice choice
	seen   []string    // the header that was not understood
	zip    *zip.Reader // to find merged cells; nil if it cannot be read
	merged []mergedCell
	file   *File
}

func openSheets(r io.ReaderAt, size int64, opt Options) (*File, error) {
	if size > maxSheet {
		return nil, job.Errorf(job.CodeTooLarge, "the XLSX file is larger than the %s that are read; save it as CSV", mib(maxSheet))
	}
	book, err := excelize.OpenReader(io.NewSectionReader(r, 0, size), excelize.Options{
		UnzipSizeLimit: maxUnzipped, UnzipXMLSizeLimit: 16 << 20, RawCellValue: false,
	})
	if err != nil {
		return nil, unreadable("the XLSX file cannot be opened: it is damaged, has a password, or unfolds to more than %s", mib(maxUnzipped))
	}
	s := &sheets{book: book, opt: opt, names: book.GetSheetList()}
	s.zip, _ = zip.NewReader(r, size) // without it the rows are read as they stand
	s.file = &File{Format: FormatXLSX, next: s.next, close: s.close}
	if err := s.open(); err != nil {
		_ = s.close()
		if errors.Is(err, io.EOF) {
			c, miss := choose(s.seen, opt)
			return nil, unchosen(s.seen, c, miss, opt)
		}
		return nil, err
	}
	return s.file, nil
}

// open goes to the next sheet whose header is understood; io.EOF.
func (s *sheets) open() error {
	for len(s.names) > 0 {
		name := s.names[0]
		s.names = s.names[1:]
		rows, err := s.book.Rows(name)
		if err != nil {
			continue // a chart, or a sheet that is damaged
		}
		for n := 1; n <= headerRows && rows.Next(); n++ {
			cells, err := rows.Columns()
			if err != nil {
				break
			}
			c, miss := choose(cells, s.opt)
			if miss == "" && c.found() {
				s.rows, s.row, s.header, s.choice = rows, n, cells, c
				s.merged = mergedCells(s.zip, name)
				s.fill(cells)
				if s.file.Columns == nil {
					s.file.Columns = c.columns(cells)
				}
				return nil
			}
			if len(cells) > len(s.seen) {
				s.seen = cells
			}
		}
		if err := rows.Close(); err != nil {
			return err
		}
	}
	return io.EOF
}

func (s *sheets) next() (Lesson, *job.Fault, error) {
	for {
		for s.rows.Next() {
			s.row++
			cells, err := s.rows.Columns()
			if err == nil {
				cells = s.fill(cells)
			}
			if err != nil {
				return Lesson{}, fault(s.row, "the row cannot be read"), nil //nolint:nilerr // told as the fault of this row
			}
			l, f := row(cells[:min(len(cells), len(s.header))], s.header, s.choice, s.opt)
			if f != nil {
				f.Line = s.row
				return Lesson{}, f, nil
			}
			if l != nil {
				l.Line = s.row
				return *l, nil, nil
			}
		}
		if err := s.rows.Error(); err != nil {
			return Lesson{}, nil, unreadable("the sheet breaks off after row %d", s.row)
		}
		if err := s.rows.Close(); err != nil {
			return Lesson{}, nil, err
		}
		if err := s.open(); err != nil {
			return Lesson{}, nil, err
		}
	}
}

func (s *sheets) close() error { return s.book.Close() }
