package main

import (
	"fmt"
	"runtime/debug"
)

// version is set by the linker (make VERSION=…); else the build information tells.
var version = ""

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(rt *runtime) error {
	_, err := fmt.Fprintln(rt.main.Stdout, "nexus", versionText())
	return err
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
