package ladder

import "syscall"

// procAttr lets the child end with this process, in an orderly way, and keeps
// a Ctrl-C at the terminal from reaching it before us.
func procAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
}
