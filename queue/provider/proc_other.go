//go:build unix && !linux

package provider

import "syscall"

// procAttr keeps a Ctrl-C at the terminal from reaching the child before us.
// Without a death signal a child outlives a killed parent; the next process on
// the data folder connects to that child.
func procAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
