// Package cgroupfs parses the text of cgroup files, versions 1 and 2, and says
// which container a cgroup path belongs to. It opens none.
package cgroupfs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrFormat is wrapped by every error that means the kernel's text was not as documented.
var ErrFormat = errors.New("unexpected format")

// A Membership is one line of /proc/PID/cgroup: where a process is in one hierarchy.
type Membership struct {
	Hierarchy   int      // 0 for version 2
	Controllers []string // version 1: pids, memory, name=systemd; nil for version 2
	Path        string   // relative to the reader's cgroup namespace: may begin with /..
	Deleted     bool     // the cgroup was removed, its last process is a zombie
}

// ParseMembership parses one /proc/PID/cgroup.
//
// A path may hold ':' and any other byte but a newline. The kernel appends
// " (deleted)" in version 2 when the cgroup is gone; in version 1 that text is
// part of a name. A zombie is shown in the root of every version 1 hierarchy,
// wherever it lived; version 2 keeps its place.
//
// Source: cgroups(7); Linux 6.12 kernel/cgroup/cgroup.c, proc_cgroup_show.
func ParseMembership(text []byte) ([]Membership, error) {
	var out []Membership
	for line := range bytes.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(parts) != 3 || !strings.HasPrefix(parts[2], "/") {
			return nil, fmt.Errorf("cgroup: %w: line %.80q", ErrFormat, line)
		}
		hierarchy, err := strconv.ParseUint(parts[0], 10, 31)
		if err != nil {
			return nil, fmt.Errorf("cgroup: %w: hierarchy %.20q", ErrFormat, parts[0])
		}
		m := Membership{Hierarchy: int(hierarchy), Path: parts[2]}
		if hierarchy == 0 {
			m.Path, m.Deleted = strings.CutSuffix(m.Path, " (deleted)")
		}
		if parts[1] != "" {
			m.Controllers = strings.Split(parts[1], ",")
		}
		out = append(out, m)
	}
	return out, nil
}

// Of returns the path in the hierarchy that holds the controller. In version 2
// there is one for all; a hybrid host has pids in version 1 and an empty
// version 2, or the other way round.
func Of(all []Membership, controller string) (m Membership, ok bool) {
	for _, m := range all {
		if slices.Contains(m.Controllers, controller) {
			return m, true
		}
	}
	for _, m := range all {
		if m.Hierarchy == 0 {
			return m, true
		}
	}
	return Membership{}, false
}

// ParseMax parses pids.max, memory.max and their like. "max" means no limit and is 0, false.
func ParseMax(text []byte) (value uint64, limited bool, err error) {
	word := string(bytes.TrimSpace(text))
	if word == "max" {
		return 0, false, nil
	}
	value, err = strconv.ParseUint(word, 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("limit: %w: %.40q", ErrFormat, text)
	}
	return value, true, nil
}

// ParseKeyed parses a flat keyed file: pids.events, cgroup.events, memory.events.
//
// Source: Linux 6.12 Documentation/admin-guide/cgroup-v2.rst, "Flat keyed".
func ParseKeyed(text []byte) (map[string]uint64, error) {
	out := map[string]uint64{}
	for line := range bytes.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(string(line)), " ")
		n, err := strconv.ParseUint(value, 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("keyed file: %w: line %.80q", ErrFormat, line)
		}
		out[key] = n
	}
	return out, nil
}

// ParseCount returns how many cgroups the host has, all hierarchies together,
// from /proc/cgroups. Named hierarchies without a controller are not in it.
//
// Source: cgroups(7); Linux 6.12 kernel/cgroup/cgroup-v1.c, proc_cgroupstats_show.
func ParseCount(text []byte) (int, error) {
	most := map[string]uint64{} // by hierarchy: its controllers all say the same
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) != 4 {
			return 0, fmt.Errorf("cgroups: %w: line %.80q", ErrFormat, line)
		}
		n, err := strconv.ParseUint(f[2], 10, 31)
		if err != nil {
			return 0, fmt.Errorf("cgroups: %w: number of cgroups %.20q", ErrFormat, f[2])
		}
		most[f[1]] = max(most[f[1]], n)
	}
	sum := 0
	for _, n := range most {
		sum += int(n)
	}
	if sum == 0 {
		return 0, fmt.Errorf("cgroups: %w: no hierarchy in %.80q", ErrFormat, text)
	}
	return sum, nil
}
