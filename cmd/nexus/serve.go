package main

import (
	"context"
)

type serveCmd struct{}

// Run runs every role in this process.
func (serveCmd) Run(ctx context.Context, rt *runtime) error {
	return run(ctx, rt, "serve", roleSet{api: true, worker: true, scheduler: true})
}

type apiCmd struct{}

// Run runs the HTTP front end alone.
func (apiCmd) Run(ctx context.Context, rt *runtime) error {
	return run(ctx, rt, "api", roleSet{api: true})
}

type workerCmd struct{}

// Run runs a worker alone.
func (workerCmd) Run(ctx context.Context, rt *runtime) error {
	return run(ctx, rt, "worker", roleSet{worker: true})
}

type schedulerCmd struct{}

// Run runs the scheduler alone.
func (schedulerCmd) Run(ctx context.Context, rt *runtime) error {
	return run(ctx, rt, "scheduler", roleSet{scheduler: true})
}

// roleSet says which roles a process plays.
type roleSet struct{ api, worker, scheduler bool }
