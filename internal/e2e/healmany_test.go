package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// One leak that is in many namespaces is unmounted in each, and each time looked for
// who would miss it, without a whole look before each.
func TestHealMany(t *testing.T) {
	sandboxed(t)
	h := newHost(t, slow)
	const spaces = 40
	at := filepath.Join(t.TempDir(), "kubelet/plugins/kubernetes.io/csi/pv/pvc-1/globalmount")
	h.start(t, fmt.Sprintf(`mkdir -p %[1]s; mount -t tmpfs volume %[1]s
		for n in $(seq %[2]d); do unshare -m --propagation private bash -c 'as keeper' & done
		until [ $(grep -lx keeper /proc/[0-9]*/comm 2>/dev/null | wc -l) = %[2]d ]; do sleep 0.02; done
		umount %[1]s; as owner`, at, spaces), "owner")
	begun := time.Now()
	p := h.sexton(t, "heal", "--apply", "--yes", "--journal", filepath.Join(t.TempDir(), "j"), "-o", "json").exits(t, clean).plan(t)
	took := time.Since(begun)
	if n := len(p.with("unmount-in-namespace")); n != spaces || len(p.is("done")) != n {
		t.Errorf("%d of %d steps done\n%s", len(p.is("done")), n, p.run)
	}
	for _, s := range p.with("unmount-in-namespace") {
		if len(s.Target.Mounts) != 1 || s.Target.Mounts[0] != s.Target.Mount {
			t.Errorf("mount %d: %d go", s.Target.Mount, s.Target.Mounts)
		}
	}
	t.Logf("%d namespaces in %.1f s", spaces, took.Seconds())
	if most := 20 * time.Second; took > most { // a whole look before each, two seconds long, takes over 80
		t.Errorf("it took %v", took)
	}
	remains(t, h, labFault{})
	hosttest.Until(t, time.Second, "the keepers live", func() bool { return h.pid("keeper") != 0 })
}
