package heal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/check"
	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/plan"
)

// A space is a mount namespace that only a descriptor keeps: /p is shared, /p/v is
// mounted on it, and /q shows it, so that /q/v goes with /p/v.
type space struct {
	t         *testing.T
	fd        int
	inode, id uint64
	dir       string
}

func newSpace(t *testing.T, also ...func(dir string) error) *space {
	t.Helper()
	hosttest.NeedsRoot(t)
	own, err := unix.Open("/proc/self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(own)
	s := &space{t: t, dir: t.TempDir()}
	p, q := s.dir+"/p", s.dir+"/q"
	err = nsfs.Inside(own, func() (err error) {
		if err = errors.Join(unix.Unshare(unix.CLONE_NEWNS), os.Mkdir(p, 0o755), os.Mkdir(q, 0o755)); err != nil {
			return err
		}
		if err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		err = errors.Join(unix.Mount("p", p, "tmpfs", 0, "size=64k"), unix.Mount("", p, "", unix.MS_SHARED, ""), unix.Mount(p, q, "", unix.MS_BIND, ""),
			os.Mkdir(p+"/v", 0o755), unix.Mount("v", p+"/v", "tmpfs", 0, "size=64k"))
		for _, f := range also {
			err = errors.Join(err, f(s.dir))
		}
		if err == nil {
			s.fd, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s.fd) })
	s.id, _ = nsfs.ID(s.fd) // 0 before Linux 6.11
	if s.inode, err = nsfs.Inode(s.fd); err != nil {
		t.Fatal(err)
	}
	return s
}

// mount is the topmost mount on a path below dir: by its unique id, before Linux 6.8 by
// that of mountinfo and what tells it from a later one.
func (s *space) mount(name string) (t check.Target) {
	s.t.Helper()
	t = check.Target{Kind: "mount", Path: filepath.Join(s.dir, name), MountNamespace: s.inode, MountNamespaceID: s.id}
	var st unix.Statx_t
	err := nsfs.Inside(s.fd, func() error {
		return unix.Statx(unix.AT_FDCWD, t.Path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID|unix.STATX_MNT_ID_UNIQUE, &st)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	t.Mount, t.Device, t.Root = st.Mnt_id, fmt.Sprintf("%d:%d", st.Dev_major, st.Dev_minor), "/"
	return t
}

// left are the mounts of the namespace, as mountinfo has them.
func (s *space) left() (points []string) {
	s.t.Helper()
	var text []byte
	err := nsfs.Inside(s.fd, func() (err error) { text, err = os.ReadFile("/proc/thread-self/mountinfo"); return err })
	all, bad := mounts.ParseMountinfo(text)
	if err := errors.Join(err, bad); err != nil {
		s.t.Fatal(err)
	}
	for _, m := range all {
		points = append(points, fmt.Sprintf("%d %s", m.ID, strings.TrimPrefix(m.MountPoint, s.dir+"/")))
	}
	return points
}

// An act looks at the very last moment at what goes, and takes no mount that its
// step does not name.
func TestRadius(t *testing.T) {
	slave := func(dir string) error { return unix.Mount("", dir+"/q", "", unix.MS_SLAVE, "") }
	for _, tt := range []struct {
		name, action string
		also         []func(string) error
		named        []string // mounts that go, by the step
		says         string   // "" for done
		gone         []string
	}{
		{"both are named", "unmount-in-namespace", nil, []string{"p/v", "q/v"}, "", []string{"p/v", "q/v"}},
		{"one has come", "unmount-in-namespace", nil, []string{"p/v"}, "would go along by now, which was not planned: plan again", nil},
		{"none is named", "unmount-in-namespace", nil, nil, "would go along by now", nil},
		{"apart from the other", "make-private-then-unmount", nil, []string{"p/v"}, "", []string{"p/v"}},
		{"the other has come to receive", "make-private-then-unmount", []func(string) error{slave}, []string{"p/v"}, "by now, and would not if that were private", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSpace(t, tt.also...)
			step := plan.Step{Action: tt.action, Target: s.mount("p/v")}
			for _, name := range tt.named {
				step.Target.Mounts = append(step.Target.Mounts, s.mount(name).Mount)
			}
			if tt.action != "unmount-in-namespace" {
				on := s.mount("p")
				step.Parent = &on
			}
			before := s.left()
			out, err := openJournal(t, filepath.Join(t.TempDir(), "j")).Child(t.Context(), plan.Plan{}, step)
			if err != nil {
				t.Fatal(err)
			}
			if (out.Status == "") != (tt.says == "") || !strings.Contains(out.Why, tt.says) || out.Status != "" && out.Status != plan.Refused {
				t.Errorf("%q: %s", out.Status, out.Why)
			}
			after := s.left()
			gone := slices.DeleteFunc(before, func(m string) bool { return slices.Contains(after, m) })
			for i := range gone {
				_, gone[i], _ = strings.Cut(gone[i], " ")
			}
			if !slices.Equal(gone, tt.gone) {
				t.Errorf("gone: %q, want %q", gone, tt.gone)
			}
		})
	}
}
