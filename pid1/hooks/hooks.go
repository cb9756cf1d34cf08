// Package hooks runs what a container wants done before its command, before it
// stops and after: executables of a directory, one after the other.
package hooks

import (
	"errors"
	"os"
	"strconv"
	"syscall"
	"time"
)

// killAfter is how long a hook has between TERM and KILL.
const killAfter = 2 * time.Second

// TimedOut is the exit code of a hook that did not end in time, as timeout(1) has it.
const TimedOut = 124

// A Hook is one executable that runs, with its environment.
type Hook struct {
	Path    string
	Env     []string
	Mask    uint64 // signals that are blocked in it
	Timeout time.Duration
}

// List returns the executables in a directory, in the order of their names. Names
// that begin with a dot are left out. A directory that does not exist has none. A
// file that is not executable is an error, or left out if strict is not set.
func List(dir string, strict bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, syscall.ENOENT):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var found []string
	for _, e := range entries { // sorted
		path := dir + "/" + e.Name()
		info, err := os.Stat(path)
		switch {
		case e.Name()[0] == '.':
		case err == nil && info.IsDir():
		case err != nil && strict:
			return nil, err
		case err != nil:
		case !info.Mode().IsRegular() || syscall.Access(path, 1) != nil:
			if strict {
				return nil, errors.New(strconv.Quote(path) + " is no executable file\n  try: chmod +x, or a name with a dot in front to leave it out")
			}
		default:
			found = append(found, path)
		}
	}
	return found, nil
}

// stages are the folders of --hooks.
var stages = [...]string{"start", "pre-stop", "post-stop"}

// Check finds what is wrong with a directory of --hooks before anything runs.
func Check(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return errors.New(strconv.Quote(dir) + " is not a directory")
	}
	for _, stage := range stages {
		if _, err := List(dir+"/"+stage, true); err != nil {
			return err
		}
	}
	return nil
}

// Run runs one hook in a process group of its own and returns its exit code: 128
// and the signal if it died by one, [TimedOut] if it ran out of time. When stop
// is sent to or closed, the hook is ended early.
func (h Hook) Run(stop <-chan os.Signal) (code int, err error) {
	ended := make(chan syscall.WaitStatus, 1)
	pid, err := h.begin()
	if err != nil {
		return 0, err
	}
	go func() {
		var ws syscall.WaitStatus
		for {
			if _, err := syscall.Wait4(pid, &ws, 0, nil); err != syscall.EINTR {
				break
			}
		}
		ended <- ws
	}()
	timer := time.NewTimer(h.Timeout)
	defer timer.Stop()
	select {
	case ws := <-ended:
		return exitCode(ws), nil
	case <-stop:
		h.end(pid, ended)
		return 128 + int(syscall.SIGTERM), nil
	case <-timer.C:
		h.end(pid, ended)
		return TimedOut, nil
	}
}

// end ends a hook and what is in its group: TERM, a time, KILL.
func (h Hook) end(pid int, ended <-chan syscall.WaitStatus) {
	syscall.Kill(-pid, syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(killAfter):
		syscall.Kill(-pid, syscall.SIGKILL)
		<-ended
	}
	syscall.Kill(-pid, syscall.SIGKILL) // its group may have outlived it
}

func (h Hook) begin() (pid int, err error) {
	attr := &syscall.ProcAttr{Env: h.Env, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setpgid: true}}
	restore := setMask(h.Mask)
	defer restore()
	pid, err = syscall.ForkExec(h.Path, []string{h.Path}, attr)
	if err == syscall.ENOEXEC { // as execvp(3): a script without #!
		pid, err = syscall.ForkExec("/bin/sh", []string{"sh", h.Path}, attr)
	}
	return pid, err
}

func exitCode(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}
