package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
)

type configCmd struct {
	JSON bool `help:"Print JSON."`
}

// Run prints every setting, its value, default and source.
func (c configCmd) Run(rt *runtime) error {
	if c.JSON {
		enc := json.NewEncoder(rt.main.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(rt.values)
	}
	w := tabwriter.NewWriter(rt.main.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VARIABLE\tVALUE\tDEFAULT\tSOURCE\tMEANING")
	group := ""
	for _, v := range rt.values {
		if v.Group != group {
			group = v.Group
			fmt.Fprintf(w, "# %s\t\t\t\t\n", group)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Variable, orDash(v.Value), orDash(v.Default), v.Source, v.Help)
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
