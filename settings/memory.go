package settings

import (
	"fmt"

	"sexton.dev/check"
)

const memoryName = "memory-limit-too-low"

// Bytes of a memory limit below which a container does not start: runc and its init
// run inside of the limit until the program is executed.
//
// Sources: moby v28 daemon/daemon_unix.go, linuxMinMemory; crio.conf(5), container_min_memory.
const (
	LeastMemory     = 6 << 20  // docker refuses less; runc's init is killed, or runc refuses to set it
	LeastMemoryCRIO = 12 << 20 // cri-o refuses less, unless it was told otherwise
)

func memory(_ *Set, w *Workload, c *Container) []check.Finding {
	m := c.Memory
	if m.Bytes <= 0 || m.Bytes >= LeastMemoryCRIO || m.Bytes >= LeastMemory && w.Format != Kubernetes {
		return nil
	}
	f := finding(w, c, m.Place, "")
	f.Severity = check.Warning
	f.Title = fmt.Sprintf("%s may use %s of memory: less than runc needs to start it", w.label(c), size(m))
	f.Cause = "runc and its init run inside of the limit until the program is executed"
	f.Harm = "The container does not start: docker refuses such a limit, runc cannot set it, or the kernel kills runc:[2:INIT], which can leave a runtime that waits for it"
	f.Evidence = []check.Evidence{seen(m.Place, "memory limit "+m.Text)}
	f.Advice = []string{"at least 6 MiB for runc, and what the program needs besides"}
	switch {
	case m.Bytes < 1<<10 && w.Format == Kubernetes:
		f.Advice = []string{"a unit: Mi are mebibytes; m is a thousandth of a byte, and no letter is bytes"}
	case m.Bytes >= LeastMemory:
		f.Severity = check.Info
		f.Title = fmt.Sprintf("%s may use %s of memory: cri-o refuses less than 12 MiB", w.label(c), size(m))
		f.Harm = "On a node with cri-o the container does not start; with another runtime a large environment is enough to have its init killed"
		f.Advice = []string{"at least 12 MiB, and what the program needs"}
	}
	return []check.Finding{f}
}

// size writes a limit so that a wrong unit is seen.
func size(m Memory) string {
	switch {
	case m.Bytes < 1<<10:
		return check.Count(int(m.Bytes), "byte")
	case m.Bytes < 1<<20:
		return fmt.Sprintf("%.4g KiB", float64(m.Bytes)/(1<<10))
	}
	return fmt.Sprintf("%.3g MiB", float64(m.Bytes)/(1<<20))
}
