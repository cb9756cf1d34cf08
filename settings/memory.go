package settings

import (
	"fmt"

	"sexton.dev/check"
)

const memoryName = "memory-limit-too-low"

// Bytes of a memory limit that runc needs to start a container.
//
// Sources: moby v28 daemon/daemon_unix.go, linuxMinMemory; opencontainers/runc#1980.
const (
	LeastMemory  = 6 << 20  // docker refuses less; the kubelet, containerd and podman do not
	enoughMemory = 16 << 20 // the init of a runc that copies itself into memory takes 10 to 15 MB more
)

// Of limits that leave no room for runc's init.
const (
	InitCounts = "runc's init counts against the limit until the program runs, and again for each exec and exec probe; it needs 2.3 MB at least, and 10 to 15 MB more where it must copy itself into memory"
	InitDies   = "A start, exec or probe fails, or the kernel kills the init, which an old runtime waits for ever after"
	GiveInit   = "give it 16 MiB at least, besides what its program needs"
)

func memory(w *Workload, c *Container) []check.Finding {
	m := c.Memory
	if m.Bytes <= 0 || m.Bytes >= enoughMemory {
		return nil
	}
	f := finding(w, c, m.Place, "")
	f.Severity = check.Warning
	f.Title = fmt.Sprintf("%s may use %s of memory, which leaves no room for runc's init", w.label(c), size(m))
	f.Cause, f.Harm = InitCounts, InitDies
	f.Evidence = []check.Evidence{seen(m.Place, "memory limit "+m.Text)}
	f.Advice = []string{GiveInit}
	switch {
	case m.Bytes < 1<<10 && w.Format == Kubernetes:
		f.Advice = []string{"a unit: Mi are mebibytes; m is a thousandth of a byte, and no letter is bytes"}
	case m.Bytes >= LeastMemory:
		f.Severity = check.Info
		f.Title = fmt.Sprintf("%s may use %s of memory, which is little for runc's init", w.label(c), size(m))
		if w.Format == Kubernetes {
			f.Harm += "; cri-o refuses less than 12 MiB"
		}
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
