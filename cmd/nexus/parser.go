package main

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// parser is kong with variables, ranges and choices read from the tags of
// Settings, and faults that name the variable, the value and what would be right.
type parser struct {
	kong      *kong.Kong
	env       map[string]string
	helpShown bool
}

func newParser(c *cli, m Main) (*parser, error) {
	p := &parser{env: map[string]string{}}
	for _, pair := range m.Environ {
		// A variable set to nothing, as compose files do, is as good as unset.
		if name, v, ok := strings.Cut(pair, "="); ok && v != "" {
			p.env[name] = v
		}
	}
	k, err := kong.New(
		c, kong.Name("nexus"),
		kong.Description("NEXUS Continuum learns from what it is taught, answers only when it is sure, and says so when it is not."),
		kong.Writers(m.Stdout, m.Stderr),
		kong.ExplicitGroups(commandGroups()), kong.Help(helpPrinter),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.Exit(func(int) { p.helpShown = true }),
		kong.ValueFormatter(describe),
		kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
			if _, v, ok := p.variable(f); ok {
				return v, nil
			}
			return nil, nil
		})),
	)
	if err != nil {
		return nil, fmt.Errorf("build the command line: %w", err)
	}
	p.kong = k
	return p, nil
}

// describe adds the variable and the default to the help text of a flag.
func describe(v *kong.Value) string {
	help := v.Help
	if names := v.Tag.Get("var"); names != "" {
		help += " [$" + strings.ReplaceAll(names, ",", ", $") + "]"
	}
	return help
}

// variable finds the first set variable of a flag.
func (p *parser) variable(f *kong.Flag) (name, value string, ok bool) {
	if !f.Tag.Has("var") {
		return "", "", false
	}
	for name := range strings.SplitSeq(f.Tag.Get("var"), ",") {
		if v, ok := p.env[name]; ok {
			return name, v, true
		}
	}
	return "", "", false
}

// parse reads the variables and the command line into the settings.
func (p *parser) parse(args []string) (*kong.Context, error) {
	for _, f := range p.kong.Model.Flags {
		if name, v, ok := p.variable(f); ok {
			if want := fault(f.Value, v); want != "" {
				return nil, &settingError{name, v, want}
			}
		}
	}
	kctx, err := p.kong.Parse(args)
	if err != nil || p.helpShown {
		return nil, err
	}
	for _, f := range p.kong.Model.Flags {
		if p.source(kctx, f) == sourceFlag {
			if v := text(f.Value); fault(f.Value, v) != "" {
				return nil, &settingError{"--" + f.Name, v, fault(f.Value, v)}
			}
		}
		// Levels and names are compared in one case from here on.
		if choices := f.Tag.Get("choice"); choices != "" {
			for c := range strings.SplitSeq(choices, ",") {
				if strings.EqualFold(c, f.Target.String()) {
					f.Target.SetString(c)
				}
			}
		}
	}
	return kctx, nil
}

// fault says what would be right if raw is no value for v, else nothing.
func fault(v *kong.Value, raw string) string {
	if choices := v.Tag.Get("choice"); choices != "" {
		list := strings.Split(choices, ",")
		if !slices.ContainsFunc(list, func(c string) bool { return strings.EqualFold(c, raw) }) {
			return "must be one of " + strings.Join(list, ", ")
		}
		return ""
	}
	if _, ok := v.Target.Addr().Interface().(*Period); ok {
		var p Period
		if err := p.UnmarshalText([]byte(raw)); err != nil {
			return err.Error()
		}
		return ""
	}
	switch v.Target.Kind() {
	case reflect.Bool:
		if _, err := strconv.ParseBool(raw); err != nil {
			return "must be true or false"
		}
	case reflect.Int, reflect.Float64, reflect.Uint64:
		return numberFault(v, raw)
	default:
	}
	return ""
}

func numberFault(v *kong.Value, raw string) string {
	low, high, ranged := strings.Cut(v.Tag.Get("range"), ":")
	want := "must be a number"
	if v.Target.Kind() != reflect.Float64 {
		want = "must be a whole number"
	}
	if ranged {
		want += " from " + low + " to " + high
	}
	n, err := strconv.ParseFloat(raw, 64)
	if v.Target.Kind() == reflect.Int {
		_, err = strconv.Atoi(raw)
	} else if v.Target.Kind() == reflect.Uint64 {
		_, err = strconv.ParseUint(raw, 10, 64)
	}
	if err != nil || math.IsNaN(n) {
		return want
	}
	if ranged {
		// The tags are ours: they parse.
		lo, _ := strconv.ParseFloat(low, 64)
		hi, _ := strconv.ParseFloat(high, 64)
		if n < lo || n > hi {
			return want
		}
	}
	return ""
}

// Sources of a value.
const (
	sourceDefault = "default"
	sourceFlag    = "flag"
)

// value is a setting with its value, for `nexus config`.
type value struct {
	Group    string `json:"group"`
	Variable string `json:"variable"`
	Flag     string `json:"flag"`
	Value    string `json:"value"`
	Default  string `json:"default"`
	Source   string `json:"source"`
	Help     string `json:"help"`
}

// advanced is the group of settings that few deployments need.
const advanced = "Advanced"

// values lists every setting in the order of its declaration, the advanced ones
// last. Secrets are masked.
func (p *parser) values(kctx *kong.Context, hide *redaction) []value {
	var out []value
	for _, f := range p.kong.Model.Flags {
		if !f.Tag.Has("var") {
			continue
		}
		group := ""
		if f.Group != nil {
			group = f.Group.Title
		}
		variable, _, _ := strings.Cut(f.Tag.Get("var"), ",")
		v := text(f.Value)
		if f.Tag.Has("secret") && f.Tag.Get("secret") != "url" && v != "" {
			v = "(set)"
		}
		v = hide.text(v)
		out = append(out, value{
			Group: group, Variable: variable, Flag: "--" + f.Name, Value: v,
			Default: f.Default, Source: p.source(kctx, f), Help: f.Help,
		})
	}
	slices.SortStableFunc(out, func(a, b value) int {
		last := func(v value) int {
			if v.Group == advanced {
				return 1
			}
			return 0
		}
		return last(a) - last(b)
	})
	return out
}

func (p *parser) source(kctx *kong.Context, f *kong.Flag) string {
	for _, path := range kctx.Path {
		if path.Flag == f && !path.Resolved {
			return sourceFlag
		}
	}
	if name, _, ok := p.variable(f); ok {
		return "$" + name
	}
	return sourceDefault
}

// text writes a value as the command line takes it.
func text(v *kong.Value) string {
	if list, ok := v.Target.Interface().([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(v.Target.Interface())
}

// unknownVariables warns of variables that look like ours and are none. They do
// not stop the start, since Kubernetes sets such names for a service called nexus.
func (p *parser) unknownVariables() []string {
	known := map[string]bool{"NEXUS_URL": true} // of the commands that speak to a server
	for _, f := range p.kong.Model.Flags {
		for name := range strings.SplitSeq(f.Tag.Get("var"), ",") {
			known[name] = true
		}
	}
	var out []string
	for name := range p.env {
		// The last two belong to benchmarks and tests.
		if strings.HasPrefix(name, "NEXUS_") && !known[name] && !strings.HasPrefix(name, "NEXUS_BENCH_") && !strings.HasPrefix(name, "NEXUS_TEST_") {
			out = append(out, name+" is no setting and is ignored; `nexus config` lists them all")
		}
	}
	slices.Sort(out)
	return out
}
