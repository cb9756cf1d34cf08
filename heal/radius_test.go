package heal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/linux/mounts/statmount"
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
	_, err := statmount.Supported()
	hosttest.Needs(t, "statmount", err == nil, "Linux 6.8")
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
	if s.id, err = nsfs.ID(s.fd); err == nil {
		s.inode, err = nsfs.Inode(s.fd)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mount is the unique id of the topmost mount on a path below dir.
func (s *space) mount(name string) uint64 {
	s.t.Helper()
	var st unix.Statx_t
	err := nsfs.Inside(s.fd, func() error {
		return unix.Statx(unix.AT_FDCWD, filepath.Join(s.dir, name), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID_UNIQUE, &st)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return st.Mnt_id
}

func (s *space) step(action, name string, goes ...uint64) (out plan.Step) {
	out.Action = action
	t := &out.Target
	t.Kind, t.Path, t.Mount, t.Mounts = "mount", filepath.Join(s.dir, name), s.mount(name), goes
	t.MountNamespace, t.MountNamespaceID = s.inode, s.id
	return out
}

func (s *space) left() []uint64 {
	s.t.Helper()
	all, err := statmount.NewCaller().List(s.id, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
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
			at := map[string]uint64{"p/v": s.mount("p/v"), "q/v": s.mount("q/v")}
			var named []uint64
			for _, name := range tt.named {
				named = append(named, at[name])
			}
			step := s.step(tt.action, "p/v", named...)
			if tt.action != "unmount-in-namespace" {
				on := s.step("", "p").Target
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
			for _, id := range before {
				want := slices.ContainsFunc(tt.gone, func(name string) bool { return at[name] == id })
				if gone := !slices.Contains(after, id); gone != want {
					t.Errorf("mount %d of %v: gone %v", id, at, gone)
				}
			}
		})
	}
}
