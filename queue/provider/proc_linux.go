package provider

import "syscall"

// procAttr lets the child end with this process, and keeps a Ctrl-C at the
// terminal from reaching it before us. It ends at once: after a signal that asks
// it to, redis-server answers on for up to half a second, and a process that
// starts meanwhile would take it for one that stays. Nothing is lost, since what
// was acknowledged has been written to the file, if not yet synced to the disk.
func procAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
