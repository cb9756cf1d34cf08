package collect

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/runtimes"
	"sexton.dev/snapshot"
)

// layers are directories of overlays by which a detached one is known: its root
// and its files have the inode numbers of those of its layers, where all are on
// one file system.
//
// Source: Documentation/filesystems/overlayfs.rst, Inode properties.
type layers []layer

// A Layer is a directory that may be a layer of an overlay that is asked about.
type Layer struct {
	PID int    `json:"pid,omitempty"` // whose root directory Dir is below; 0: our own
	Dir string `json:"dir"`
}

// reachable leaves out, and says so, the directories that are behind a mount on
// which a walk may wait for a server: to open them would be to ask it.
func (l *looker) reachable(table *snapshot.Mounts, all []Layer) []Layer {
	link, _ := l.ReadLink("/proc/self/ns/mnt") // where this is not known, the child that walks is ended if it waits
	own, _ := mounts.NamespaceInode(link)
	return slices.DeleteFunc(all, func(dir Layer) bool {
		for i := range table.Namespaces {
			ns := &table.Namespaces[i]
			if dir.PID == 0 && ns.Inode != own || dir.PID != 0 && !slices.ContainsFunc(ns.Pins, func(p snapshot.Pin) bool { return p.Kind == string(holders.Process) && p.PID == dir.PID }) {
				continue
			}
			for k := range ns.Mounts {
				if m := &ns.Mounts[k]; overServer(m) && (dir.Dir == m.Point || strings.HasPrefix(dir.Dir, m.Point+"/")) {
					l.lackOf(snapshot.References, "detached overlays with a layer below "+m.Point, m.Type+" asks a server, and is not walked into")
					return true
				}
			}
		}
		return false
	})
}

// overServer reports whether a walk through a mount may wait for a server. Of a root that
// is on one nothing can be done.
func overServer(m *snapshot.Mount) bool { return m.Point != "/" && runtimes.Foreign(m.Type) }

type layer struct {
	dir    string
	fd     int
	inode  uint64
	device mounts.Device
	fs     unix.Statfs_t
	kept   unix.Fsid // of an overlay with this upper layer, 0: none is kept
}

// findLayers opens directories. One that is not there proves nothing, and is left out.
func findLayers(proc string, dirs []Layer) layers {
	var out layers
	for _, l := range dirs {
		root := "/"
		if l.PID != 0 {
			root = proc + "/" + strconv.Itoa(l.PID) + "/root"
		}
		fd, err := openBelow(root, l.Dir)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		found := layer{dir: l.Dir, fd: fd}
		if err := errors.Join(unix.Fstat(fd, &st), found.stat()); err != nil {
			unix.Close(fd)
			continue
		}
		found.inode, found.device = st.Ino, mounts.DeviceOf(st.Dev)
		out = append(out, found)
	}
	return out
}

// openBelow opens a directory below a root that a container may have made.
func openBelow(root, dir string) (int, error) {
	base, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(base)
	return unix.Openat2(base, strings.TrimPrefix(dir, "/"), &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
}

// of returns the layer that a reference into an overlay is proved to be in, by each of its names.
// Where only a path is known, as of a file that is registered with an io_uring, nothing is proved.
func (all layers) of(proc string, r *holders.Ref) (dirs []string) {
	if r.Inode == 0 {
		return nil
	}
	var fs unix.Statfs_t
	asked, told := false, false
	for i := range all {
		l := &all[i]
		if r.Device == l.device {
			continue // on the layers' own file system: no overlay
		}
		if slices.Contains(dirs, l.dir) || r.Inode != l.inode && r.Inode != l.below(r.Link) {
			continue
		}
		if !asked {
			fs, told = statReference(proc, r)
			asked = true
		}
		if !told || all.holds(l, &fs) {
			dirs = append(dirs, l.dir)
		}
	}
	return dirs
}

// below is the inode of a path in the layer, 0 if there is none. A container may
// have made it: no link is followed, and nothing leads out.
func (l layer) below(link string) uint64 {
	const most = 4096
	if len(link) < 2 || len(link) > most || link[0] != '/' {
		return 0
	}
	fd, err := unix.Openat2(l.fd, link[1:], &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV})
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Ino
}

// A lineWriter writes lines of JSON. What a line begins is flushed before it may stall.
type lineWriter struct {
	mu  sync.Mutex
	out *bufio.Writer
	enc *json.Encoder
	to  io.Writer
	pid int
}

func newLineWriter(out io.Writer) *lineWriter {
	b := bufio.NewWriterSize(out, 1<<16)
	return &lineWriter{out: b, enc: json.NewEncoder(b), to: out}
}

func (w *lineWriter) write(l refLine) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.enc.Encode(l)
}

func (w *lineWriter) begin(pid int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pid = pid
}

func (w *lineWriter) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Flush()
}

// watch ends this process where it stalls, after it told at which process it did.
func (w *lineWriter) watch(stall time.Duration) *patience {
	return newPatience(stall, func() {
		w.mu.Lock() // never let go: nothing more is written
		w.enc.Encode(refLine{Begin: w.pid})
		w.out.Flush()
		if c, ok := w.to.(io.Closer); ok {
			c.Close() // the parent need not wait for a thread that cannot be ended
		}
		os.Exit(0)
	})
}
