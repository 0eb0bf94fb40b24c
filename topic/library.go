package topic

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// ErrUnknown is what [Library.Pack] wraps when there is no pack of that name.
var ErrUnknown = errors.New("unknown topic pack")

//go:embed packs
var embedded embed.FS

// extension ends the name of every pack file.
const extension = ".pack"

// Library holds the packs that a model can be taught. It does not change after
// [Open] and may be used by several goroutines.
type Library struct {
	packs map[string]Pack
}

// Open reads the embedded packs and those of dir; an empty dir means the
// embedded ones only. A folder that cannot be read and a pack with a fault
// (*SyntaxError) are errors: a library opens whole or not at all.
func Open(dir string) (*Library, error) {
	own, err := fs.Sub(embedded, "packs")
	if err != nil {
		return nil, fmt.Errorf("open embedded topic packs: %w", err)
	}
	packs, err := readFolder(own, standardLimits())
	if err != nil {
		return nil, fmt.Errorf("open embedded topic packs: %w", err)
	}
	if dir != "" {
		added, err := readFolder(os.DirFS(dir), standardLimits())
		if err != nil {
			return nil, fmt.Errorf("open topic packs in %s: %w", dir, err)
		}
		maps.Copy(packs, added)
	}
	return &Library{packs: packs}, nil
}

// Names lists the packs in alphabetical order.
func (l *Library) Names() []string {
	return slices.Sorted(maps.Keys(l.packs))
}

// Pack gives the pack called name. If there is none, the error wraps
// [ErrUnknown] and names those that there are.
func (l *Library) Pack(name string) (Pack, error) {
	p, ok := l.packs[name]
	if !ok {
		return Pack{}, fmt.Errorf("%w %q; known packs: %s", ErrUnknown, name, strings.Join(l.Names(), ", "))
	}
	p.Lessons = slices.Clone(p.Lessons)
	return p, nil
}

// readFolder reads every pack at the top of fsys.
func readFolder(fsys fs.FS, l limits) (map[string]Pack, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	packs := make(map[string]Pack)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		files, err := filesOf(fsys, entry.Name())
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			continue
		}
		name := strings.TrimSuffix(entry.Name(), extension)
		if _, twice := packs[name]; twice {
			return nil, fmt.Errorf("pack %q is there both as a folder and as a file; keep one", name)
		}
		if packs[name], err = readPack(fsys, name, files, l); err != nil {
			return nil, err
		}
	}
	return packs, nil
}

// filesOf lists the files of the pack that an entry holds; none if the entry is
// no pack. It follows links, which mounted volumes are full of.
func filesOf(fsys fs.FS, entry string) ([]string, error) {
	info, err := fs.Stat(fsys, entry)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if path.Ext(entry) != extension {
			return nil, nil
		}
		return []string{entry}, nil
	}
	inside, err := fs.ReadDir(fsys, entry)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, file := range inside {
		if name := file.Name(); path.Ext(name) == extension && !strings.HasPrefix(name, ".") {
			files = append(files, path.Join(entry, name))
		}
	}
	return files, nil
}

func readPack(fsys fs.FS, name string, files []string, l limits) (Pack, error) {
	if err := checkName(name); err != nil {
		return Pack{}, err
	}
	r := newReader(name, l)
	for _, file := range files {
		if err := readFile(fsys, file, r); err != nil {
			return Pack{}, err
		}
	}
	return r.finish()
}

func readFile(fsys fs.FS, file string, r *reader) error {
	f, err := fsys.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	return r.file(file, f)
}

// checkName keeps names fit for URLs, file names and command lines.
func checkName(name string) error {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`).MatchString(name) {
		return fmt.Errorf("pack name %q; a name has up to 64 characters of a-z, 0-9, _ and -, and begins with a letter or digit", name)
	}
	return nil
}
