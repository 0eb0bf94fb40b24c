// Package base holds the pretrained bases that come with the program, one for
// each size of a model that has one, and reads others.
package base

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/pretrain"
)

// The bases that `make base` writes. They are kept as strings, which nobody can
// change, and turned into numbers only when weights start from them.
var (
	//go:embed small.nxb
	small string
	//go:embed base.nxb
	base string
)

// File is the file of a base. It is immutable.
type File struct {
	data         string
	digest       string
	dim, buckets int
	recipe       pretrain.Recipe
}

// None is no base: weights that start from it are random numbers.
func None() *File { return &File{} }

// For is the base that comes with the program for a size of the model, or None
// where there is none.
func For(size string) *File {
	data, ok := map[string]string{"small": small, "base": base}[size]
	if !ok {
		return None()
	}
	f, err := open(data)
	if err != nil {
		panic("the base inside the program: " + err.Error())
	}
	return f
}

// Open takes the bytes of a base file. It returns pretrain.ErrFormat for bytes
// that are none.
func Open(data []byte) (*File, error) {
	if _, err := pretrain.Decode(data); err != nil {
		return nil, fmt.Errorf("read base: %w", err)
	}
	return open(string(data))
}

// open reads what stands before the numbers.
func open(data string) (*File, error) {
	raw := []byte(data)
	b, err := pretrain.DecodeRecipe(raw)
	if err != nil {
		return nil, fmt.Errorf("read base: %w", err)
	}
	sum := sha256.Sum256(raw)
	return &File{data: data, digest: hex.EncodeToString(sum[:]), dim: b.Dim, buckets: b.Buckets, recipe: b.Recipe}, nil
}

// Digest is the SHA-256 of the file in hexadecimal, and empty for None.
func (f *File) Digest() string { return f.digest }

// Shape is the state size d and the number of buckets; zeros for None.
func (f *File) Shape() (dim, buckets int) { return f.dim, f.buckets }

// Recipe tells how the base was made; that of None is empty.
func (f *File) Recipe() pretrain.Recipe { return f.recipe }

// Into writes the base into fresh weights; None leaves them as they are. It
// returns encoder.ErrShape for weights of another shape.
func (f *File) Into(w encoder.Weights) error {
	if f.data == "" {
		return nil
	}
	b, err := pretrain.Decode([]byte(f.data))
	if err != nil {
		return fmt.Errorf("read base: %w", err)
	}
	return b.Into(w)
}
