package model

import (
	_ "embed"
	"strings"
)

// elsewhereText are prompts about a bit of everything, one a line, written for
// this purpose: what a service is asked that has nothing to do with it. With
// only left-out lessons for foreign prompts the gate would never see one in
// words that nobody taught, which most foreign prompts are.
//
//go:embed elsewhere.txt
var elsewhereText string

func elsewhere() []string { return strings.Split(strings.TrimSpace(elsewhereText), "\n") }
