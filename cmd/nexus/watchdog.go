package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// live waits for the end of ctx or for the fall of a part. Meanwhile it tells
// systemd that the process is alive, where the unit has a WatchdogSec: a process
// that does not for so long is started again.
func (h *app) live(ctx context.Context, log *slog.Logger) error {
	var alive <-chan time.Time
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog is not understood; it is told nothing", "error", err)
	} else if every > 0 {
		// Half of the time, as sd_watchdog_enabled(3) says.
		tick := time.NewTicker(every / 2)
		defer tick.Stop()
		alive = tick.C
	}
	for {
		select {
		case <-alive:
			notifySystemd(log, daemon.SdNotifyWatchdog)
		case <-ctx.Done():
			log.Info("stopping: no new work is taken, what runs is finished or handed back")
			return nil
		case err := <-h.failed:
			log.Error("a part failed; stopping", "error", err)
			return err
		}
	}
}
