package census

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts/bpf"
	"sexton.dev/linux/mounts/mountstest"
	"sexton.dev/linux/mounts/nsfs"
)

// A mount that stands still has the text of its place, though its copies, which are on the
// same directory, move in other namespaces while all are read.
func TestCopiesMove(t *testing.T) {
	needsStatmount(t)
	needsBPF(t)
	dir := t.TempDir()
	for _, name := range []string{"stays", "goes"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const copies, still = 5, 2
	start, stop := make(chan struct{}), make(chan struct{})
	ended, from, inodes := make(chan error, copies), -1, make([]uint64, copies)
	for i := range copies {
		ready := make(chan error)
		go func() {
			mountstest.OnDyingThread(func() {
				fd, err := withMount(dir, from)
				if err == nil {
					from = fd
					inodes[i], err = nsfs.Inode(fd)
				}
				ready <- err
				<-start
				if i == still {
					<-stop
				} else {
					err = goAndReturn(dir, stop)
				}
				ended <- cmp.Or(err, unix.Close(fd))
			})
		}()
		if err := <-ready; err != nil {
			t.Fatal(err)
		}
	}
	close(start)
	times := 0
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && !t.Failed(); times++ {
		for _, ns := range read(t, Request{Whole: true, Passes: 1, fewMounts: 1}).Namespaces {
			if ns.Inode != inodes[still] {
				continue
			}
			for _, m := range ns.Mounts {
				if m.Source == dir && m.MountPoint != filepath.Join(dir, "stays") {
					t.Errorf("after %d times the mount that stands still is on %s", times, m.MountPoint)
				}
			}
		}
	}
	close(stop)
	for range copies {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Logf("read %d times", times)
}

// withMount puts this thread in a copy of the namespace with this descriptor, or in one
// that has a tmpfs, of which the source is dir, and returns its descriptor.
func withMount(dir string, from int) (int, error) {
	err := unix.Unshare(unix.CLONE_FS)
	if err == nil && from >= 0 {
		err = unix.Setns(from, unix.CLONE_NEWNS)
	}
	err = cmp.Or(err, unix.Unshare(unix.CLONE_NEWNS))
	if err == nil && from < 0 {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		const others = 200 // to be asked about before
		for i := 0; i < others && err == nil; i++ {
			at := filepath.Join(dir, fmt.Sprint(i))
			err = cmp.Or(os.Mkdir(at, 0o755), unix.Mount("other", at, "tmpfs", 0, "size=4k"))
		}
		err = cmp.Or(err, unix.Mount(dir, filepath.Join(dir, "stays"), "tmpfs", 0, "size=4k"))
	}
	if err != nil {
		return -1, err
	}
	return unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// goAndReturn moves the mount until it is stopped.
func goAndReturn(dir string, stop chan struct{}) error {
	from, to := filepath.Join(dir, "stays"), filepath.Join(dir, "goes")
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := unix.Mount(from, to, "", unix.MS_MOVE, ""); err != nil {
			return err
		}
		from, to = to, from
	}
}

// The mounts of a namespace are on each other, as deep as there are mounts, in a circle, or on none.
func TestClassify(t *testing.T) {
	const deep = 1 << 17
	k := &kernelReader{}
	for i := range deep {
		k.mounts = append(k.mounts, bpf.Mount{ID: uint64(i + 10), Parent: uint64(i + 9), Point: uint64(i)})
	}
	last := len(k.mounts)
	k.mounts = append(k.mounts,
		bpf.Mount{ID: 2 * deep, Parent: 2*deep + 1},
		bpf.Mount{ID: 2*deep + 1, Parent: 2 * deep},
		bpf.Mount{ID: 2*deep + 2, Parent: 3},
		bpf.Mount{ID: 2*deep + 3, Parent: 2*deep + 2})
	slices.Reverse(k.mounts[1:last]) // the top comes first
	for i := range k.mounts[1:last] {
		k.mounts[i+1].ID, k.mounts[i+1].Parent = uint64(i+11), uint64(i+12)
	}
	k.mounts[last-1].Parent = k.mounts[0].ID
	k.forget()
	k.classifyAll(0)
	for i, class := range k.classes[:last] {
		if class == notListed || i > 1 && class != k.classes[i-1]-1 {
			t.Fatalf("mount %d has class %d", i, class)
		}
	}
	if rest := k.classes[last:]; !slices.Equal(rest, []int32{notListed, notListed, notListed, notListed}) {
		t.Errorf("mounts that are on none below the root: %v", rest)
	}
}

func TestRootOf(t *testing.T) {
	for _, tt := range []struct {
		name string
		all  []bpf.Mount
		want int
	}{
		{"as always", []bpf.Mount{{ID: 3, Parent: 3}, {ID: 4, Parent: 3}, {ID: 5, Parent: 3}}, 1},
		{"not the first", []bpf.Mount{{ID: 3, Parent: 3}, {ID: 4, Parent: 5}, {ID: 5, Parent: 3}}, 2},
		{"the bottom alone", []bpf.Mount{{ID: 3, Parent: 3}}, -1},
		{"an older mount", []bpf.Mount{{ID: 2, Parent: 3}, {ID: 3, Parent: 3}, {ID: 4, Parent: 3}}, -1},
	} {
		if at := rootOf(tt.all, 3); at != tt.want {
			t.Errorf("%s: %d", tt.name, at)
		}
	}
}
