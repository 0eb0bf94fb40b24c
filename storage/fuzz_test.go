package storage

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// seeds gives the golden files of the kind as a start for a fuzzer.
func seeds(f *testing.F, pattern string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "v1", pattern))
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden file %s: %v", pattern, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

func FuzzManifest(f *testing.F) {
	seeds(f, "checkpoint_*.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Manifest
		if err := unseal(b, kindManifest, &m); err != nil {
			return
		}
		if _, err := decodeManifest(b, m.ID); err != nil {
			return
		}
		// What is taken names only objects under parts/.
		for _, p := range m.Parts {
			if CheckKey(p.Stored.Key()) != nil || !strings.HasPrefix(p.Stored.Key(), PartsPrefix) || p.Size < 0 {
				t.Errorf("a manifest with the part %+v is taken", p)
			}
		}
		again, err := encodeManifest(m)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("a manifest is taken that would be written as %q (%v)", again, err)
		}
	})
}

// FuzzManifestBody reaches behind the digest, where a fuzzer alone never comes.
func FuzzManifestBody(f *testing.F) {
	f.Add([]byte(`{"id":"01900000-0000-7000-8000-000000000000","created_at":"2026-01-01T00:00:00Z","datasets":0,"meta":{"architecture":"","size":"","lessons":0,"fence":0},"parts":[{"name":"a","sha256":"","size":1,"stored":{"sha256":"../../etc/passwd","size":99999999999,"encoding":"plain"}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := sealRaw(formatVersion, kindManifest, body)
		if err != nil {
			return
		}
		m, err := decodeManifest(b, "01900000-0000-7000-8000-000000000000")
		if err != nil {
			return
		}
		for _, p := range m.Parts {
			if checkDigest(p.Stored.SHA256) != nil || p.Size < 0 || p.Size > MaxPartBytes || checkPartName(p.Name) != nil {
				t.Errorf("a manifest with the part %+v is taken", p)
			}
		}
	})
}

func FuzzRecords(f *testing.F) {
	seeds(f, "*.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Head
		if unseal(b, kindHead, &h) == nil {
			if again, err := seal(kindHead, h); err != nil || !bytes.Equal(again, b) {
				t.Errorf("a head is taken that would be written as %q (%v)", again, err)
			}
		}
		if c, err := decodeControl(b); err == nil {
			if again, err := seal(kindControl, c); err != nil || !bytes.Equal(again, b) {
				t.Errorf("a control record is taken that would be written as %q (%v)", again, err)
			}
		}
	})
}

func FuzzDataset(f *testing.F) {
	seeds(f, "datasets/*")
	f.Fuzz(func(t *testing.T, b []byte) {
		line, _, _ := bytes.Cut(b, []byte("\n"))
		ds, err := decodeHeader(append(line[:len(line):len(line)], '\n'))
		if err != nil {
			return
		}
		readAll(t, b, ds)
	})
}

// FuzzDatasetPayload reaches behind the header's digest.
func FuzzDatasetPayload(f *testing.F) {
	f.Add([]byte("{\"prompt\":\"a\",\"response\":null}\n"), 1, 31, false)
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0, 1, 0, 0}, 0, 0, true)
	f.Fuzz(func(t *testing.T, payload []byte, lessons, raw int, packed bool) {
		ds := Dataset{
			ID: "01900000-0000-7000-8000-000000000000", DatasetMeta: DatasetMeta{Op: OpTeach},
			Lessons: lessons, Raw: int64(raw), Size: int64(len(payload)), SHA256: digest(payload), Encoding: encodingPlain,
		}
		if packed {
			ds.Encoding = encodingZstd
		}
		header, err := seal(kindDataset, ds)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, append(header, payload...), ds)
	})
}

func readAll(t *testing.T, b []byte, want Dataset) {
	t.Helper()
	r, err := newDatasetReader(bytes.NewReader(b), want.ID)
	if err != nil {
		return
	}
	r.object = io.NopCloser(nil)
	defer func() { _ = r.Close() }()
	n := 0
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			if n != want.Lessons {
				t.Errorf("%d lessons are taken where the header says %d", n, want.Lessons)
			}
			return
		}
		if err != nil {
			return
		}
		n++
	}
}

// FuzzSegment reaches behind the header's digest: what is taken is within its bounds.
func FuzzSegment(f *testing.F) {
	one := "01900000-0000-7000-8000-000000000000"
	f.Add([]byte(`{"datasets":[{"id":"`+one+`","op":"teach","size":3}],"size":3,"sha256":"`+digest([]byte("abc"))+`"}`), []byte("abc"))
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		b, err := sealRaw(formatVersion, kindSegment, header)
		if err != nil {
			return
		}
		table, got, err := readSegment(bytes.NewReader(append(b, payload...)), segmentKey(one, one))
		if err != nil {
			return
		}
		if !bytes.Equal(got, payload) {
			t.Error("another payload is taken")
		}
		for _, e := range table.Datasets {
			if _, from, ok := table.find(e.ID); !ok || from < 0 || from+e.Size > int64(len(got)) {
				t.Errorf("dataset %s lies outside", e.ID)
			}
		}
	})
}

func FuzzPart(f *testing.F) {
	packed, err := compress(bytes.Repeat([]byte("x"), 4096))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed, int64(4096), true)
	f.Add([]byte("plain"), int64(5), false)
	f.Fuzz(func(t *testing.T, stored []byte, size int64, packed bool) {
		if size < 0 || size > 1<<20 {
			return
		}
		ref := PartRef{Name: "a", SHA256: digest(stored), Size: size, Stored: StoredRef{SHA256: digest(stored), Size: int64(len(stored)), Encoding: encodingPlain}}
		if packed {
			ref.Stored.Encoding = encodingZstd
		}
		data, err := decodePart(bytes.NewReader(stored), ref, true)
		if err == nil && (int64(len(data)) != size || digest(data) != ref.SHA256) {
			t.Errorf("%d bytes are taken for a part of %d", len(data), size)
		}
	})
}

func FuzzLineage(f *testing.F) {
	f.Add([]byte("01900000-0000-7000-8000-000000000000\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decodeLineage(nil, b)
		if err != nil || len(l) == 0 {
			return
		}
		if p := l.pieces(base{}); len(p) != 1 || !bytes.Equal(p[0].Data, b) {
			t.Errorf("a lineage is taken that would be written as %q", p[0].Data)
		}
	})
}

// TestHostileManifest: sizes, counts, names and bombs cost an error, not the
// machine.
func TestHostileManifest(t *testing.T) {
	t.Parallel()
	const id = "01900000-0000-7000-8000-000000000000"
	sum := digest([]byte("x"))
	plain := func(name string, size int64) PartRef {
		return PartRef{Name: name, SHA256: sum, Size: size, Stored: StoredRef{SHA256: sum, Size: size, Encoding: encodingPlain}}
	}
	change := func(p PartRef, do func(*PartRef)) PartRef { do(&p); return p }
	many := make([]PartRef, MaxParts+1)
	for i := range many {
		many[i] = plain("p", 1)
	}
	for name, m := range map[string]Manifest{
		"another id":        {ID: "01900000-0000-7000-8000-000000000001"},
		"no id":             {ID: "../../x"},
		"parent":            {ID: id, Parent: "../../x"},
		"too many parts":    {ID: id, Parts: many},
		"twice":             {ID: id, Parts: []PartRef{plain("a", 1), plain("a", 1)}},
		"negative size":     {ID: id, Parts: []PartRef{plain("a", -1)}},
		"huge size":         {ID: id, Parts: []PartRef{plain("a", 1<<62)}},
		"climbing name":     {ID: id, Parts: []PartRef{plain("../a", 1)}},
		"absolute name":     {ID: id, Parts: []PartRef{plain("/etc/passwd", 1)}},
		"climbing digest":   {ID: id, Parts: []PartRef{change(plain("a", 1), func(p *PartRef) { p.Stored.SHA256 = "../head.json" })}},
		"unknown encoding":  {ID: id, Parts: []PartRef{change(plain("a", 1), func(p *PartRef) { p.Stored.Encoding = "lzma" })}},
		"two digests":       {ID: id, Parts: []PartRef{change(plain("a", 1), func(p *PartRef) { p.SHA256 = digest(nil) })}},
		"negative lineage":  {ID: id, Datasets: -1},
		"enormous lineage":  {ID: id, Datasets: 1 << 50},
		"upper-case digest": {ID: id, Parts: []PartRef{change(plain("a", 1), func(p *PartRef) { p.SHA256 = strings.ToUpper(sum); p.Stored.SHA256 = p.SHA256 })}},
	} {
		b, err := seal(kindManifest, m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeManifest(b, id); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: decode = %v, want ErrCorrupt", name, err)
		}
	}
}

// TestBomb: a few kilobytes that unpack to 48 MiB are stopped at the size
// that the manifest gives, and that reserves no memory on its word alone.
func TestBomb(t *testing.T) {
	t.Parallel()
	bomb, err := compress(make([]byte, 48<<20))
	if err != nil {
		t.Fatal(err)
	}
	ref := PartRef{Name: "a", SHA256: digest(nil), Size: 4096, Stored: StoredRef{SHA256: digest(bomb), Size: int64(len(bomb)), Encoding: encodingZstd}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := decodePart(bytes.NewReader(bomb), ref, true); !errors.Is(err, ErrCorrupt) {
		t.Errorf("decode of a bomb = %v, want ErrCorrupt", err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("a bomb of %d bytes took %d MiB", len(bomb), n>>20)
	}
}

// TestNewerFormatIsNotDamage: after a downgrade nothing is set aside.
func TestNewerFormatIsNotDamage(t *testing.T) {
	t.Parallel()
	b, err := sealRaw(formatVersion+1, kindHead, []byte(`{"whatever":"comes"}`))
	if err != nil {
		t.Fatal(err)
	}
	var h Head
	if err := unseal(b, kindHead, &h); err == nil || errors.Is(err, ErrCorrupt) {
		t.Errorf("unseal of a newer format = %v, want an error that is not ErrCorrupt", err)
	}
}
