package harm_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// layers are the ids of the containers of a trial, all of which have ended unless
// somebody lives in them.
var layers = []string{
	"4e09fa6803feab9d96fe72a44fb83d757c1788812ff60071ac2e62a5cf14cd97",
	"a1c8e1d0b4f5a6978869504132231405f6e7d8c9babb0c1d2e3f405162738495",
}

func merged(id string) string { return "/x/overlay2/" + id + "/merged" }
func shm(id string) string    { return "/x/containers/" + id + "/mounts/shm" }

// points are where things are mounted; few, so that they meet.
func points() []string {
	out := []string{"/x", "/x", "/x/overlay2", "/x/b", "/x/host"}
	for _, id := range layers {
		out = append(out, merged(id), merged(id), merged(id)+"/v", shm(id), "/x/host/overlay2/"+id+"/merged", "/x/b/v")
	}
	return out
}

// A drawer draws the story of a host and makes it come true.
type drawer struct {
	*rand.Rand
	h     *host
	grown []*space // those of units
}

func pick[T any](d *drawer, of ...T) T { return of[d.IntN(len(of))] }

// any is a namespace that has no root of its own; most things happen in the first.
func (d *drawer) any() *space {
	for {
		if s := pick(d, append([]*space{d.h.spaces[0], d.h.spaces[0]}, d.h.spaces...)...); !s.inside {
			return s
		}
	}
}

func (d *drawer) mount(s *space, point string) {
	d.h.try(s, func() error {
		if err := os.MkdirAll(point, 0o755); err != nil {
			return err
		}
		return unix.Mount("layer", point, "tmpfs", 0, "size=64k")
	}, "tmpfs %s", point)
}

func (d *drawer) kind(s *space, point, kind string) {
	flags := map[string]uintptr{"shared": unix.MS_SHARED, "slave": unix.MS_SLAVE, "private": unix.MS_PRIVATE}[strings.TrimPrefix(kind, "r")]
	if kind[0] == 'r' {
		flags |= unix.MS_REC
	}
	d.h.try(s, func() error { return unix.Mount("", point, "", flags, "") }, "%s %s", kind, point)
}

func (d *drawer) bind(s *space, from, to string, flags uintptr) {
	verb := "bind"
	if flags != 0 {
		verb = "rbind"
	}
	d.h.try(s, func() error {
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		return unix.Mount(from, to, "", unix.MS_BIND|flags, "")
	}, "%s %s %s", verb, from, to)
}

// story makes a host: a graph root, layers, who copies them, who uses them; and
// at last their owner unmounts most of them.
func (d *drawer) story(steps int) {
	first := d.h.spaces[0]
	d.kind(first, "/", pick(d, "shared", "shared", "private"))
	d.kind(first, "/x", pick(d, "shared", "shared", "shared", "private"))
	if d.IntN(3) == 0 { // as docker's graph drivers did until 18.06, moby#36047
		d.h.in(first, func() error { return os.MkdirAll("/x/overlay2", 0o755) })
		d.bind(first, "/x/overlay2", "/x/overlay2", 0)
		d.kind(first, "/x/overlay2", "private")
	}
	for _, id := range layers {
		if d.IntN(4) > 0 {
			d.mount(first, merged(id))
		}
		if d.IntN(4) == 0 {
			d.mount(first, shm(id))
		}
	}
	for range steps {
		d.step()
	}
	for range d.IntN(4) {
		d.h.use(pick(d, d.h.spaces...), pick(d, "cwd", "path", "open", "exe", "flight"), pick(d, append(points(), "/", "/v", "/host")...))
	}
	for _, id := range layers {
		for _, point := range []string{shm(id), merged(id)} {
			if d.IntN(8) == 0 {
				continue
			}
			for _, on := range []string{point + "/v", "/x/b", point} {
				d.release(first, on, pick(d, 0, unix.MNT_DETACH))
			}
		}
	}
}

