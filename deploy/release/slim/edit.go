package main

import (
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func (e edit) apply(path string) error {
	content, err := os.ReadFile(path) //nolint:gosec // below the folder that the caller names
	if err != nil {
		return fmt.Errorf("read a file to change: %w", err)
	}
	text := string(content)
	for i := 0; i < len(e.pairs); i += 2 {
		if n := strings.Count(text, e.pairs[i]); n != 1 {
			return fmt.Errorf("%s of %s has this %d times instead of once, so the module has changed; adapt deploy/release/slim: %q", e.file, e.module, n, e.pairs[i])
		}
		text = strings.Replace(text, e.pairs[i], e.pairs[i+1], 1)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // source code
		return fmt.Errorf("write a changed file: %w", err)
	}
	return nil
}

// cut takes out of files of a module what nothing of nexus reaches, and the imports
// that only this needs. After an update of the module a function or variable may have
// gone; then the build stops.
type cut struct {
	module, files string   // files is a pattern
	functions     []string // functions and methods
	variables     []string
	cases         []string // types whose cases are left out of `switch t`; what they did is then an error
}

func (c cut) apply(folder string) error {
	found, err := filepath.Glob(filepath.Join(folder, filepath.FromSlash(c.files)))
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", c.files, c.module, err)
	}
	gone := map[string]bool{}
	for _, name := range found {
		if err := c.file(name, gone); err != nil {
			return fmt.Errorf("cut %s: %w", name, err)
		}
	}
	for _, name := range slices.Concat(c.functions, c.variables, c.cases) {
		if !gone[name] {
			return fmt.Errorf("%s of %s has no %s, so the module has changed; adapt deploy/release/slim", c.files, c.module, name)
		}
	}
	return nil
}

// file notes in gone what it took out.
func (c cut) file(name string, gone map[string]bool) error {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution) // without comments, which would move
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	listed := func(names []string, name string) bool {
		hit := slices.Contains(names, name)
		gone[name] = gone[name] || hit
		return hit
	}
	file.Decls = slices.DeleteFunc(file.Decls, func(d ast.Decl) bool {
		switch d := d.(type) {
		case *ast.FuncDecl:
			return listed(c.functions, d.Name.Name)
		case *ast.GenDecl:
			if d.Tok != token.VAR {
				return false
			}
			d.Specs = slices.DeleteFunc(d.Specs, func(s ast.Spec) bool {
				v, ok := s.(*ast.ValueSpec)
				return ok && listed(c.variables, v.Names[0].Name)
			})
			return len(d.Specs) == 0
		}
		return false
	})
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SwitchStmt); ok {
			if tag, ok := s.Tag.(*ast.Ident); ok && tag.Name == "t" {
				s.Body.List = slices.DeleteFunc(s.Body.List, func(s ast.Stmt) bool {
					of, ok := s.(*ast.CaseClause)
					if !ok || len(of.List) != 1 {
						return false
					}
					t, ok := of.List[0].(*ast.Ident)
					return ok && listed(c.cases, t.Name)
				})
			}
		}
		return true
	})
	dropImports(file)
	out, err := os.Create(name) //nolint:gosec // below the folder that the caller names
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	if err := format.Node(out, files, file); err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	return out.Close() //nolint:wrapcheck // wrapped by the caller
}

// dropImports takes out the imports that are not used any more.
func dropImports(file *ast.File) {
	used := map[string]bool{"_": true, ".": true}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if of, ok := s.X.(*ast.Ident); ok {
				used[of.Name] = true
			}
		}
		return true
	})
	unused := func(s ast.Spec) bool {
		i, ok := s.(*ast.ImportSpec)
		if !ok {
			return false
		}
		if i.Name != nil {
			return !used[i.Name.Name]
		}
		from, err := strconv.Unquote(i.Path.Value)
		return err == nil && !used[path.Base(from)]
	}
	file.Decls = slices.DeleteFunc(file.Decls, func(d ast.Decl) bool {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.IMPORT {
			return false
		}
		g.Specs = slices.DeleteFunc(g.Specs, unused)
		return len(g.Specs) == 0
	})
}
