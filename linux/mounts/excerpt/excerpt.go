// Package excerpt reads mount tables as people paste them: some lines only, with
// what grep, a log or a shell put in front, cut behind, of mountinfo, of
// /proc/mounts, of mount(8) or of findmnt(8).
package excerpt

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"sexton.dev/linux/mounts"
)

// A Table is what an excerpt of one namespace's mounts says.
type Table struct {
	Mounts []Mount
	Whole  bool // it has a mount on "/", and what each other one is on: what it does not have is not mounted
	Lines  int  // that are mounts
	Others int  // that are none

	// PIDs are a process of each mount namespace whose mounts these are, as far as
	// grep named processes: those of one namespace show the same mounts.
	PIDs []int
}

// A Mount is one line. Where Numbered is false only paths, type, source and
// options are known: neither ids nor propagation, of which the text says nothing.
type Mount struct {
	mounts.Mount
	Numbered bool
	Cut      bool // it ends before its tags do: there may be others
	PID      int  // whose table it was, if grep said so; 0 otherwise
}

const (
	maxLine   = 8 << 20
	maxMounts = 1 << 20
)

// Parse reads an excerpt. Lines that are no mounts are counted; the same mount
// seen through several processes is kept once; a line that a terminal cut in two
// is one.
//
// Sources: proc_pid_mountinfo(5), proc_pid_mounts(5), mount(8), findmnt(8).
func Parse(text []byte) Table {
	var t Table
	seen := map[int]bool{}
	for _, line := range joined(lines(text)) {
		m, ok := parse(line)
		if !ok || len(t.Mounts) == maxMounts {
			t.Others++
			continue
		}
		t.Lines++
		if m.Numbered && seen[m.ID] {
			continue
		}
		seen[m.ID] = m.Numbered
		if m.Numbered && m.PID != 0 && !slices.Contains(t.PIDs, m.PID) {
			t.PIDs = append(t.PIDs, m.PID)
		}
		t.Mounts = append(t.Mounts, m)
	}
	t.Whole = whole(t.Mounts)
	return t
}

// whole says that nothing shows that a line is missing: one has "/", and what each
// other one is on is there, if they have numbers. That a mount on which nothing is
// was left out, no text shows.
func whole(all []Mount) bool {
	ids, root, numbered := map[int]bool{}, false, 0
	for _, m := range all {
		root = root || m.MountPoint == "/"
		if m.Numbered {
			ids[m.ID] = true
			numbered++
		}
	}
	if numbered > 0 && numbered < len(all) {
		return false
	}
	return root && !slices.ContainsFunc(all, func(m Mount) bool { return m.Numbered && m.MountPoint != "/" && !ids[m.Parent] })
}

// lines are those with text, without colors and with escapes as the kernel writes
// them: JSON and Go print a backslash twice.
func lines(text []byte) []string {
	var out []string
	for line := range bytes.Lines(text) {
		s := string(line[:min(len(line), maxLine)])
		if strings.Contains(s, "\x1b[") {
			s = colors().ReplaceAllString(s, "")
		}
		if strings.Contains(s, `\\`) {
			s = doubled().ReplaceAllString(s, `\$1`)
		}
		if s = strings.TrimRight(s, "\r\n\x00 "); s != "" {
			out = append(out, s)
		}
	}
	return out
}

var (
	colors  = pattern(`\x1b\[[0-9;]*[a-zA-Z]`)
	doubled = pattern(`\\+([0-7]{3})`)
)

func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// joined puts together what a terminal cut: a line of mountinfo without its end,
// and the next, if that is no mount of its own.
func joined(lines []string) []string {
	out := lines[:0]
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if i+1 < len(lines) && !strings.Contains(line, " - ") && starts().MatchString(line) {
			if _, ok := parse(lines[i+1]); !ok && ends().MatchString(line+lines[i+1]) {
				line += lines[i+1]
				i++
			}
		}
		out = append(out, line)
	}
	return out
}

var (
	starts = pattern(`(^|[ :\t])[0-9]+ [0-9]+ [0-9]+:[0-9]+ /`)
	ends   = pattern(`[0-9]+:[0-9]+ /[^ ]* /[^ ]* r[ow](,[^ ]+)?( [a-z_]+:[0-9]+| unbindable)* - [a-z]`)
)

func parse(line string) (Mount, bool) {
	for _, read := range []func(string) (Mount, bool){mountinfo, procMounts, mountCommand, columns} {
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
	if m, ok := numberedIn(strings.Split(line, " ")); ok {
		return m, true
	}
	return numberedIn(strings.Fields(line)) // aligned in columns
}

func numberedIn(fields []string) (Mount, bool) {
	for i := 0; i+4 < len(fields); i++ {
		id := fields[i][strings.LastIndexAny(fields[i], ":\t")+1:]
		if !digits(id) || !digits(fields[i+1]) || !device(fields[i+2]) || fields[i+4] == "" || fields[i+4][0] != '/' {
			continue
		}
		return completed(append([]string{id}, fields[i+1:]...))
	}
	return Mount{}, false
}

// completed completes a line that was cut, so that the parser of whole ones takes it.
func completed(fields []string) (Mount, bool) {
	for len(fields) < 6 {
		fields = append(fields, "")
	}
	line := strings.Join(fields, " ")
	ended := strings.Contains(line+" ", " - ")
	if !ended { // the last tag may be cut, too: shared:12 of shared:122
		line = strings.Join(fields[:6], " ")
	}
	head, tail, _ := strings.Cut(line, " - ")
	if kind, rest, _ := strings.Cut(strings.TrimSuffix(tail, " -"), " "); rest == "" {
		tail = kind + " "
	}
	all, err := mounts.ParseMountinfo([]byte(strings.TrimSuffix(head, " -") + " - " + tail + "\n"))
	if err != nil || len(all) != 1 {
		return Mount{}, false
	}
	return Mount{Mount: all[0], Numbered: true, Cut: !ended}, true
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

// columns reads findmnt's "TARGET SOURCE TYPE OPTIONS", with or without its tree,
// and a line of /proc/mounts without its end.
func columns(line string) (Mount, bool) {
	f := strings.Fields(strings.TrimLeft(line, "│├└─|`- \t"))
	if len(f) < 4 || !strings.HasPrefix(f[0], "/") || !word(f[2]) || f[3] != "rw" && f[3] != "ro" && !strings.HasPrefix(f[3], "rw,") && !strings.HasPrefix(f[3], "ro,") {
		return Mount{}, false
	}
	if strings.HasPrefix(f[0], "/dev/") && strings.HasPrefix(f[1], "/") && !strings.HasPrefix(f[1], "/dev/") {
		return plain(f[0], f[1], f[2], f[3]), true
	}
	return plain(f[1], f[0], f[2], f[3]), true
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
