package api

import (
	"fmt"
	"slices"
	"strings"
)

// Scope says what a key may be used for.
type Scope uint8

// The scopes. A key has any set of them, and none implies another.
const (
	ScopeAsk     Scope = 1 << iota // ask prompts
	ScopeTeach                     // teach, correct and unlearn; feedback
	ScopeJobs                      // queue jobs and list one's own
	ScopeRead                      // see the status, metrics, lessons, refusals, checkpoints
	ScopeControl                   // steer the service, and see and end what belongs to others

	// ScopeAll is every scope.
	ScopeAll = ScopeAsk | ScopeTeach | ScopeJobs | ScopeRead | ScopeControl
	// ScopeUsual is the set for a key of NEXUS_API_KEYS that names no scopes.
	ScopeUsual = ScopeAll &^ ScopeControl
	// scopeOwn is for what callers may always do with jobs that they made.
	scopeOwn = ScopeAll
)

var scopeNames = []string{"ask", "teach", "jobs", "read", "control"}

// Names lists the scopes of a set.
func (s Scope) Names() []string {
	out := []string{}
	for i, n := range scopeNames {
		if s&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

// ParseScopes reads the names of scopes.
func ParseScopes(names []string) (Scope, error) {
	var s Scope
	for _, n := range names {
		i := slices.Index(scopeNames, strings.ToLower(strings.TrimSpace(n)))
		if i < 0 {
			return 0, fmt.Errorf("the scope %q is unknown; known: %s", n, strings.Join(scopeNames, ", "))
		}
		s |= 1 << i
	}
	if s == 0 {
		return 0, fmt.Errorf("a key needs at least one scope of %s", strings.Join(scopeNames, ", "))
	}
	return s, nil
}
