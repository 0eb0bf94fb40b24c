// Package storage keeps what must not be lost: the datasets that people taught,
// the checkpoints of what was learned from them, and the control record. It
// stores bytes and manifests and does not know what a weight is.
//
// Everything lies under one root, in a folder or in a bucket, as plain objects:
//
//	checkpoint_<id>.json   manifest of a checkpoint: names its parts by digest
//	parts/<sha256>         content of checkpoints, shared between them
//	datasets/<id>          one teach or forget operation each
//	datasets/<id>_<id>     a segment: many small ones together
//	head.json              which checkpoint is served
//	control.json           paused, training, topic
//	corrupted/…            what was found damaged, set aside under its old name
//
// A Store moves the bytes (packages storage/dir and storage/s3); Datasets,
// Checkpoints and Control give them meaning and hold the same promises on every
// store. The format is written down in docs/architecture/checkpoints.md.
package storage
