package memory

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/nexus-continuum/nexus/model/text"
)

// Lesson is one thing taught: a prompt and the response to give, word for word.
type Lesson struct {
	// ID is LessonID(Topic, Prompt).
	ID       string
	Prompt   string
	Response string
	Topic    string
	// Refusal says that prompts like this one are to be refused; Response is
	// then empty.
	Refusal bool
}

// ID is the id of a lesson before it is written out.
type ID [16]byte

// String is the form that Lesson.ID has.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// LessonID identifies a lesson by its topic and the canonical form of its
// prompt: the same prompt taught again in the same topic is the same lesson,
// with another response.
func LessonID(topic, prompt string) string {
	var f text.Form
	f.Read(prompt)
	return digest(nil, topic, &f).String()
}

// digest hashes topic and form; scratch is used if it is large enough.
func digest(scratch []byte, topic string, f *text.Form) (id ID) {
	b := binary.AppendUvarint(scratch[:0], uint64(len(topic)))
	b = append(b, topic...)
	for t := range f.Words() {
		if t > 0 {
			b = append(b, ' ')
		}
		b = append(b, f.Word(t)...)
	}
	sum := sha256.Sum256(b)
	copy(id[:], sum[:])
	return id
}

// idKey is the index key of a lesson id; ok is false if id is none.
func idKey(id string) (key uint64, ok bool) {
	var b [16]byte
	if len(id) != 2*len(b) {
		return 0, false
	}
	if _, err := hex.Decode(b[:], []byte(id)); err != nil {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[:]), true
}
