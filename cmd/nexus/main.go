// Command nexus runs NEXUS Continuum: everything in one process (serve) or one
// role of a fleet (api, worker, scheduler).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// hardStop is how long the process may live on after a second signal.
const hardStop = 500 * time.Millisecond

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		fmt.Fprintln(os.Stderr, "nexus: second signal: stopping at once")
		time.AfterFunc(hardStop, func() { os.Exit(130) })
	}()
	os.Exit(Main{Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ()}.Run(ctx, os.Args[1:]))
}

// Main is the program as a value, so that a test can run it with its own
// arguments, environment and output.
type Main struct {
	Stdout, Stderr io.Writer
	Environ        []string // NAME=value, as os.Environ gives it

	// unobserved runs without counting, heartbeats, readings of the machine and
	// logs, for the benchmark of what they cost.
	unobserved bool
	// machine stands in for the GPUs of the machine in tests.
	machine machine
}

// Exit codes. A wrong command line or setting is told apart from a failure at
// work, so that a service manager need not restart on it.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// cli is the command line: the settings, shared by every command, and the commands.
type cli struct {
	Settings

	Ask      askCmd      `cmd:"" group:"people" help:"Ask a prompt."`
	Teach    teachCmd    `cmd:"" group:"people" help:"Teach one lesson, or files of any usual format."`
	Import   importCmd   `cmd:"" group:"people" help:"Show what a file holds and teach it."`
	Export   exportCmd   `cmd:"" group:"people" help:"Write everything taught as NDJSON, CSV or JSON."`
	Lessons  lessonsCmd  `cmd:"" group:"people" help:"List and search what is known."`
	Answer   answerCmd   `cmd:"" group:"people" help:"Show an answer with its phrasings, change it, or see its history."`
	Refusals refusalsCmd `cmd:"" group:"people" help:"List what was asked in vain."`

	Status    statusCmd    `cmd:"" group:"operate" help:"Say how the service is."`
	Health    healthCmd    `cmd:"" group:"operate" help:"Ask a running server whether it is ready; for container health checks."`
	Jobs      jobsCmd      `cmd:"" group:"operate" help:"List jobs, show one or cancel it."`
	Train     trainCmd     `cmd:"" group:"operate" help:"Learn a topic pack, or what is known more deeply."`
	Pause     pauseCmd     `cmd:"" group:"operate" help:"Let background learning rest; serving goes on."`
	Resume    resumeCmd    `cmd:"" group:"operate" help:"Let background learning go on."`
	Rollback  rollbackCmd  `cmd:"" group:"operate" help:"Serve another kept checkpoint."`
	Logs      logsCmd      `cmd:"" group:"operate" help:"Show the log files of this machine."`
	Dashboard dashboardCmd `cmd:"" group:"operate" help:"Open the dashboard."`

	Serve     serveCmd     `cmd:"" group:"serve" help:"Run everything in one process: API, worker, scheduler and, if none is given, a Redis."`
	API       apiCmd       `cmd:"" group:"serve" name:"api" help:"Run the HTTP front end."`
	Worker    workerCmd    `cmd:"" group:"serve" help:"Run a worker: answers prompts and, one per model, trains."`
	Scheduler schedulerCmd `cmd:"" group:"serve" help:"Run the scheduler: checkpoints, clean-up and the sweep for what was forgotten."`

	Backup      backupCmd      `cmd:"" group:"keep" help:"Write a backup of what was taught and learned, also beside a running server."`
	Restore     restoreCmd     `cmd:"" group:"keep" help:"Put a backup, or a tar of the storage folder, in place."`
	Verify      verifyCmd      `cmd:"" group:"keep" help:"Read the whole storage, or a backup, and check every digest."`
	Checkpoints checkpointsCmd `cmd:"" group:"keep" help:"List the checkpoints, whether a server runs or not."`

	Upgrade upgradeCmd `cmd:"" group:"keep" help:"Say what this version will do to the data that another one wrote."`

	Config     configCmd     `cmd:"" group:"setup" help:"Print every setting with its value, default and source."`
	APIKey     apikeyCmd     `cmd:"" group:"setup" name:"apikey" help:"Print a new random API key, for NEXUS_API_KEY; nothing is kept of it."`
	Keys       keysCmd       `cmd:"" group:"setup" help:"Make, list, rotate and revoke named API keys."`
	Pretrain   pretrainCmd   `cmd:"" group:"setup" help:"Make a base from free text, which a fresh model starts from."`
	Completion completionCmd `cmd:"" group:"setup" help:"Print a script that completes commands in a shell."`
	Man        manCmd        `cmd:"" hidden:"" group:"setup" help:"Print the manual page."`
	Help       helpCmd       `cmd:"" group:"setup" help:"Explain a command."`
	Version    versionCmd    `cmd:"" group:"setup" help:"Print the version."`
}

// runtime is what a command gets to work with.
type runtime struct {
	main     Main
	settings *Settings
	values   []value
	hide     *redaction
}

// Run parses args and the environment and runs the command until it ends or ctx
// is cancelled. It returns the exit code.
func (m Main) Run(ctx context.Context, args []string) int {
	var c cli
	p, err := newParser(&c, m)
	if err != nil {
		fmt.Fprintln(m.Stderr, "nexus:", err)
		return exitFailure
	}
	hide := newRedaction(p, args)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := p.parse(args)
	if p.helpShown {
		return exitOK
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		fmt.Fprintln(m.Stderr, "nexus:", hide.text(err.Error()))
		return exitUsage
	}
	for _, w := range p.unknownVariables() {
		fmt.Fprintln(m.Stderr, "nexus: warning:", w)
	}
	rt := &runtime{main: m, settings: &c.Settings, values: p.values(kctx, hide), hide: hide}
	kctx.BindTo(ctx, (*context.Context)(nil))
	kctx.Bind(rt)
	kctx.Bind(p.kong)
	if err := kctx.Run(); err != nil {
		if e, ok := errors.AsType[*exitError](err); ok {
			if e.text != "" {
				fmt.Fprintln(m.Stderr, e.text)
			}
			return e.code
		}
		fmt.Fprintln(m.Stderr, "nexus:", hide.text(err.Error()))
		if _, ok := errors.AsType[*settingError](err); ok {
			return exitUsage
		}
		return exitFailure
	}
	return exitOK
}
