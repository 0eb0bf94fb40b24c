package lessonfile

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/nexus-continuum/nexus/job"
)

// What is read of Rasa's training files: intents with examples, the texts of
// responses, and the steps of rules and stories that lead from one to the other.
type rasaFile struct {
	NLU []struct {
		Intent   string
		Examples yaml.Node
	}
	Responses map[string][]struct {
		Text string
	}
	Rules   []rasaPath
	Stories []rasaPath
}

type rasaPath struct {
	Steps []map[string]yaml.Node
}

// rasaEntity matches the marks of entities in examples: [Berlin](city) and
// [Berlin]{"entity": "city"}.
var rasaEntity = regexp.MustCompile(`\[([^\]]+)\](?:\([^)]*\)|\{[^}]*\})`)

// yamlLine is how the YAML package says where it stopped.
var yamlLine = regexp.MustCompile(`line \d+`)

func looksRasa(s string) bool {
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line == "---" {
			continue
		}
		for _, key := range []string{"version:", "nlu:", "responses:", "intents:", "rules:", "stories:"} {
			if strings.HasPrefix(line, key) {
				return true
			}
		}
		return false
	}
	return false
}

func openRasa(body []byte, opt Options) (*File, error) {
	type intent struct {
		name  string
		line  int
		texts []Lesson
	}
	var intents []intent
	responses, leads := map[string]string{}, map[string]string{}
	d := yaml.NewDecoder(bytes.NewReader(body))
	for {
		var f rasaFile
		err := d.Decode(&f)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, notRasa(err)
		}
		for _, n := range f.NLU {
			if n.Intent != "" {
				intents = append(intents, intent{n.Intent, n.Examples.Line, examples(n.Examples)})
			}
		}
		for name, texts := range f.Responses {
			for _, t := range texts {
				if strings.TrimSpace(t.Text) != "" && responses[name] == "" {
					responses[name] = t.Text
				}
			}
		}
		for _, p := range append(f.Rules, f.Stories...) {
			p.follow(leads)
		}
	}
	if len(intents) == 0 && len(responses) > 0 {
		return nil, unreadable("the YAML holds responses but no intents with examples (nlu:); send nlu.yml and domain.yml together in a zip")
	}
	if len(intents) == 0 {
		return nil, unreadable("the YAML holds no Rasa intents with examples (nlu:)")
	}
	var lessons []Lesson
	var faults []*job.Fault
	for _, in := range intents {
		text, ok := responses["utter_"+in.name]
		if !ok {
			text, ok = responses[leads[in.name]]
		}
		if !ok {
			faults = append(faults, fault(in.line, "no response is known for the intent %q; put utter_%s under responses, or send nlu.yml and domain.yml together in a zip",
				job.Clip(in.name, 80), job.Clip(in.name, 80)))
			continue
		}
		for _, l := range in.texts {
			l.Response, l.Topic = &text, opt.Topic
			lessons = append(lessons, l)
		}
	}
	return &File{Format: FormatRasa, next: listed(lessons, faults)}, nil
}

// notRasa says why a YAML file cannot be read. The words of the YAML package name
// the types of this program, which help nobody.
func notRasa(err error) error {
	if e, ok := errors.AsType[*yaml.TypeError](err); ok {
		line := ""
		if m := yamlLine.FindString(strings.Join(e.Errors, " ")); m != "" {
			line = " on " + m
		}
		return unreadable("the YAML has another form than Rasa's training data%s: nlu: is a list of intents, each with its examples", line)
	}
	return unreadable("the YAML is broken: %s", job.Clip(strings.TrimPrefix(err.Error(), "yaml: "), 200))
}

// examples reads the list that Rasa writes as a text, or a plain list.
func examples(n yaml.Node) []Lesson {
	var out []Lesson
	add := func(line int, s string) {
		if s = strings.TrimSpace(rasaEntity.ReplaceAllString(s, "$1")); s != "" {
			out = append(out, Lesson{Line: line, Prompt: s})
		}
	}
	switch n.Kind {
	case yaml.ScalarNode:
		line := n.Line
		for s := range strings.Lines(n.Value) {
			line++
			if s, ok := strings.CutPrefix(strings.TrimSpace(s), "-"); ok {
				add(line, s)
			}
		}
	case yaml.SequenceNode:
		for _, e := range n.Content {
			if e.Kind == yaml.MappingNode {
				for i := 0; i+1 < len(e.Content); i += 2 {
					if e.Content[i].Value == "text" {
						add(e.Line, strings.TrimPrefix(strings.TrimSpace(e.Content[i+1].Value), "-"))
					}
				}
				continue
			}
			add(e.Line, e.Value)
		}
	}
	return out
}

// follow notes which action comes first after each intent.
func (p rasaPath) follow(leads map[string]string) {
	last := ""
	for _, step := range p.Steps {
		if n, ok := step["intent"]; ok {
			last = n.Value
		}
		if n, ok := step["action"]; ok && last != "" {
			if leads[last] == "" {
				leads[last] = n.Value
			}
			last = ""
		}
	}
}
