package execfifo

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// fixed are the first versions in which runc looks for the init while it waits.
//
// Source: https://github.com/opencontainers/runc/pull/1698, and the runc that
// containerd 1.0.2 and docker 18.06 bring along.
var fixed = []struct{ name, since string }{
	{"runc", "1.0.0-rc5"}, {"containerd", "1.0.2"}, {"docker", "18.06"},
}

// versions says which are at work and whether the fix is in each, and names those
// in which it is not.
func versions(h *snapshot.Host) (out []check.Evidence, old string) {
	var lacking []string
	for _, f := range fixed {
		version, source := versionOf(h, f.name)
		if version == "" || numbers(version) == [4]int{3: released} {
			out = append(out, check.Evidence{Source: f.name, Text: "version not known; the fix of runc#1698 came with " + f.since})
			continue
		}
		says := "has"
		if earlier(version, f.since) {
			says = "does not have"
			lacking = append(lacking, f.name+" to "+f.since+" or later")
		}
		out = append(out, check.Evidence{Source: source, Text: fmt.Sprintf("%s %s %s the fix of runc#1698, which came with %s", f.name, version, says, f.since)})
	}
	return out, strings.Join(lacking, ", ")
}

// versionOf finds the version of a part of docker's, as it says itself, else as docker does.
func versionOf(h *snapshot.Host, name string) (version, source string) {
	for _, r := range h.Runtimes {
		if r.Kind == name && r.Version != "" {
			return r.Version, r.Kind + " at " + r.Socket
		}
	}
	for _, r := range h.Runtimes {
		if v := r.Components[name]; r.Kind == "docker" && v != "" {
			return v, r.Kind + " at " + r.Socket
		}
	}
	return "", ""
}

// earlier reports whether a version is before another: by its numbers, and of equal
// ones by the number of the release candidate, if it is one.
func earlier(version, than string) bool {
	a, b := numbers(version), numbers(than)
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// released is the number of what is no release candidate.
const released = 1 << 30

// numbers are the first three numbers of a version and that of its candidate.
func numbers(version string) (out [4]int) {
	version = strings.TrimPrefix(version, "v")
	out[3] = released
	end := strings.IndexFunc(version, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	rest := ""
	if end >= 0 {
		version, rest = version[:end], version[end:]
	}
	for i, part := range strings.SplitN(version, ".", 4) {
		if i < 3 {
			out[i], _ = strconv.Atoi(part)
		}
	}
	if digits, ok := strings.CutPrefix(strings.TrimLeft(rest, "-~."), "rc"); ok {
		digits = strings.TrimLeft(digits, ".")
		n := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
		out[3], _ = strconv.Atoi(digits[:cmp.Or(max(n, 0), len(digits))])
	}
	return out
}
