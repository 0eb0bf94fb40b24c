//go:build avo

// Command asm writes the assembly of package kernel and its Go declarations. Run it through go generate in the folder
// above. It is not part of the product: the build tag keeps it and avo out.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: asm <folder of package kernel>")
		os.Exit(2)
	}
	files := []struct {
		pkg, folder, name string
		write             func(*build.Context)
	}{
		{"kernel", "", "gemm", gemm},
		{"kernel", "", "tanh", tanh},
		{"kernel", "", "vector", vectors},
		{"kernel", "", "scan", scans},
		{"peak", "peak", "peak", peak},
	}
	for _, f := range files {
		base := filepath.Join(os.Args[1], f.folder, f.name)
		if err := generate(f.pkg, base, f.write); err != nil {
			fmt.Fprintf(os.Stderr, "asm: %s: %v\n", f.name, err)
			os.Exit(1)
		}
	}
}

// generate writes base_amd64.s and base_stub_amd64.go.
func generate(pkg, base string, write func(*build.Context)) error {
	c := build.NewContext()
	c.ConstraintExpr("amd64")
	write(c)
	file, err := c.Result()
	if err != nil {
		return fmt.Errorf("build: %w", err)
	}
	if err := pass.Compile.Execute(file); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	cfg := printer.Config{Name: "model/kernel/asm", Argv: []string{"model/kernel/asm"}, Pkg: pkg}
	for name, p := range map[string]printer.Printer{
		base + "_amd64.s":       printer.NewGoAsm(cfg),
		base + "_stub_amd64.go": printer.NewStubs(cfg),
	} {
		out, err := p.Print(file)
		if err != nil {
			return fmt.Errorf("print %s: %w", name, err)
		}
		if err := os.WriteFile(name, append(bytes.TrimRight(out, "\n"), '\n'), 0o644); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}
