package main

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/pretrain"
)

type pretrainCmd struct {
	Data    string  `arg:"" help:"Folder with the text: *.syn.tsv, *.gloss.tsv, *.resp.tsv, *.qa.tsv, *.group.tsv, *.para.txt, each also as .gz."`
	Out     string  `short:"o" default:"base.nxb" help:"File to write. Its neighbour with .state added keeps an unfinished run, which the same command takes up again."`
	Steps   int     `default:"8000" help:"Batches."`
	Batch   int     `default:"1024" help:"Pairs a batch."`
	Rate    float64 `default:"0.008" help:"Learning rate at the start; it falls to 0."`
	Teacher string  `placeholder:"FILE" help:"Vectors that a stronger encoder has for texts: float32, little-endian, as many for each text. The texts, one a line, are in the file of the same name that ends in .txt."`
	Seed    uint64  `default:"1" help:"Seed of everything random."`
	Save    int     `default:"500" help:"Batches between two writes of the state."`
}

// baseShape is the state size and the number of buckets of a model size.
var baseShape = map[string][2]int{"small": {128, 1 << 15}, "base": {256, 1 << 16}, "large": {512, 1 << 17}}

// Run pretrains a base of the size that NEXUS_MODEL_SIZE names.
func (c pretrainCmd) Run(ctx context.Context, rt *runtime) error {
	shape := baseShape[rt.settings.ModelSize]
	corpus := pretrain.NewCorpus(shape[1])
	sources, err := c.read(rt, corpus)
	if err != nil {
		return err
	}
	taught, err := c.teach(rt, corpus)
	if err != nil {
		return err
	}
	opt := pretrain.Options{
		Dim: shape[0], Buckets: shape[1], Steps: c.Steps, Batch: c.Batch, Rate: c.Rate, Seed: c.Seed, Gemm: kernel.NewBLAS(),
	}
	trainer, err := pretrain.New(corpus, opt)
	if errors.Is(err, pretrain.ErrEmpty) {
		return fmt.Errorf("%s: %w; see docs/architecture/base.md for the forms of files", c.Data, err)
	}
	if err != nil {
		return fmt.Errorf("pretrain: %w", err)
	}
	began := time.Now()
	if err := c.train(ctx, rt, trainer); err != nil {
		return err
	}
	base := trainer.Base()
	base.Recipe = pretrain.NewRecipe(opt, sources)
	base.Recipe.Teacher = taught
	data, err := base.Encode()
	if err != nil {
		return err
	}
	if err := replaceFile(c.Out, 0o644, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
		return fmt.Errorf("write the base: %w", err)
	}
	if err := os.Remove(c.state()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the state: %w", err)
	}
	fmt.Fprintf(rt.main.Stdout, "%s: %d bytes, %s, %s\n", c.Out, len(data), rt.settings.ModelSize, time.Since(began).Round(time.Second))
	return nil
}

func (c pretrainCmd) state() string { return c.Out + ".state" }

// read takes in every file of the folder whose name tells its form.
func (c pretrainCmd) read(rt *runtime, corpus *pretrain.Corpus) ([]pretrain.Source, error) {
	entries, err := os.ReadDir(c.Data)
	if err != nil {
		return nil, fmt.Errorf("read the folder of the text: %w", err)
	}
	var sources []pretrain.Source
	for _, e := range entries {
		form, ok := pretrain.FormOf(e.Name())
		if !ok || e.IsDir() {
			continue
		}
		source, err := addSource(corpus, filepath.Join(c.Data, e.Name()), form)
		if err != nil {
			return nil, err
		}
		sources = append(sources, source)
		fmt.Fprintf(rt.main.Stderr, "%-24s %8d lines\n", source.Name, source.Lines)
	}
	return sources, nil
}

// teach takes in the vectors of the teacher, if one is named.
func (c pretrainCmd) teach(rt *runtime, corpus *pretrain.Corpus) (*pretrain.Source, error) {
	if c.Teacher == "" {
		return nil, nil
	}
	vectors, err := os.Open(c.Teacher)
	if err != nil {
		return nil, fmt.Errorf("open the vectors of the teacher: %w", err)
	}
	defer vectors.Close()
	texts, err := os.Open(strings.TrimSuffix(c.Teacher, filepath.Ext(c.Teacher)) + ".txt")
	if err != nil {
		return nil, fmt.Errorf("open the texts that the vectors of the teacher belong to: %w", err)
	}
	defer texts.Close()
	info, err := vectors.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the vectors of the teacher: %w", err)
	}
	digest := sha256.New()
	lines, err := corpus.Teach(texts, io.TeeReader(vectors, digest), info.Size())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.Teacher, err)
	}
	source := &pretrain.Source{Name: filepath.Base(c.Teacher), SHA256: hex.EncodeToString(digest.Sum(nil)), Lines: lines, Licence: licenceOf(filepath.Base(c.Teacher))}
	fmt.Fprintf(rt.main.Stderr, "%-24s %8d texts\n", source.Name, source.Lines)
	return source, nil
}

