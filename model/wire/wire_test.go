package wire_test

import (
	"errors"
	"math"
	"testing"

	"github.com/nexus-continuum/nexus/model/wire"
)

func TestReaderGivesWhatWasWritten(t *testing.T) {
	t.Parallel()
	var w wire.Writer
	w.Uint(math.MaxUint64)
	w.String("größe")
	w.Floats([]float32{1, -2.5})
	w.Double(math.Pi)
	r := wire.NewReader(w.Bytes)
	if v := r.Uint(math.MaxUint64); v != math.MaxUint64 {
		t.Errorf("number %d", v)
	}
	if s := r.String(); s != "größe" {
		t.Errorf("text %q", s)
	}
	if f := r.Floats(2); len(f) != 2 || f[1] != -2.5 {
		t.Errorf("numbers %v", f)
	}
	if d := r.Double(); d != math.Pi {
		t.Errorf("number %v", d)
	}
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestWhatIsNotFiniteOrTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	var nan, long, text wire.Writer
	nan.Floats([]float32{float32(math.NaN())})
	long.Uint(1 << 40)
	text.String("\xff")
	for name, read := range map[string]func() *wire.Reader{
		"NaN":           func() *wire.Reader { r := wire.NewReader(nan.Bytes); r.Floats(1); return r },
		"a huge count":  func() *wire.Reader { r := wire.NewReader(long.Bytes); r.Count(1); return r },
		"not UTF-8":     func() *wire.Reader { r := wire.NewReader(text.Bytes); _ = r.String(); return r },
		"left over":     func() *wire.Reader { return wire.NewReader([]byte{1}) },
		"nothing there": func() *wire.Reader { r := wire.NewReader(nil); r.Double(); return r },
	} {
		if err := read().Close(); !errors.Is(err, wire.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{1, 2, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := wire.NewReader(data)
		for r.Err() == nil {
			n := r.Count(1)
			if s := r.String(); len(s) > len(data) || n > len(data) {
				t.Fatalf("%d items and %d bytes out of %d", n, len(s), len(data))
			}
			r.Floats(r.Count(4))
			r.Double()
		}
	})
}
