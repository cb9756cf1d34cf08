package census

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// What is below a mount that is moved while the host is read has another path and the
// numbers that it had.
func TestMovedBetweenPasses(t *testing.T) {
	needsStatmount(t)
	check, here := inOwnNamespace(t)
	if !here {
		return
	}
	dir := t.TempDir()
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) }) // or the directory cannot be removed
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"", "was", "was/below"} {
		check(os.MkdirAll(at(name), 0o755))
		check(unix.Mount("room", at(name), "tmpfs", 0, "size=64k"))
	}
	check(os.Mkdir(at("is"), 0o755))
	r, err := newFastReader(Request{Proc: "/proc", Passes: 5, Whole: true})
	check(err)
	defer r.close()
	c := &Census{}
	pass := 0
	check(c.settle(t.Context(), 5, func(ctx context.Context) ([]mounts.Namespace, error) {
		if pass++; pass == 2 {
			check(unix.Mount(at("was"), at("is"), "", unix.MS_MOVE, ""))
		}
		return r.pass(ctx)
	}))
	var points []string
	for _, ns := range c.Namespaces {
		if ns.Inode == r.inode {
			for _, m := range ns.Mounts {
				points = append(points, m.MountPoint)
			}
		}
	}
	for _, want := range []string{dir, at("is"), at("is/below")} {
		if !slices.Contains(points, want) {
			t.Errorf("%s is not among %q", want, points)
		}
	}
}
