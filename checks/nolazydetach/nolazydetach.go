package nolazydetach

import (
	_ "embed"
	"strings"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "no-lazy-detach"

// Check reports a kernel that does not take mounts off a directory that is removed.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Configured},
	Run:   run,
}

func run(p check.Pass) []check.Finding {
	h := p.Now
	if yes, known := holding.DetachesRemoved(h); yes || !known {
		return nil
	}
	f := check.Finding{
		ID:       name + "/host",
		Severity: check.Info,
		Subject:  check.Subject{Kind: "host", Name: h.Name},
		Title:    "Kernel " + h.Kernel + " removes no directory that is mounted in another namespace",
		Cause:    "Linux takes such mounts off since 3.15",
		Harm:     "A mount that leaked into any namespace blocks docker rm with \"device or resource busy\" until its holder ends",
		Evidence: []check.Evidence{{Source: "/proc/sys/kernel/osrelease", Text: h.Kernel}},
		Advice:   []string{"run a kernel of 3.15 or later"},
	}
	switch {
	case h.Settings.MayDetach != "":
		f.Evidence = append(f.Evidence, check.Evidence{Source: "/proc/sys/fs/may_detach_mounts", Text: h.Settings.MayDetach})
		f.Advice = []string{"sysctl -w fs.may_detach_mounts=1, and the same in /etc/sysctl.d"}
	case strings.Contains(h.Kernel, ".el7"):
		f.Advice = []string{"upgrade to RHEL 7.4 or later, and set fs.may_detach_mounts=1 in /etc/sysctl.d"}
	}
	return []check.Finding{f}
}
