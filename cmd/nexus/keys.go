package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nexus-continuum/nexus/api"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make a key and print it, once; only a digest of it is kept."`
	List   keysListCmd   `cmd:"" help:"List the keys: scopes, expiry, last use."`
	Rotate keysRotateCmd `cmd:"" help:"Give a key a new secret; the present one stays valid for a while."`
	Revoke keysRevokeCmd `cmd:"" help:"End a key at once."`
}

// Help is shown by nexus keys --help.
func (keysCmd) Help() string {
	return "Keys are kept in the storage (NEXUS_DATA_DIR, or the bucket), hashed. A running server heeds every change within seconds. " +
		"Keys of NEXUS_API_KEY and NEXUS_API_KEYS are not listed: they are wherever you set them."
}

// openKeys opens the keys where servers read them: in the bucket if there is one
// and it answers, else in the folder.
func openKeys(ctx context.Context, rt *runtime) (*storage.Keys, error) {
	s := rt.settings
	opt := storage.KeyOptions{By: operator(), Now: clock()}
	if s.S3Endpoint != "" {
		b, err := openBucket(ctx, s, true)
		if err == nil {
			return storage.NewKeys(b, opt), nil
		}
		if _, ok := errors.AsType[*settingError](err); ok {
			return nil, err
		}
		folder, ferr := openFolder(s)
		if ferr != nil || folder == nil {
			return nil, errors.Join(err, ferr)
		}
		fmt.Fprintf(rt.main.Stderr, "nexus: the bucket cannot be asked; %s is changed, and the bucket by the server that uses it: %v\n", folder, err)
		return storage.NewKeys(folder, opt), nil
	}
	if err := makeDataDir(s); err != nil {
		return nil, err
	}
	d, err := dir.Open(s.storageDir())
	if err != nil {
		return nil, fmt.Errorf("open the storage in NEXUS_DATA_DIR: %w", err)
	}
	return storage.NewKeys(d, opt), nil
}

// operator names who runs a command, as far as this machine knows.
func operator() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

type keysCreateCmd struct {
	Name    string   `arg:"" help:"Name of the key: lower-case letters, digits, dots, dashes. What the key makes is kept under it."`
	Scopes  []string `default:"ask,teach,jobs,read" help:"What it is for: ask, teach, jobs, read, control."`
	Expires string   `help:"When it ends: after a time such as 90d or 12h, or on a day such as 2027-01-31; empty is never."`
	Note    string   `help:"What it is for, in your words."`
}

// Run makes a key and prints it.
func (c keysCreateCmd) Run(ctx context.Context, rt *runtime) error {
	scopes, err := api.ParseScopes(c.Scopes)
	if err != nil {
		return &settingError{"--scopes", strings.Join(c.Scopes, ","), err.Error()}
	}
	if err := storage.CheckKeyName(c.Name); err != nil {
		return &settingError{"NAME", c.Name, err.Error()}
	}
	if len(c.Note) > 500 {
		return &settingError{"--note", job.Clip(c.Note, 20), "must have at most 500 characters"}
	}
	if strings.ContainsAny(c.Note, "\r\n\t") || job.Misleading(c.Note) != "" {
		return &settingError{"--note", job.Clip(c.Note, 40), "must be one line without control characters; it is shown in lists"}
	}
	expires, err := expiry(c.Expires, clock()())
	if err != nil {
		return &settingError{"--expires", c.Expires, err.Error()}
	}
	named, err := rt.settings.namedKeys()
	if err != nil {
		return err
	}
	for _, k := range named {
		if k.Name == c.Name {
			return &settingError{"NAME", c.Name, "is the name of a key of NEXUS_API_KEY or NEXUS_API_KEYS; choose another"}
		}
	}
	keys, err := openKeys(ctx, rt)
	if err != nil {
		return err
	}
	key, digest, err := freshKey()
	if err != nil {
		return err
	}
	before, err := keys.List(ctx)
	if err != nil {
		return err
	}
	err = keys.Create(ctx, storage.Key{Name: c.Name, Scopes: scopes.Names(), Note: c.Note, ExpiresAt: expires}, digest)
	if errors.Is(err, storage.ErrKeyTaken) {
		return fmt.Errorf("a key named %s was made before; `nexus keys rotate %s` gives it a new secret, unless it was revoked: then choose another name, since its jobs belong to that one", c.Name, c.Name)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(rt.main.Stdout, key)
	fmt.Fprintln(rt.main.Stderr, "This is the only time that the key is shown. Servers heed it at once.")
	if len(before) == 0 && len(named) == 0 {
		fmt.Fprintln(rt.main.Stderr, "It is the first key: from now on every caller needs one.")
	}
	return nil
}

func freshKey() (key, digest string, err error) {
	if key, err = api.NewKey(rand.Reader); err != nil {
		return "", "", err
	}
	sum := sha256.Sum256([]byte(key))
	return key, hex.EncodeToString(sum[:]), nil
}

// expiry reads a span from now, or a day.
func expiry(text string, now time.Time) (time.Time, error) {
	const want = "must be a time such as 90d or 12h, or a day to come such as 2027-01-31"
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			d, err := span(text)
			if err != nil {
				return time.Time{}, errors.New(want)
			}
			at = now.Add(d)
		}
	}
	if !at.After(now) {
		return time.Time{}, errors.New(want)
	}
	return at.UTC().Round(0), nil
}

// span reads a duration that may count days.
func span(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days+"|", "%d|", &n); err != nil || n < 0 || n > 36500 {
			return 0, errors.New("must be a number of days such as 90d")
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, errors.New("must be a time such as 12h or 90d")
	}
	return d, nil
}

type keysListCmd struct {
	JSON bool `help:"Print JSON."`
}

// listedKey is a key as it is shown: without its digests.
type listedKey struct {
	Name      string     `json:"name"`
	State     string     `json:"state"`
	Scopes    []string   `json:"scopes"`
	Note      string     `json:"note"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	RevokedAt *time.Time `json:"revoked_at"`
	// RotatedUntil is how long the secret before the present one is still taken.
	RotatedUntil *time.Time `json:"rotated_until"`
	LastUsedAt   *time.Time `json:"last_used_at"`
}

// Run lists the keys.
func (c keysListCmd) Run(ctx context.Context, rt *runtime) error {
	keys, err := openKeys(ctx, rt)
	if err != nil {
		return err
	}
	list, err := keys.List(ctx)
	if err != nil {
		return err
	}
	used, err := keys.LastUse(ctx)
	if err != nil {
		return err
	}
	now := clock()()
	shown := make([]listedKey, 0, len(list))
	for i := range list {
		shown = append(shown, listed(&list[i], used[list[i].Name], now))
	}
	if c.JSON {
		enc := json.NewEncoder(rt.main.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(shown)
	}
	w := tabwriter.NewWriter(rt.main.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tSCOPES\tEXPIRES\tLAST USED\tNOTE")
	for _, k := range shown {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.Name, k.State, strings.Join(k.Scopes, "+"), orNever(k.ExpiresAt), orNever(k.LastUsedAt), orDash(k.Note))
	}
	return w.Flush()
}

func listed(k *storage.Key, used, now time.Time) listedKey {
	out := listedKey{
		Name: k.Name, State: "valid", Scopes: k.Scopes, Note: k.Note, CreatedAt: k.CreatedAt,
		ExpiresAt: unlessZero(k.ExpiresAt), RevokedAt: unlessZero(k.RevokedAt), LastUsedAt: unlessZero(used),
	}
	for _, s := range k.Secrets {
		if !s.Until.IsZero() && s.ValidAt(now) {
			out.RotatedUntil = unlessZero(s.Until)
		}
	}
	switch {
	case !k.RevokedAt.IsZero():
		out.State = "revoked"
	case !k.ValidAt(now):
		out.State = "expired"
	case out.RotatedUntil != nil:
		out.State = "rotating"
	}
	return out
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func orNever(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

type keysRotateCmd struct {
	Name    string `arg:"" help:"Name of the key."`
	Overlap string `default:"24h" help:"How long the present secret stays valid, such as 24h or 7d; 0s ends it at once."`
}

// Run gives a key a new secret and prints it.
func (c keysRotateCmd) Run(ctx context.Context, rt *runtime) error {
	overlap, err := span(c.Overlap)
	if err != nil {
		return &settingError{"--overlap", c.Overlap, err.Error()}
	}
	keys, err := openKeys(ctx, rt)
	if err != nil {
		return err
	}
	key, digest, err := freshKey()
	if err != nil {
		return err
	}
	if err := keys.Rotate(ctx, c.Name, digest, overlap); err != nil {
		return unknownKey(c.Name, err)
	}
	fmt.Fprintln(rt.main.Stdout, key)
	fmt.Fprintf(rt.main.Stderr, "The former secret stays valid for %s.\n", overlap)
	return nil
}

type keysRevokeCmd struct {
	Name string `arg:"" help:"Name of the key."`
}

// Run ends a key.
func (c keysRevokeCmd) Run(ctx context.Context, rt *runtime) error {
	keys, err := openKeys(ctx, rt)
	if err != nil {
		return err
	}
	if err := keys.Revoke(ctx, c.Name); err != nil {
		return unknownKey(c.Name, err)
	}
	fmt.Fprintf(rt.main.Stdout, "The key %s is revoked; running servers refuse it within seconds.\n", c.Name)
	return nil
}

func unknownKey(name string, err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("no valid key is named %q; `nexus keys list` lists them", name)
	}
	return err
}
