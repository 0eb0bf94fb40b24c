package pretrain

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrState is returned for a state that belongs to another run, or to none.
var ErrState = errors.New("not a state of this run")

const stateMagic = "NXPRE01\n"

// run identifies what a state belongs to.
type run struct {
	Dim, Buckets, Steps, Batch int
	Rate                       float64
	Seed                       uint64
	Recipe                     int
	Corpus                     string // digest of the texts
	Done                       int
	HeadSteps, ReplySteps      int
	ImageSteps                 int `json:",omitempty"` // with a teacher
}

func (t *Trainer) run() run {
	o := t.opt
	return run{
		o.Dim, o.Buckets, o.Steps, o.Batch, o.Rate, o.Seed, recipeVersion, t.corpus.digest(),
		t.done, t.net.head.steps, t.net.reply.steps, t.net.image.steps,
	}
}

// numbers are all that a run changes.
func (t *Trainer) numbers() [][]float32 {
	n := t.net
	all := [][]float32{
		n.table, n.accum,
		n.head.w, n.head.m, n.head.v, n.reply.w, n.reply.m, n.reply.v,
	}
	if t.corpus.teacher != nil {
		all = append(all, n.image.w, n.image.m, n.image.v)
	}
	return all
}

// Save writes all that Restore needs to go on from here: a header, the numbers
// as little-endian float32, and a SHA-256 of both.
func (t *Trainer) Save(w io.Writer) error {
	head, err := json.Marshal(t.run())
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	digest := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, digest), 1<<20)
	out.WriteString(stateMagic)
	var word [4]byte
	binary.LittleEndian.PutUint32(word[:], uint32(len(head)))
	out.Write(word[:])
	out.Write(head)
	for _, s := range t.numbers() {
		if err := binary.Write(out, binary.LittleEndian, s); err != nil {
			return fmt.Errorf("save state: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	if _, err := w.Write(digest.Sum(nil)); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

// Restore takes up the run that Save put down. It returns ErrState, and leaves
// the trainer as it was, if the state is damaged or of another corpus or other
// options.
func (t *Trainer) Restore(data []byte) error {
	body, ok := bytes.CutPrefix(data, []byte(stateMagic))
	if !ok || len(data) < len(stateMagic)+4+sha256.Size {
		return fmt.Errorf("%w: no %q at its start", ErrState, stateMagic[:7])
	}
	end := len(data) - sha256.Size
	if sum := sha256.Sum256(data[:end]); !bytes.Equal(sum[:], data[end:]) {
		return fmt.Errorf("%w: it is damaged", ErrState)
	}
	body = body[:len(body)-sha256.Size]
	size := int(binary.LittleEndian.Uint32(body))
	if body = body[4:]; size > len(body) {
		return fmt.Errorf("%w: header of %d bytes", ErrState, size)
	}
	var stored run
	if err := json.Unmarshal(body[:size], &stored); err != nil {
		return fmt.Errorf("%w: header: %w", ErrState, err)
	}
	want := t.run()
	want.Done, want.HeadSteps, want.ReplySteps, want.ImageSteps = stored.Done, stored.HeadSteps, stored.ReplySteps, stored.ImageSteps
	if stored != want {
		return fmt.Errorf("%w: it was made with %+v, this run has %+v", ErrState, stored, want)
	}
	count := 0
	for _, s := range t.numbers() {
		count += len(s)
	}
	if body = body[size:]; len(body) != 4*count || stored.Done < 0 || stored.Done > t.opt.Steps {
		return fmt.Errorf("%w: %d bytes of numbers at step %d", ErrState, len(body), stored.Done)
	}
	for _, s := range t.numbers() {
		if _, err := binary.Decode(body, binary.LittleEndian, s); err != nil {
			return fmt.Errorf("%w: %w", ErrState, err)
		}
		body = body[4*len(s):]
	}
	t.done, t.net.head.steps, t.net.reply.steps, t.net.image.steps = stored.Done, stored.HeadSteps, stored.ReplySteps, stored.ImageSteps
	return nil
}
