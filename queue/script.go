package queue

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

//go:embed lua
var luaFiles embed.FS

// scripts are the steps that must happen completely or not at all.
type scripts struct {
	enqueue, submit, dequeue, start, requeue   *redis.Script
	answer, finish                             *redis.Script
	detach, cancelWait, cancel, read, progress *redis.Script
	hands                                      *redis.Script
	probe                                      *redis.Script
	follow                                     *redis.Script
	turn, sweep, orphans, mine, expire         *redis.Script
	overdue, waiters, forward, endRest         *redis.Script
	lane, pause, shards                        *redis.Script
	acquire, renew, release                    *redis.Script
	claim, keep, drop                          *redis.Script
	beat, beats, unbeat, find                  *redis.Script
	fetch, posted                              *redis.Script
}

// loadScripts assembles the scripts. clock is clock.lua; a simulation has a clock of
// its own.
func loadScripts(eventHistory int, clock string) *scripts {
	prelude := bounds(eventHistory) + clock + transitions() + source("record")
	flow := source("flow")
	plain := func(name string) *redis.Script { return redis.NewScript(source(name)) }
	timed := func(name string) *redis.Script { return redis.NewScript(clock + source(name)) }
	past := func(name string) *redis.Script { return redis.NewScript(source("past") + source(name)) }
	record := func(name string) *redis.Script { return redis.NewScript(prelude + source(name)) }
	return &scripts{
		enqueue: redis.NewScript(clock + flow + source("enqueue")), dequeue: redis.NewScript(prelude + flow + source("dequeue")),
		submit: redis.NewScript(prelude + flow + source("submit")), start: record("start"),
		answer: plain("answer"), finish: record("finish"), requeue: record("requeue"), detach: record("detach"),
		cancelWait: plain("cancelwait"), cancel: record("cancel"), read: record("read"),
		progress: record("progress"), turn: plain("turn"), sweep: record("sweep"), orphans: record("orphans"), hands: record("hands"), mine: plain("mine"),
		expire: record("expire"), follow: record("follow"), overdue: record("overdue"), waiters: timed("waiters"), forward: timed("forward"), endRest: timed("endrest"),
		lane: timed("lane"), pause: plain("pause"), shards: plain("shards"),
		acquire: plain("acquire"), renew: plain("renew"), release: plain("release"),
		claim: timed("claim"), keep: plain("keep"), drop: plain("drop"),
		beat: past("beat"), beats: past("beats"), unbeat: past("unbeat"), find: plain("find"), probe: plain("probe"),
		fetch: plain("fetch"), posted: record("posted"),
	}
}

// bounds writes the limits of records, and the error of a canceled job.
func bounds(eventHistory int) string {
	canceled, err := json.Marshal(errCanceledJob())
	if err != nil {
		panic(err) // two strings
	}
	return fmt.Sprintf("local MOST_EVENTS, MOST_BOXES, MOST_WAITING = '%d', %d, %d\nlocal CANCELED = [=[%s]=]\n",
		eventHistory, mostBoxes, mostWaiting, canceled)
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
