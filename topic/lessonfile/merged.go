package lessonfile

import (
	"archive/zip"
	"encoding/xml"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/xuri/excelize/v2"
)

const (
	// maxMergedIn bounds the XML that is searched for merged cells, and maxMerged their
	// number. In a larger sheet merged cells are read as they stand: only the first of
	// their rows has the text. The library's own list of them has no bounds.
	maxMergedIn = 16 << 20
	maxMerged   = 5_000
)

// mergedCell is a cell that stretches over several rows. Its text counts in each.
type mergedCell struct {
	column, first, last int // counted from 1
	text                string
}

var mergedRange = regexp.MustCompile(`<(?:\w+:)?mergeCell\s[^<>]*ref="([A-Z]{1,3}[0-9]{1,7}):([A-Z]{1,3}[0-9]{1,7})"`)

// mergedCells lists the cells of a sheet that stretch over rows.
func mergedCells(z *zip.Reader, sheet string) []mergedCell {
	if z == nil {
		return nil
	}
	var out []mergedCell
	for _, m := range mergedRange.FindAllSubmatch(entry(z, sheetPath(z, sheet)), maxMerged+1) {
		column, first, err := excelize.CellNameToCoordinates(string(m[1]))
		if err != nil {
			continue
		}
		if _, last, err := excelize.CellNameToCoordinates(string(m[2])); err == nil && last > first {
			out = append(out, mergedCell{column: column, first: first, last: last})
		}
	}
	if len(out) > maxMerged {
		return nil
	}
	return out
}

// fill puts the text of merged cells into the rows that they stretch over. A row
// without anything of its own stays empty.
func (s *sheets) fill(cells []string) []string {
	empty := !slices.ContainsFunc(cells, func(c string) bool { return strings.TrimSpace(c) != "" })
	for i := range s.merged {
		switch m := &s.merged[i]; {
		case m.column > len(s.header) || s.row < m.first || s.row > m.last:
		case s.row == m.first:
			if m.column <= len(cells) {
				m.text = cells[m.column-1]
			}
		case !empty && m.text != "":
			for len(cells) < m.column {
				cells = append(cells, "")
			}
			cells[m.column-1] = m.text
		}
	}
	return cells
}

// sheetPath finds where in the zip a sheet lies.
func sheetPath(z *zip.Reader, sheet string) string {
	var book struct {
		Sheets []struct {
			Name string `xml:"name,attr"`
			ID   string `xml:"http://schemas.openxmlformats.org/officeDocument/2006/relationships id,attr"`
		} `xml:"sheets>sheet"`
	}
	var links struct {
		All []struct {
			ID     string `xml:"Id,attr"`
			Target string `xml:"Target,attr"`
		} `xml:"Relationship"`
	}
	if xml.Unmarshal(entry(z, "xl/workbook.xml"), &book) != nil || xml.Unmarshal(entry(z, "xl/_rels/workbook.xml.rels"), &links) != nil {
		return ""
	}
	for _, s := range book.Sheets {
		if s.Name != sheet {
			continue
		}
		for _, l := range links.All {
			if l.ID != s.ID {
				continue
			}
			if strings.HasPrefix(l.Target, "/") {
				return strings.TrimPrefix(l.Target, "/")
			}
			return path.Join("xl", l.Target)
		}
	}
	return ""
}

// entry reads a file of a zip. It is empty if it is missing, damaged or too large.
func entry(z *zip.Reader, name string) []byte {
	f, err := z.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxMergedIn+1))
	if err != nil || len(body) > maxMergedIn {
		return nil
	}
	return body
}
