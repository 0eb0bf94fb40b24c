package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type manCmd struct{}

// Run prints the manual page, in man(7).
func (manCmd) Run(rt *runtime, app *kong.Kong) error { //nolint:unparam // kong asks for it
	var b strings.Builder
	escape := strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ")
	line := func(format string, v ...any) { fmt.Fprintf(&b, format+"\n", v...) }
	line(`.TH NEXUS 1 "" "NEXUS Continuum" "User Commands"`)
	line(".SH NAME\nnexus \\- learns from what it is taught, answers only when it is sure")
	line(".SH SYNOPSIS\n.B nexus\n.I command\n[arguments] [flags]")
	line(".SH DESCRIPTION\n%s", escape.Replace(app.Model.Help))
	for _, g := range commandGroups() {
		line(".SH %s", strings.ToUpper(escape.Replace(g.Title)))
		for _, n := range app.Model.Children {
			if n.Group == nil || n.Group.Key != g.Key || n.Hidden {
				continue
			}
			line(".TP\n.B nexus %s", escape.Replace(n.Summary()))
			line("%s", escape.Replace(n.Help))
		}
	}
	line(".SH SETTINGS\nEach is a variable and a flag of every command that serves.")
	for _, v := range rt.values {
		line(".TP\n.B %s, %s\n%s Default: %s", escape.Replace(v.Variable), escape.Replace(v.Flag), escape.Replace(v.Help), escape.Replace(v.Default))
	}
	line(".SH EXIT STATUS\n0: done. 1: failed; the reason is on standard error. 2: the command line or a setting is wrong. 3: the prompt was refused (nexus ask).")
	line(".SH SEE ALSO\nThe dashboard and its API reference, /docs on a running server.")
	_, err := fmt.Fprint(rt.main.Stdout, b.String())
	return err
}
