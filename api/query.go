package api

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"go.yaml.in/yaml/v3"

	"github.com/nexus-continuum/nexus/job"
)

// queries holds the query parameters of each route, as listed in the OpenAPI file: "GET
// /api/jobs" → cursor, limit, …
type queries map[string][]string

type openParameter struct {
	Ref  string `yaml:"$ref"`
	Name string `yaml:"name"`
	In   string `yaml:"in"`
}

var (
	pathParameter = regexp.MustCompile(`\{(\w+)\}`)
	methods       = []string{"get", "post", "put", "patch", "delete"}
)

func newQueries(openapi []byte) (queries, error) {
	var file struct {
		Paths      map[string]map[string]yaml.Node
		Components struct {
			Parameters map[string]openParameter
		}
	}
	if err := yaml.Unmarshal(openapi, &file); err != nil {
		return nil, fmt.Errorf("read the parameters of the OpenAPI file: %w", err)
	}
	out := queries{}
	for path, item := range file.Paths {
		for method, node := range item {
			if !slices.Contains(methods, method) {
				continue
			}
			var op struct{ Parameters []openParameter }
			if err := node.Decode(&op); err != nil {
				return nil, fmt.Errorf("read the parameters of %s %s: %w", method, path, err)
			}
			route := strings.ToUpper(method) + " " + pathParameter.ReplaceAllString(strings.ReplaceAll(path, ":", `\:`), ":$1")
			out[route] = []string{}
			for _, p := range op.Parameters {
				if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
					p = file.Components.Parameters[name]
				}
				if p.In == "query" {
					out[route] = append(out[route], p.Name)
				}
			}
		}
	}
	return out, nil
}

// known refuses query parameters that a route does not have, because a misspelt filter
// would show everything.
func (q queries) known(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.URL.RawQuery == "" {
			return next(c)
		}
		known, ok := q[r.Method+" "+c.Path()]
		if !ok {
			return next(c)
		}
		for name := range c.QueryParams() {
			if slices.Contains(known, name) {
				continue
			}
			name = job.Clip(name, 80)
			if len(known) == 0 {
				return job.Errorf(job.CodeInvalid, "unknown query parameter %q; this route takes none", name).On(name)
			}
			return job.Errorf(job.CodeInvalid, "unknown query parameter %q; known: %s", name, strings.Join(known, ", ")).On(name)
		}
		return next(c)
	}
}
