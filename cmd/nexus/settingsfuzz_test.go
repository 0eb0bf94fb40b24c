package main

import (
	"io"
	"strings"
	"testing"
)

// FuzzSettings: any value of any setting is either taken or refused by name.
func FuzzSettings(f *testing.F) {
	p, err := newParser(&cli{}, Main{Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		f.Fatal(err)
	}
	var names []string
	for _, flag := range p.kong.Model.Flags {
		if flag.Tag.Has("var") {
			name, _, _ := strings.Cut(flag.Tag.Get("var"), ",")
			names = append(names, name)
		}
	}
	for i, v := range []string{"1", "-1", "50%", "1e9", "24h", "7d", "true", "redis://h:1/0", "https://u:p@h/", "a=b,c=d", "127.0.0.1:0", "", "\x1b", "10.0.0.0/8"} {
		f.Add(uint8(i*7), v)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, which uint8, value string) {
		if strings.ContainsRune(value, 0) {
			return // no environment can hold it
		}
		name := names[int(which)%len(names)]
		if strings.HasSuffix(name, "_DIR") || strings.HasSuffix(name, "_FILE") || strings.HasPrefix(name, "NEXUS_TLS") {
			return // paths of this machine
		}
		_, said, code := inProcess(t, dir, []string{"config"}, name+"="+value)
		if code != exitOK && (code != exitUsage || said == "") {
			t.Errorf("%s=%q: exit %d, %q", name, value, code, said)
		}
	})
}
