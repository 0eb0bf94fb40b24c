// Package topic reads packs of lessons: what a model can be taught by name,
// such as general_knowledge.
//
// # Where packs come from
//
// Some packs are part of the binary. [Open] adds those of a folder (the one
// that NEXUS_TOPICS_DIR names); a pack of the folder replaces the embedded one
// of the same name. In the folder, support.pack is the pack "support"; so is a
// folder support/ with several files that end in .pack, which are read in the
// order of their names as if they were one. Every other file is left alone,
// and so is whatever starts with a dot.
//
// # The format
//
// A pack is UTF-8 text that people write by hand. A line says by its first
// character what it is:
//
//	title: Support
//	description: Questions about accounts and orders.
//	licence: CC0-1.0
//
//	# Accounts
//
//	= Open Settings, then Security.
//	? How do I reset my password?
//	? forgot my password
//	? where can I change my password
//
//	= We are open from Monday to Friday, 9 to 17.
//	| On public holidays we are closed.
//	? When are you open?
//	? opening hours
//
// “=” begins an answer and “|” adds a further line to it. Each “?” is one
// phrasing of the question which that answer answers; several phrasings, as
// different as people would really ask, make a good lesson. “#” is a comment.
// Lines such as “title: …” come before the first answer: the title is needed,
// description and licence are not.
//
// The reader is strict, since a slip in a pack would be taught: a line that is
// none of these, an answer without a phrasing, and the same question twice
// (case and punctuation aside, see [Normalise]) are refused with the file, the
// line and what would be right.
package topic

// Lesson is one phrasing of a question and the answer to it.
type Lesson struct {
	Prompt   string `json:"prompt"`
	Response string `json:"response"`
}

// Pack is a named set of lessons. The phrasings of one answer follow each
// other in Lessons and share their Response.
type Pack struct {
	// Name is what the pack is asked for by and the topic of its lessons.
	Name        string
	Title       string
	Description string
	// Licence is an SPDX identifier or a sentence; empty when the pack says
	// nothing.
	Licence string
	Lessons []Lesson
}
