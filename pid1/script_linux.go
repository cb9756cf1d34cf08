//go:build amd64 || arm64

package pid1

import (
	"runtime"
	"syscall"
	"unsafe"

	"sexton.dev/pid1/options"
)

// An op is one system call of a new process, before it executes.
type op struct {
	nr    uintptr
	args  [5]uintptr
	must  uintptr // 0: it may fail
	doing string
}

// failure is what a new process leaves in our memory if an op fails.
type failure struct {
	errno uintptr
	op    *op
}

// script is what a new process does: it runs on our memory until it executes, so
// it can do nothing but system calls with arguments that are ready.
func (b *birth) script(self *int32) (ops []op, keep []any) {
	add := func(must bool, doing string, nr uintptr, args ...uintptr) {
		o := op{nr: nr, doing: doing}
		copy(o.args[:], args)
		if must {
			o.must = 1
		}
		ops = append(ops, o)
	}
	text := func(s string) uintptr {
		p, err := syscall.BytePtrFromString(s)
		if err != nil {
			p = new(byte)
		}
		keep = append(keep, p)
		return uintptr(unsafe.Pointer(p))
	}
	switch b.terminal {
	case options.Foreground:
		add(false, "", syscall.SYS_SETPGID, 0, 0)
		if b.tty >= 0 {
			add(false, "", syscall.SYS_IOCTL, uintptr(b.tty), syscall.TIOCSPGRP, uintptr(unsafe.Pointer(self)))
		}
	case options.Session:
		add(false, "", syscall.SYS_SETSID)
		add(false, "", syscall.SYS_IOCTL, 0, syscall.TIOCSCTTY, 0)
	}
	if b.here >= 0 {
		add(true, "", syscall.SYS_FCHDIR, uintptr(b.here))
	}
	for sig := uintptr(1); sig < options.Signals; sig++ {
		if b.ignored>>(sig-1)&1 != 0 {
			add(false, "", syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&ignore)), 0, 8)
		}
	}
	if b.nofile != nil {
		add(false, "", syscall.SYS_PRLIMIT64, 0, syscall.RLIMIT_NOFILE, uintptr(unsafe.Pointer(b.nofile)), 0)
	}
	if u := b.user; u != nil {
		add(false, "", syscall.SYS_SETGROUPS, 0, 0)
		add(true, "--user: setgid", syscall.SYS_SETRESGID, uintptr(u.GID), uintptr(u.GID), uintptr(u.GID))
		add(true, "--user: setuid", syscall.SYS_SETRESUID, uintptr(u.UID), uintptr(u.UID), uintptr(u.UID))
	}
	if b.dir != "" {
		add(true, "--workdir "+b.dir, syscall.SYS_CHDIR, text(b.dir))
	}
	argv, err := syscall.SlicePtrFromStrings(b.argv)
	env, err2 := syscall.SlicePtrFromStrings(b.env)
	if err != nil || err2 != nil { // a NUL: cannot come from a kernel's argv
		argv, env = []*byte{nil}, []*byte{nil}
	}
	keep = append(keep, argv, env)
	add(false, "", syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&b.mask)), 0, 8)
	add(true, "", syscall.SYS_EXECVE, text(b.path), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])))
	return ops, keep
}

const (
	cloneChildSetID = 0x01000000
	cloneVforkVM    = syscall.CLONE_VFORK | syscall.CLONE_VM | uintptr(syscall.SIGCHLD)
)

// What a new process reads and writes of our memory does not move: not of a stack.
var (
	newborn birth
	number  int32
	failed  failure

	//lint:ignore U1000 vfork reads it
	allSignals = ^uint64(0)
	//lint:ignore U1000 vfork keeps it
	ourSignals uint64 // the mask of the thread that makes the process
)

// vfork makes a process that does the ops, the last of which executes, and
// returns its id or the negated error of clone(2). What failed then is in failed.
// The goroutine cannot change its thread meanwhile: it is in assembly.
//
//go:noescape
func vfork(flags uintptr, ops *op, number *int32, failed *failure) int

// scripted makes a process by its script. All signals are blocked in it until it
// executes. parent is [cloneParent] or 0.
func (b *birth) scripted(parent uintptr) (pid int, doing string, err error) {
	newborn, failed = *b, failure{}
	ops, keep := newborn.script(&number)
	pid = vfork(cloneVforkVM|cloneChildSetID|parent, &ops[0], &number, &failed)
	runtime.KeepAlive(keep)
	switch {
	case pid < 0 && parent != 0 && syscall.Errno(-pid) == syscall.EINVAL:
		return b.scripted(0) // an emulator; the init adopts it when we end
	case pid < 0:
		return 0, "clone", syscall.Errno(-pid)
	case failed.op != nil:
		return pid, failed.op.doing, syscall.Errno(-failed.errno)
	}
	return pid, "", nil
}
