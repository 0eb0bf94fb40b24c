package topic_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/topic"
)

// folder writes files, named by slash-separated paths, into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t *testing.T, dir string) *topic.Library {
	t.Helper()
	library, err := topic.Open(dir)
	if err != nil {
		t.Fatalf("open %q: %v", dir, err)
	}
	return library
}

func pack(t *testing.T, library *topic.Library, name string) topic.Pack {
	t.Helper()
	p, err := library.Pack(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const support = "title: Support\n\n= Open Settings.\n? reset password\n? forgot my password\n"

func TestFolderAddsPacks(t *testing.T) {
	t.Parallel()
	library := open(t, folder(t, map[string]string{
		"support.pack":   support,
		"shop/a.pack":    "title: Shop\n= At nine.\n? when do you open\n",
		"shop/b.pack":    "= At five.\n? when do you close\n",
		"shop/notes.txt": "not read",
		"README.md":      "not read",
		".hidden.pack":   "not read",
		"empty/file.txt": "not read",
	}))
	if got, want := library.Names(), []string{"general_knowledge", "nexus", "shop", "support"}; !slices.Equal(got, want) {
		t.Fatalf("names %q, want %q", got, want)
	}
	want := []topic.Lesson{{Prompt: "when do you open", Response: "At nine."}, {Prompt: "when do you close", Response: "At five."}}
	if got := pack(t, library, "shop"); got.Title != "Shop" || got.Name != "shop" || !slices.Equal(got.Lessons, want) {
		t.Errorf("pack of two files is %+v", got)
	}
}

func TestFolderReplacesEmbeddedPack(t *testing.T) {
	t.Parallel()
	library := open(t, folder(t, map[string]string{"nexus.pack": support}))
	if got := pack(t, library, "nexus"); got.Title != "Support" || len(got.Lessons) != 2 {
		t.Errorf("pack nexus is %q with %d lessons, want the folder's", got.Title, len(got.Lessons))
	}
	if got := pack(t, library, "general_knowledge"); len(got.Lessons) < 1000 {
		t.Errorf("general_knowledge has %d lessons beside a folder", len(got.Lessons))
	}
}

func TestLinkedPackIsRead(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"..data/support.pack": support})
	if err := os.Symlink(filepath.Join("..data", "support.pack"), filepath.Join(dir, "support.pack")); err != nil {
		t.Fatal(err)
	}
	if got := pack(t, open(t, dir), "support"); len(got.Lessons) != 2 {
		t.Errorf("%d lessons through a link, want 2", len(got.Lessons))
	}
}

func TestUnknownPackNamesTheKnown(t *testing.T) {
	t.Parallel()
	_, err := open(t, "").Pack("genral_knowledge")
	if !errors.Is(err, topic.ErrUnknown) {
		t.Fatalf("error %v, want ErrUnknown", err)
	}
	for _, part := range []string{`"genral_knowledge"`, "general_knowledge, nexus"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestPackIsACopy(t *testing.T) {
	t.Parallel()
	library := open(t, "")
	pack(t, library, "nexus").Lessons[0].Response = "changed"
	if got := pack(t, library, "nexus").Lessons[0].Response; got == "changed" {
		t.Error("a caller changed the library's pack")
	}
}

func TestFolderFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"fault with file and line": {
			map[string]string{"support.pack": support + "reset my phone\n"},
			"support.pack:6: ",
		},
		"fault in the second file": {
			map[string]string{"shop/a.pack": support, "shop/b.pack": "# more\n= At five.\n? Reset password!\n"},
			`shop/b.pack:3: "Reset password!" has another answer at shop/a.pack:4`,
		},
		"title in both files": {
			map[string]string{"shop/a.pack": support, "shop/b.pack": support},
			"shop/b.pack:1: a second title; the first is at shop/a.pack:1",
		},
		"answer does not go on in the next file": {
			map[string]string{"shop/a.pack": support, "shop/b.pack": "? and this\n"},
			"shop/b.pack:1: a phrasing without an answer",
		},
		"file and folder": {
			map[string]string{"shop.pack": support, "shop/a.pack": support},
			`pack "shop" is there both as a folder and as a file`,
		},
		"bad name": {
			map[string]string{"My Shop.pack": support},
			`pack name "My Shop"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, c.files)
			_, err := topic.Open(dir)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v\nwant the folder and %q", err, c.want)
			}
		})
	}
}

func TestMissingFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "packs")
	_, err := topic.Open(dir)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want one that names %s as missing", err, dir)
	}
}
