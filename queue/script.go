package queue

import (
	"embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/outbox"
)

//go:embed lua
var luaFiles embed.FS

// scripts are the steps that must happen completely or not at all, by the folder of lua
// that they are in.
type scripts struct {
	// job
	enqueue, submit, dequeue, start, progress, requeue, answer, finish *redis.Script
	detach, cancelWait, cancel, read, follow, expire                   *redis.Script
	// lane
	laneState, forward, shards *redis.Script
	// reconcile
	claimScan, sweep, orphans, owned, operator, overdue, abandoned *redis.Script
}

// loadScripts assembles the scripts. clock is shared/clock.lua; a simulation has a clock
// of its own.
func loadScripts(eventHistory int, clock string) *scripts {
	shared := blocks(bounds(eventHistory), clock, transitions(), source("shared/flow"), source("shared/record"))
	script := func(name string) *redis.Script { return redis.NewScript(assemble(shared, name)) }
	return &scripts{
		enqueue: script("job/enqueue"), submit: script("job/submit"), dequeue: script("job/dequeue"), start: script("job/start"),
		progress: script("job/progress"), requeue: script("job/requeue"), answer: script("job/answer"), finish: script("job/finish"),
		detach: script("job/detach"), cancelWait: script("job/cancel_wait"), cancel: script("job/cancel"), read: script("job/read"),
		follow: script("job/follow"), expire: script("job/expire"),
		laneState: script("lane/state"), forward: script("lane/forward"), shards: script("lane/shards"),
		claimScan: script("reconcile/claim_scan"), sweep: script("reconcile/sweep"), orphans: script("reconcile/orphans"), owned: script("reconcile/owned"),
		operator: script("reconcile/operator"), overdue: script("reconcile/overdue"), abandoned: script("reconcile/abandoned"),
	}
}

// block is a piece of Lua that several scripts share, with the names that it defines.
type block struct {
	text string
	uses *regexp.Regexp // finds its names
}

var definition = regexp.MustCompile(`(?m)^local (?:function )?([\w, ]+?)(?: =|\(|$)`)

// blocks splits shared Lua at blank lines.
func blocks(sources ...string) (all []block) {
	for _, text := range strings.Split(code(strings.Join(sources, "\n")), "\n\n") {
		var names []string
		for _, m := range definition.FindAllStringSubmatch(text, -1) {
			names = append(names, strings.Split(m[1], ", ")...)
		}
		if len(names) > 0 {
			all = append(all, block{text, regexp.MustCompile(`\b(?:` + strings.Join(names, "|") + `)\b`)})
		}
	}
	return all
}

// assemble puts the blocks that a script uses before it. Redis builds every function
// of a script on each call, so one that has them all costs 3 µs more.
func assemble(shared []block, name string) string {
	text := code(source(name))
	for _, b := range slices.Backward(shared) {
		if b.uses.MatchString(text) {
			text = b.text + "\n" + text
		}
	}
	return text
}

var comment = regexp.MustCompile(`(?m)^[ \t]*--.*\n`)

// code removes the comment lines, which mention names that a script does not use.
func code(lua string) string { return comment.ReplaceAllString(lua, "") }

// bounds writes the limits of records, and the error of a canceled job.
func bounds(eventHistory int) string {
	canceled, err := json.Marshal(canceledError())
	if err != nil {
		panic(err) // two strings
	}
	return fmt.Sprintf("local MOST_EVENTS, MOST_BOXES, MOST_WAITING, PROGRESS_REST = '%d', %d, %d, %d\n\nlocal CANCELED = [=[%s]=]\n",
		eventHistory, outbox.MaxBoxes, outbox.MaxEvents, outbox.ProgressRest.Milliseconds(), canceled)
}

func source(name string) string {
	b, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // the file is part of the binary
	}
	return string(b) + "\n"
}

// transitions writes job.State.Allows as a Lua table, so that the state machine has one
// source.
func transitions() string {
	states := []job.State{job.StateQueued, job.StateRunning, job.StateSucceeded, job.StateFailed, job.StateCanceled}
	var b strings.Builder
	b.WriteString("local allows = {")
	for _, from := range states {
		b.WriteString(string(from) + "={")
		for _, to := range states {
			if from.Allows(to) {
				b.WriteString(string(to) + "=true,")
			}
		}
		b.WriteString("},")
	}
	b.WriteString("}\n")
	return b.String()
}
