package settings

import (
	"fmt"
	"strings"

	"sexton.dev/check"
)

const liveRestoreName = "mountflags-live-restore"

// Of a dockerd with live-restore and a mount namespace of its own: what fails after
// a restart, by kernel, and what to do before one.
const (
	StrandedBusy  = "their removal fails: device or resource busy"
	StrandedExec  = "docker exec fails in them, and health checks by it, until each is stopped and started again"
	BeforeRestart = "before a restart: bring the layers to the host's mount namespace (docs/mounts.md has how) or stop the containers, take the directive out with a drop-in, then systemctl daemon-reload and restart; or turn live-restore off"
)

// Strands says why the next restart of a dockerd strands its containers' mounts, ""
// if it does not: by live-restore and the directives that give it a mount namespace
// of its own, as "MountFlags=slave".
func Strands(live bool, directives []string) string {
	if !live || len(directives) == 0 {
		return ""
	}
	return fmt.Sprintf("live-restore keeps the containers over a restart, and %s gives the daemon another mount namespace at each start", strings.Join(directives, ", "))
}

func liveRestore(s *Set) (found []check.Finding) {
	for _, d := range s.daemons() {
		if d.unit == nil || d.LiveRestore == nil {
			continue
		}
		words, evidence := d.unit.told()
		cause := Strands(d.LiveRestore.Value == "true", words)
		if cause == "" {
			continue
		}
		at := d.unit.Private[0]
		f := check.Finding{
			ID:       d.unit.Name,
			Severity: check.Warning,
			Subject:  check.Subject{Kind: "unit", Name: d.unit.Name, File: at.File, Line: at.Line},
			Title:    fmt.Sprintf("%s has live-restore and %s: a restart strands the containers that run", d.unit.Name, strings.Join(words, ", ")),
			Cause:    cause,
			Harm:     "After a restart the daemon cannot reach the layers of the containers: on kernels before 3.15 " + StrandedBusy + "; on later ones " + StrandedExec,
			Evidence: append(evidence, seen(d.LiveRestore.Place, "live-restore: true")),
			Advice:   []string{BeforeRestart},
		}
		found = append(found, f)
	}
	return found
}
