package census

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/mountstest"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/linux/mounts/statmount"
)

func TestSourcesComplete(t *testing.T) {
	of := func(id int, minor uint32, kind string) mounts.Mount {
		return mounts.Mount{ID: id, UniqueID: 7, Minor: minor, Type: kind, Root: "/"}
	}
	for _, tt := range []struct {
		name               string
		asked              mounts.Mount
		ns                 uint64
		wantKind, wantFrom string
		wantLacks          int
	}{
		{"in a table", of(20, 1, "tmpfs"), 1, "tmpfs", "room", 0},
		{"with its kind of FUSE", of(21, 2, "fuse"), 1, "fuse.sshfs", "host:", 0},
		{"a kind that begins the same", of(21, 2, "fus"), 1, "fus", "host:", 0},
		{"of another namespace", of(20, 1, "tmpfs"), 2, "tmpfs", "", 1},
		{"its id is used again", of(20, 2, "tmpfs"), 1, "tmpfs", "", 1},
		{"in none", of(22, 3, "xfs"), 1, "xfs", "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sources{why: errors.New("a cause"), lacks: map[uint64]bool{}, of: map[placeInTable]sourced{
				{1, 20}: {mounts.Device{Minor: 1}, "/", "tmpfs", "room"},
				{1, 21}: {mounts.Device{Minor: 2}, "/", "fuse.sshfs", "host:"},
			}}
			m := tt.asked
			s.complete(tt.ns, &m)
			if kind := s.kind(tt.ns, &m, m.Type); kind != tt.wantKind || m.Source != tt.wantFrom {
				t.Errorf("kind %q source %q, want %q %q", kind, m.Source, tt.wantKind, tt.wantFrom)
			}
			if unknown := s.unknown(); len(s.lacks) != tt.wantLacks || len(unknown) != tt.wantLacks {
				t.Errorf("lacks %v, unknown %v", s.lacks, unknown)
			}
		})
	}
}

// Where statmount tells sources, the tables tell the same of every mount of the planted hosts.
func TestSourcesAreStatmounts(t *testing.T) {
	needsStatmount(t)
	known, err := statmount.Supported()
	hosttest.Needs(t, "statmount-source", err == nil && known&statmount.Source != 0, "Linux 6.13 for statmount's sources")
	h := mountstest.Start(t, 3, 5, 1)
	s, err := openSources(Request{Proc: "/proc"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	r, err := newFastReader(Request{Proc: "/proc"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if err := s.begin(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := r.each(t.Context(), func(fd int, info nsfs.Info) error {
		ns, err := r.identify(fd, info)
		s.learn(fd, &ns)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, ns := range read(t, Request{Whole: true}).Namespaces {
		for _, m := range ns.Mounts {
			if !slices.ContainsFunc(h.Plants, func(p mountstest.Plant) bool {
				return p.Namespace == ns.Inode && p.Source == m.Source
			}) {
				continue
			}
			compared++
			got := m
			got.Source = ""
			if s.complete(ns.ID, &got); got != m {
				t.Errorf("%s of mnt:[%d]: source %q, want %q", m.MountPoint, ns.Inode, got.Source, m.Source)
			}
		}
	}
	if compared < 5 {
		t.Errorf("compared %d mounts", compared)
	}
}

// A superblock that is mounted from several sources, at the same place of several namespaces, has
// both, in each way of reading.
func TestSeveralSources(t *testing.T) {
	if !inChild(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}) {
		return
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "sexton-sources-") // T.TempDir removes all that is below, if an unmount fails
	check(err)
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH); os.Remove(dir) })
	first, second, third := fmt.Sprint("first-", os.Getpid()), fmt.Sprint("second-", os.Getpid()), fmt.Sprint("third-", os.Getpid())
	check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	check(unix.Mount(first, dir, "sysfs", 0, ""))
	for _, source := range []string{second, third, second} { // with copies of what is else in the same places
		other := make(chan error)
		go mountstest.OnDyingThread(func() {
			err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
			if err == nil {
				_, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0) // keeps it
			}
			other <- cmp.Or(err, unix.Unmount(dir, 0), unix.Mount(source, dir, "sysfs", 0, ""))
		})
		check(<-other)
	}
	for _, tt := range []struct {
		name string
		way  Way
		few  int
	}{
		{"mountinfo", Mountinfo, 0},
		{"statmount", Statmount, math.MaxInt},
		{"BPF", Statmount, 1},
	} {
		for source, times := range map[string]int{first: 1, second: 2, third: 1} {
			q := Question{Asked: func(m *mounts.Mount) bool { return m.Source == source }}
			for kind, req := range map[string]Request{
				"whole":    {Way: tt.way, Whole: true, fewMounts: tt.few},
				"question": {Way: tt.way, Passes: 1, About: &q, fewMounts: tt.few},
			} {
				where := withSource(read(t, req), source)
				if len(where) != times || !strings.HasSuffix(where[0], " "+dir) {
					t.Errorf("%s, %s of %s: %q", tt.name, kind, source, where)
				}
			}
		}
	}
}
