package main

import (
	"encoding/json"
	"fmt"
	goruntime "runtime"
	"runtime/debug"
)

// The linker sets version (make VERSION=…), and for a release revision. Without
// them the build information tells.
var version, revision = "", ""

type versionCmd struct {
	JSON bool `help:"Print JSON."`
}

// build is what nexus version --json prints.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	Cgo      bool   `json:"cgo"` // NVML, which reads NVIDIA GPUs, needs it
}

// Run prints the version.
func (c versionCmd) Run(rt *runtime) error {
	if c.JSON {
		enc := json.NewEncoder(rt.main.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(buildOf())
	}
	_, err := fmt.Fprintln(rt.main.Stdout, "nexus", versionText())
	return err
}

func buildOf() build {
	b := build{Version: versionText(), Go: goruntime.Version(), OS: goruntime.GOOS, Arch: goruntime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "CGO_ENABLED":
			b.Cgo = s.Value == "1"
		}
	}
	if revision != "" {
		b.Revision = revision
	}
	return b
}

func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "development"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v += " " + s.Value[:12]
		}
	}
	return v
}
