package storage

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Encodings of stored bytes.
const (
	encodingPlain = "plain"
	encodingZstd  = "zstd"
)

// zstdWindow limits the memory of a decoder, in bytes, and so what a hostile frame can
// request.
const zstdWindow = 4 << 20

func newEncoder(w io.Writer) (*zstd.Encoder, error) {
	enc, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	return enc, nil
}

func newDecoder(r io.Reader) (*zstd.Decoder, error) {
	dec, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	return dec, nil
}
