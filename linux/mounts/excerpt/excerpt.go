// Package excerpt reads mount tables as people paste them: some lines only, with
// what grep, a log or a shell put in front, cut behind, of mountinfo, of
// /proc/mounts or of mount(8).
package excerpt

import (
	"bytes"
	"strconv"
	"strings"

	"sexton.dev/linux/mounts"
)

// A Table is what an excerpt of one namespace's mounts says.
type Table struct {
	Mounts []Mount
	Whole  bool // it has a mount on "/": what it does not have is not mounted
	Lines  int  // that are mounts
	Others int  // that are none
}

// A Mount is one line. Where Numbered is false only paths, type, source and
// options are known: neither ids nor propagation, of which the text says nothing.
type Mount struct {
	mounts.Mount
	Numbered bool
	PID      int // whose table it was, if grep said so; 0 otherwise
}

const (
	maxLine   = 8 << 20
	maxMounts = 1 << 20
)

// Parse reads an excerpt. Lines that are no mounts are counted; the same mount
// seen through several processes is kept once.
//
// Sources: proc_pid_mountinfo(5), proc_pid_mounts(5), mount(8).
func Parse(text []byte) Table {
	var t Table
	seen := map[int]bool{}
	for line := range bytes.Lines(text) {
		trimmed := strings.TrimRight(string(line[:min(len(line), maxLine)]), "\r\n\x00 ")
		if trimmed == "" {
			continue
		}
		m, ok := parse(trimmed)
		if !ok || len(t.Mounts) == maxMounts {
			t.Others++
			continue
		}
		t.Lines++
		if m.Numbered && seen[m.ID] {
			continue
		}
		seen[m.ID] = m.Numbered
		t.Whole = t.Whole || m.MountPoint == "/"
		t.Mounts = append(t.Mounts, m)
	}
	return t
}

func parse(line string) (Mount, bool) {
	for _, read := range []func(string) (Mount, bool){mountinfo, procMounts, mountCommand} {
		if m, ok := read(line); ok {
			m.PID = grepPID(line)
			return m, true
		}
	}
	return Mount{}, false
}

// mountinfo finds "ID PARENT MAJOR:MINOR ROOT POINT" somewhere in the line. What
// is behind the options may be cut.
func mountinfo(line string) (Mount, bool) {
	fields := strings.Split(line, " ")
	for i := 0; i+4 < len(fields); i++ {
		id := fields[i][strings.LastIndexAny(fields[i], ":\t")+1:]
		if !digits(id) || !digits(fields[i+1]) || !device(fields[i+2]) || fields[i+4] == "" || fields[i+4][0] != '/' {
			continue
		}
		return whole(append([]string{id}, fields[i+1:]...))
	}
	return Mount{}, false
}

// whole completes a line that was cut, so that the parser of whole ones takes it.
func whole(fields []string) (Mount, bool) {
	for len(fields) < 6 {
		fields = append(fields, "")
	}
	line := strings.Join(fields, " ")
	head, tail, _ := strings.Cut(line, " - ")
	if kind, rest, _ := strings.Cut(strings.TrimSuffix(tail, " -"), " "); rest == "" {
		tail = kind + " "
	}
	all, err := mounts.ParseMountinfo([]byte(strings.TrimSuffix(head, " -") + " - " + tail + "\n"))
	if err != nil || len(all) != 1 {
		return Mount{}, false
	}
	return Mount{Mount: all[0], Numbered: true}, true
}

// procMounts reads "SOURCE POINT TYPE OPTIONS 0 0".
func procMounts(line string) (Mount, bool) {
	f := strings.Fields(line)
	for i := len(f) - 6; i >= 0; i-- {
		if strings.HasPrefix(f[i+1], "/") && word(f[i+2]) && digits(f[i+4]) && digits(f[i+5]) {
			source := f[i]
			if at := strings.LastIndex(source, "mounts:"); at >= 0 {
				source = source[at+len("mounts:"):]
				if number, rest, ok := strings.Cut(source, ":"); ok && digits(number) {
					source = rest
				}
			}
			return plain(source, f[i+1], f[i+2], f[i+3]), true
		}
	}
	return Mount{}, false
}

// mountCommand reads "SOURCE on POINT type TYPE (OPTIONS)".
func mountCommand(line string) (Mount, bool) {
	before, after, ok := strings.Cut(line, " on /")
	point, rest, ok2 := strings.Cut(after, " type ")
	kind, options, _ := strings.Cut(rest, " ")
	if !ok || !ok2 || !word(kind) {
		return Mount{}, false
	}
	return plain(before[strings.LastIndexAny(before, " \t")+1:], "/"+point, kind, strings.Trim(options, "()")), true
}

func plain(source, point, kind, options string) Mount {
	return Mount{Mount: mounts.Mount{
		Source: mounts.Unescape(source), MountPoint: mounts.Unescape(point), Type: kind, Super: options,
	}}
}

// grepPID reads the process in "/proc/4123/mountinfo:12:".
func grepPID(line string) int {
	_, after, ok := strings.Cut(line, "/proc/")
	number, rest, ok2 := strings.Cut(after, "/")
	if !ok || !ok2 || !strings.HasPrefix(rest, "mount") && !strings.HasPrefix(rest, "task/") {
		return 0
	}
	pid, err := strconv.Atoi(number)
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

func digits(s string) bool {
	return s != "" && len(s) <= 10 && strings.Trim(s, "0123456789") == ""
}

func device(s string) bool {
	major, minor, ok := strings.Cut(s, ":")
	return ok && digits(major) && digits(minor)
}

func word(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == ""
}
