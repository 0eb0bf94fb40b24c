package api

import (
	"fmt"
	"html/template"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The OpenAPI file, as far as the page of /docs shows it. Aliases of YAML are
// followed by the decoder, $ref by the code below.
type apiFile struct {
	Info struct {
		Title, Version, Summary, Description string
	}
	Tags []struct {
		Name, Description string
	}
	Paths      ordered[ordered[operation]]
	Components struct {
		Parameters map[string]parameter
		Responses  map[string]response
		Schemas    ordered[schema]
	}
}

type operation struct {
	Tags        []string
	Summary     string
	Description string
	Parameters  []parameter
	RequestBody struct {
		Content ordered[media]
	} `yaml:"requestBody"`
	Responses ordered[response]
}

type parameter struct {
	Ref         string `yaml:"$ref"`
	Name, In    string
	Description string
	Required    bool
	Schema      schema
}

type response struct {
	Ref         string `yaml:"$ref"`
	Description string
	Content     ordered[media]
}

type media struct {
	Schema  schema
	Example yaml.Node
}

type schema struct {
	Ref         string `yaml:"$ref"`
	Type        yaml.Node
	Format      string
	Description string
	Enum        []any
	Const       any
	Required    []string
	Properties  ordered[schema]
	Items       *schema
	AnyOf       []schema `yaml:"anyOf"`
	// A schema or a bool; only its being a schema matters.
	Additional yaml.Node `yaml:"additionalProperties"`
}

// ordered is a mapping that keeps the order of the file.
type ordered[T any] []entry[T]

type entry[T any] struct {
	Key   string
	Value T
}

func (o *ordered[T]) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: a mapping is expected", n.Line)
	}
	for i := 0; i < len(n.Content); i += 2 {
		e := entry[T]{Key: n.Content[i].Value}
		if err := n.Content[i+1].Decode(&e.Value); err != nil {
			return fmt.Errorf("line %d: %w", n.Content[i].Line, err)
		}
		*o = append(*o, e)
	}
	return nil
}

// What the page shows.
type docView struct {
	Title, Version, Summary string
	Description             template.HTML
	Tags                    []tagView
	Schemas                 []schemaView
}

type tagView struct {
	Name, Description string
	Operations        []operationView
}

type operationView struct {
	ID, Method, Path, Summary string
	Description               template.HTML
	Parameters                []row
	Bodies                    []bodyView
	Responses                 []responseView
}

type bodyView struct {
	Type, Schema, Example string
}

type responseView struct {
	Status, Description, Schema string
}

type schemaView struct {
	Name        string
	Description template.HTML
	Rows        []row
}

type row struct {
	Name, Type  string
	Required    bool
	Description template.HTML
}

// describe turns the OpenAPI file into what the page shows.
func describe(file []byte) (docView, error) {
	var f apiFile
	if err := yaml.Unmarshal(file, &f); err != nil {
		return docView{}, fmt.Errorf("read the OpenAPI file: %w", err)
	}
	v := docView{Title: f.Info.Title, Version: f.Info.Version, Summary: f.Info.Summary, Description: markup(f.Info.Description)}
	for _, t := range f.Tags {
		tag := tagView{Name: t.Name, Description: t.Description}
		for _, p := range f.Paths {
			for _, op := range p.Value {
				if len(op.Value.Tags) > 0 && op.Value.Tags[0] == t.Name {
					tag.Operations = append(tag.Operations, f.operation(p.Key, op.Key, op.Value))
				}
			}
		}
		v.Tags = append(v.Tags, tag)
	}
	for _, s := range f.Components.Schemas {
		v.Schemas = append(v.Schemas, schemaView{Name: s.Key, Description: markup(s.Value.Description), Rows: rowsOf(s.Value, "")})
	}
	return v, nil
}

func (f *apiFile) operation(path, method string, op operation) operationView {
	v := operationView{
		ID: method + strings.NewReplacer("/", "-", "{", "", "}", "").Replace(path), Method: strings.ToUpper(method), Path: path,
		Summary: op.Summary, Description: markup(op.Description),
	}
	for _, p := range op.Parameters {
		if p.Ref != "" {
			p = f.Components.Parameters[lastPart(p.Ref)]
		}
		v.Parameters = append(v.Parameters, row{Name: p.Name, Type: p.In + ", " + p.Schema.name(), Required: p.Required, Description: markup(p.Description)})
	}
	for _, m := range op.RequestBody.Content {
		v.Bodies = append(v.Bodies, bodyView{Type: m.Key, Schema: m.Value.Schema.link(), Example: example(m.Value.Example)})
	}
	for _, r := range op.Responses {
		if r.Value.Ref != "" {
			r.Value = f.Components.Responses[lastPart(r.Value.Ref)]
		}
		rv := responseView{Status: r.Key, Description: r.Value.Description}
		for _, m := range r.Value.Content {
			rv.Schema = m.Value.Schema.link()
		}
		v.Responses = append(v.Responses, rv)
	}
	return v
}

func example(n yaml.Node) string {
	if n.IsZero() {
		return ""
	}
	if n.Kind == yaml.ScalarNode {
		return strings.TrimSpace(n.Value)
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return ""
	}
	return jsonLine(v)
}

// rowsOf flattens a schema: members of members are written a.b.
func rowsOf(s schema, prefix string) []row {
	var out []row
	for _, p := range s.Properties {
		r := row{Name: prefix + p.Key, Type: p.Value.name(), Description: markup(p.Value.Description)}
		for _, n := range s.Required {
			r.Required = r.Required || n == p.Key
		}
		out = append(out, r)
		switch {
		case p.Value.Items != nil && len(p.Value.Items.Properties) > 0:
			out = append(out, rowsOf(*p.Value.Items, prefix+p.Key+"[].")...)
		default:
			out = append(out, rowsOf(p.Value, prefix+p.Key+".")...)
		}
	}
	return out
}

// name says in a few words what a value is.
func (s schema) name() string {
	switch {
	case s.Ref != "":
		return lastPart(s.Ref)
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, e := range s.Enum {
			words[i] = "null"
			if e != nil {
				words[i] = fmt.Sprint(e)
			}
		}
		return strings.Join(words, " | ")
	case s.Const != nil:
		return fmt.Sprint(s.Const)
	case s.Items != nil:
		return "list of " + s.Items.name()
	case len(s.AnyOf) > 0:
		words := make([]string, len(s.AnyOf))
		for i, a := range s.AnyOf {
			words[i] = a.name()
		}
		return strings.Join(words, " or ")
	case s.Additional.Kind == yaml.MappingNode:
		var of schema
		if s.Additional.Decode(&of) == nil {
			return "object of " + of.name()
		}
	}
	words := []string{s.Type.Value}
	if s.Type.Kind == yaml.SequenceNode {
		words = words[:0]
		for _, n := range s.Type.Content {
			words = append(words, n.Value)
		}
	}
	if words[0] == "" {
		return "any"
	}
	return strings.Join(words, " or ")
}

// link is the name of the schema that a body has, if it has one.
func (s schema) link() string {
	if s.Ref == "" {
		return ""
	}
	return lastPart(s.Ref)
}

func lastPart(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }
