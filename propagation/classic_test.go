package propagation_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/propagation"
)

// A kernel before 6.12 has no way to list another namespace's mounts. There the thread enters each
// namespace and reads mountinfo, whose ids are used again: no harm within one call.
//
// From inside, what is below the mount on "/" is not seen. Each namespace of the trials has one
// such mount, the root that the kernel began with; a "/" on another one covers mounts that a
// prediction would need.

// errCovered says that "/" covers mounts.
var errCovered = errors.New("mounts below / are not seen")

// readClassic reads the mounts of a namespace from inside it. It leaves the thread there.
func (h *host) readClassic(s openSpace) ([]propagation.Mount, error) {
	enter(s.fd)
	fd, err := unix.Openat(h.proc, "thread-self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open mountinfo of %s: %w", s.name, err)
	}
	f := os.NewFile(uintptr(fd), "mountinfo")
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("mountinfo of %s: %w", s.name, err)
	}
	var out []propagation.Mount
	for line := range strings.Lines(string(text)) {
		m, err := parseClassic(line, s.id)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// parseClassic parses a line of mountinfo; the trials' paths have no byte that is escaped in it.
//
// Source: proc_pid_mountinfo(5).
func parseClassic(line string, space uint64) (m propagation.Mount, err error) {
	f := strings.Fields(line)
	if len(f) < 10 {
		return m, fmt.Errorf("mountinfo: %d fields in %q", len(f), line)
	}
	number := func(text string) uint64 {
		n, numErr := strconv.ParseUint(text, 10, 64)
		if numErr != nil {
			err = fmt.Errorf("mountinfo: %w in %q", numErr, line)
		}
		return n
	}
	major, minor, _ := strings.Cut(f[2], ":")
	m = propagation.Mount{
		ID: number(f[0]), Parent: number(f[1]), Namespace: space,
		Device: number(major)<<20 | number(minor), Root: f[3], Point: f[4],
	}
	for _, tag := range f[6:] {
		key, value, _ := strings.Cut(tag, ":")
		switch key {
		case "shared":
			m.Peer = number(value)
		case "master":
			m.Master = number(value)
		case "unbindable":
			m.Unbindable = true
		case "-":
			return m, err
		}
	}
	return m, fmt.Errorf("mountinfo: no end of the tags in %q", line)
}

// under is the mount that "/" is on.
func under(mounts []propagation.Mount) uint64 {
	for _, m := range mounts {
		if m.Point == "/" {
			return m.Parent
		}
	}
	return 0
}