// train takes the steps that are left. The state is written now and then, and
// when the program is told to stop.
func (c pretrainCmd) train(ctx context.Context, rt *runtime, trainer *pretrain.Trainer) error {
	switch state, err := os.ReadFile(c.state()); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("take up the unfinished run: %w", err)
	default:
		if err := trainer.Restore(state); err != nil {
			return fmt.Errorf("take up the unfinished run in %s: %w; remove the file to begin anew", c.state(), err)
		}
		fmt.Fprintf(rt.main.Stderr, "taken up at step %d\n", trainer.Done())
	}
	save := func() error {
		if err := replaceFile(c.state(), 0o644, trainer.Save); err != nil {
			return fmt.Errorf("write the state: %w", err)
		}
		return nil
	}
	began, first, average := time.Now(), trainer.Done(), 0.0
	err := trainer.Run(ctx, func(step int, loss float64) error {
		if average == 0 {
			average = loss
		}
		average += (loss - average) / 50
		if step%20 == 0 || step == c.Steps {
			speed := float64((step-first)*c.Batch) / time.Since(began).Seconds()
			left := time.Duration(float64((c.Steps-step)*c.Batch) / speed * float64(time.Second)).Round(time.Second)
			fmt.Fprintf(rt.main.Stderr, "\r%5.1f %%  loss %.3f  %.0f pairs/s  %s left   ", 100*float64(step)/float64(c.Steps), average, speed, left)
		}
		if step%max(c.Save, 1) == 0 && step < c.Steps {
			return save()
		}
		return nil
	})
	fmt.Fprintln(rt.main.Stderr)
	if err != nil {
		if ctx.Err() != nil {
			if err := save(); err != nil {
				return err
			}
			return fmt.Errorf("pretrain: stopped at step %d, which %s keeps: %w", trainer.Done(), c.state(), err)
		}
		return fmt.Errorf("pretrain: %w", err)
	}
	return nil
}

// replaceFile writes a file beside path and moves it there, so that path always
// holds a whole one.
func replaceFile(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = f.Close(), os.Remove(f.Name()) // err says what went wrong
		}
	}()
	if err := errors.Join(write(f), f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// addSource reads one file, gzipped or not, into the corpus.
func addSource(corpus *pretrain.Corpus, path string, form pretrain.Form) (pretrain.Source, error) {
	name := filepath.Base(path)
	file, err := os.Open(path)
	if err != nil {
		return pretrain.Source{}, fmt.Errorf("open source: %w", err)
	}
	defer file.Close()
	digest := sha256.New()
	tee := io.TeeReader(file, digest)
	r := tee
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(tee)
		if err != nil {
			return pretrain.Source{}, fmt.Errorf("unpack %s: %w", path, err)
		}
		r = z
	}
	lines, err := corpus.Add(name, form, r)
	if err != nil {
		return pretrain.Source{}, fmt.Errorf("read %w", err)
	}
	// The digest is of the whole file, whatever the unpacker left unread.
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return pretrain.Source{}, fmt.Errorf("read %s: %w", path, err)
	}
	return pretrain.Source{Name: name, SHA256: hex.EncodeToString(digest.Sum(nil)), Lines: lines, Licence: licenceOf(name)}, nil
}

// licenceOf names the licence of a known source by the start of its file's name.
func licenceOf(name string) string {
	for prefix, licence := range map[string]string{
		"wn.": "WordNet licence", "mythes.": "MPL-2.0", "sgd.": "CC BY-SA 4.0", "mdg.": "CDLA-Permissive-1.0",
		"msbot.": "MIT", "chit.": "MIT", "snips.": "CC0 1.0", "assistants.": "Apache-2.0", "dstc9.": "Apache-2.0",
		"topical.": "CDLA-Sharing-1.0", "docs.": "CC BY 4.0, CC0 1.0, Apache-2.0", "cv.": "CC0 1.0, CC BY-SA 4.0", "wellformed.": "CC BY-SA 4.0",
		"bge-small-en-v1.5.": "MIT",
	} {
		if strings.HasPrefix(name, prefix) {
			return licence
		}
	}
	return ""
}
