package settings

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
)

const privateUnitName = "private-unit"

// runtimes are the services of container software. targets are reached when those
// have started.
var (
	runtimes = []string{"docker.service", "containerd.service", "crio.service", "cri-o.service", "kubelet.service", "k3s.service", "podman.service"}
	targets  = []string{"multi-user.target", "graphical.target", "default.target"}
	software = []string{"dockerd", "containerd", "crio", "kubelet", "k3s", "podman"} // programs
)

// FreeUnit says how the mounts that a service keeps are let go of, and how it keeps none.
func FreeUnit(unit string) []string {
	return []string{"systemctl restart " + unit + ": that frees them", "start it before the runtime (Before=docker.service), or take the directives out with a drop-in if it does not need them"}
}

func privateUnit(s *Set) (found []check.Finding) {
	for i := range s.Units {
		u := &s.Units[i]
		if len(u.Private) == 0 || u.ofRuntime() {
			continue
		}
		late := slices.IndexFunc(u.After, func(name string) bool { return slices.Contains(runtimes, name) || slices.Contains(targets, name) })
		if late < 0 && slices.ContainsFunc(u.Before, func(name string) bool { return slices.Contains(runtimes, name) }) {
			continue
		}
		all, evidence := u.told()
		words, at := strings.Join(all, ", "), u.Private[0]
		f := check.Finding{
			ID:       u.Name,
			Severity: check.Info,
			Subject:  check.Subject{Kind: "unit", Name: u.Name, File: at.File, Line: at.Line},
			Title:    fmt.Sprintf("%s has %s and nothing orders it before the containers", u.Name, words),
			Cause:    words + " gives it a mount namespace of its own, a copy of the host's mounts at its start",
			Harm:     "Started, or restarted, while containers run, it takes their mounts along. Where an unmount does not arrive there they stay in use until the unit is restarted: devices, disk space, and docker rm on old kernels",
			Evidence: evidence,
			Advice:   FreeUnit(u.Name)[1:],
		}
		if late >= 0 {
			f.Severity = check.Warning
			f.Title = fmt.Sprintf("%s has %s and starts after the containers (After=%s)", u.Name, words, u.After[late])
			f.Harm = strings.Replace(f.Harm, "Started, or restarted, while containers run, it takes", "It takes", 1)
		}
		found = append(found, f)
	}
	return found
}

// ofRuntime reports whether a unit is container software: what it mounts is its own.
func (u *Unit) ofRuntime() bool {
	return u.Daemon != nil || slices.Contains(runtimes, u.Name) || slices.Contains(software, u.Program)
}