func (d *drawer) release(s *space, point string, flags int) {
	verb := "umount"
	if flags != 0 {
		verb = "umount-l"
	}
	for d.h.try(s, func() error {
		text, err := os.ReadFile("/proc/thread-self/mountinfo")
		if err != nil {
			return err
		}
		all, err := mounts.ParseMountinfo(text)
		if err = errors.Join(err, unix.Unmount(point, flags|unix.UMOUNT_NOFOLLOW)); err != nil {
			return err
		}
		for _, m := range all { // a lazy unmount takes what is below along
			if s == d.h.spaces[0] && (m.MountPoint == point || strings.HasPrefix(m.MountPoint, point+"/")) {
				d.h.left[fmt.Sprintf("%d:%d", m.Major, m.Minor)] = true
			}
		}
		return nil
	}, "%s %s", verb, point) {
	}
}

// step adds one random change.
func (d *drawer) step() {
	s, all := d.any(), points()
	switch k := d.IntN(26); {
	case k < 5:
		d.mount(s, pick(d, all[2:]...))
	case k < 8:
		d.bind(s, pick(d, all...), pick(d, all[3:]...), pick[uintptr](d, 0, unix.MS_REC))
	case k < 9:
		d.bind(s, "/x", "/x/host", unix.MS_REC)
	case k < 12:
		d.kind(s, pick(d, append(all, "/")...), pick(d, "shared", "slave", "private", "rshared", "rslave", "rprivate"))
	case k < 13 && len(d.grown) > 0: // it has something else at the place of a layer
		s, point := pick(d, d.grown...), merged(pick(d, layers...))
		d.kind(s, "/", "rslave")
		d.release(s, point, unix.MNT_DETACH)
		d.mount(s, point)
	case k < 14:
		point := pick(d, all[3:]...)
		d.h.try(s, func() error { return unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) }, "umount-l %s", point)
	case len(d.h.spaces) > 7:
	case k < 17:
		d.container(s)
	case len(d.grown) > 0 && d.IntN(2) == 0:
		d.unit(pick(d, d.grown...))
	default:
		d.unit(s)
	}
}

// unit adds a namespace as a unit, a second daemon or somebody with unshare has it; perhaps
// nobody lives there.
func (d *drawer) unit(from *space) {
	s := d.h.clone(from, d.IntN(5) == 0)
	if s == nil {
		return
	}
	d.grown = append(d.grown, s)
	if how := pick(d, "", "", "rslave", "rprivate", "rprivate"); how != "" {
		d.kind(s, "/", how)
	}
	if d.IntN(2) == 0 {
		d.kind(s, "/", "rshared")
	}
	if comm := pick(d, "", "httpd", "httpd", "httpd", "dockerd"); comm != "" && d.h.live(s, life{comm: comm}, &os.ProcAttr{}) {
		d.h.story = append(d.h.story, s.name+" "+comm)
	}
}

// container adds a namespace with a root of its own, made as container runtimes do.
func (d *drawer) container(from *space) {
	id := pick(d, layers...)
	root := merged(id)
	s := d.h.clone(from, d.IntN(6) == 0)
	if s == nil {
		return
	}
	if d.IntN(4) > 0 && d.h.live(s, life{"app", id}, &os.ProcAttr{}) {
		d.h.story = append(d.h.story, s.name+" lives in "+id[:4])
	}
	d.kind(s, "/", pick(d, "rslave", "rslave", "rprivate"))
	if d.IntN(4) > 0 {
		d.bind(s, root, root, pick[uintptr](d, 0, unix.MS_REC))
	} else {
		d.mount(s, root)
	}
	if d.IntN(2) == 0 { // a monitor, or a driver of volumes
		d.bind(s, "/x", root+"/host", unix.MS_REC)
	}
	s.inside = d.h.try(s, func() error {
		if err := os.MkdirAll(root+"/old", 0o755); err != nil {
			return err
		}
		if err := unix.PivotRoot(root, root+"/old"); err != nil {
			return err
		}
		if err := unix.Chdir("/"); err != nil {
			return err
		}
		return unix.Unmount("/old", unix.MNT_DETACH)
	}, "pivot %s", root)
	if s.inside && d.IntN(3) == 0 {
		d.kind(s, "/", "rshared")
	}
}
