package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Groups of commands in the help, in this order.
func commandGroups() []kong.Group {
	return []kong.Group{
		{Key: "people", Title: "Teach and ask (a running server, --url)"},
		{Key: "operate", Title: "Operate (a running server, --url)"},
		{Key: "serve", Title: "Serve"},
		{Key: "keep", Title: "Keep (the data folder or bucket)"},
		{Key: "setup", Title: "Set up"},
	}
}

// helpPrinter shows a command with its own flags. The settings are flags of every
// command; only those that serve show them, and of these what few ever need is
// left to nexus config.
func helpPrinter(options kong.HelpOptions, ctx *kong.Context) error {
	serves := false
	if n := ctx.Selected(); n != nil {
		switch n.Name {
		case "serve", "api", "worker", "scheduler":
			serves = true
		}
	}
	hidden := 0
	for _, f := range ctx.Model.Flags {
		if f.Tag.Has("var") && (!serves || f.Group != nil && f.Group.Key == "Advanced") {
			f.Hidden = true
			hidden++
		}
	}
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	if hidden > 0 {
		_, err := fmt.Fprintln(ctx.Stdout, "\nSettings come from the environment too (NEXUS_…); `nexus config` lists them all.")
		return err
	}
	return nil
}

type helpCmd struct {
	Command []string `arg:"" optional:"" help:"Command to explain."`
}

// Run explains a command.
func (h helpCmd) Run(ctx context.Context, rt *runtime) error {
	if code := rt.main.Run(ctx, append(h.Command, "--help")); code != exitOK {
		return &exitError{code: code}
	}
	return nil
}

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Shell: bash, zsh, fish."`
}

// Help is shown by nexus completion --help.
func (completionCmd) Help() string {
	return `bash: source <(nexus completion bash)   zsh: source <(nexus completion zsh)   fish: nexus completion fish | source`
}

// Run prints a script that completes commands and their flags.
func (c completionCmd) Run(rt *runtime, app *kong.Kong) error { //nolint:unparam // kong asks for it
	var commands, cases []string
	for _, n := range app.Model.Children {
		commands = append(commands, n.Name)
		var flags []string
		for _, f := range n.Flags {
			flags = append(flags, "--"+f.Name)
			if c.Shell == "fish" {
				cases = append(cases, fmt.Sprintf("complete -c nexus -n '__fish_seen_subcommand_from %s' -l %s -d '%s'", n.Name, f.Name, strings.ReplaceAll(f.Help, "'", "")))
			}
		}
		if c.Shell != "fish" {
			cases = append(cases, fmt.Sprintf("    %s) words=%q ;;", n.Name, strings.Join(flags, " ")))
		}
	}
	list := strings.Join(commands, " ")
	if c.Shell == "fish" {
		fmt.Fprintf(rt.main.Stdout, "complete -c nexus -n __fish_use_subcommand -f -a '%s'\n%s\n", list, strings.Join(cases, "\n"))
		return nil
	}
	if c.Shell == "zsh" {
		fmt.Fprintln(rt.main.Stdout, "autoload -U +X bashcompinit && bashcompinit")
	}
	fmt.Fprintf(rt.main.Stdout, `_nexus() {
  local word="${COMP_WORDS[COMP_CWORD]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words=%q
  else
    case "${COMP_WORDS[1]}" in
%s
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  if [ "${#COMPREPLY[@]}" -eq 0 ]; then COMPREPLY=($(compgen -f -- "$word")); fi
}
complete -F _nexus nexus
`, list, strings.Join(cases, "\n"))
	return nil
}
