package stackdump

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/inroot"
	"sexton.dev/linux/procfs"
	"sexton.dev/runtimes/dockerd"
)

// placesOf are where a daemon may write its dump, as they are before it is asked.
func placesOf(pid int, layer string) ([]place, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	argv := procfs.ParseArgv(some(dir + "cmdline"))
	root, err := unix.Open(dir+"root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("pid %d: its root directory: %w", pid, err)
	}
	switch layer {
	case "dockerd":
		var out []place
		for _, dir := range dockerDirs(root, argv) {
			out = append(out, watch(root, path.Join(dir, "goroutine-stacks-*.log")))
		}
		return out, nil
	case "containerd":
		own := pid
		if status, err := procfs.ParseStatus(some(dir + "status")); err == nil && len(status.NSpid) > 0 {
			own = status.NSpid[len(status.NSpid)-1] // it names the file by the number that it has itself
		}
		temp := cmp.Or(variable(some(dir+"environ"), "TMPDIR"), "/tmp")
		out := []place{watch(root, path.Join(temp, fmt.Sprintf("containerd.%d.stacks.log", own)))}
		if log, err := logOf(pid, 0); err == nil {
			out = append(out, log) // where the file cannot be written
		}
		return out, nil
	}
	log, err := shimLog(pid)
	if err != nil {
		return nil, err
	}
	return []place{log}, nil
}

// dockerDirs are the directories of a dockerd's dumps: the exec root, and the data
// root if it has none.
func dockerDirs(root int, argv []string) []string {
	flags := dockerd.ParseFlags(argv)
	file := &dockerd.File{}
	if f, err := openIn(root, cmp.Or(flags.Config, dockerd.DefaultFile)); err == nil {
		text, err := io.ReadAll(io.LimitReader(f, 1<<20))
		f.Close()
		if parsed, bad := dockerd.ParseFile(text); err == nil && bad == nil {
			file = parsed
		}
	}
	return []string{cmp.Or(flags.ExecRoot, file.ExecRoot, dockerd.DefaultExecRoot), cmp.Or(flags.DataRoot, file.Root(), dockerd.DefaultDataRoot)}
}

// some reads a small file of /proc; what cannot be read is empty.
func some(name string) []byte {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, 1<<20))
	return text
}

// variable is one of an environment, of which nothing else is kept.
func variable(environ []byte, name string) string {
	for line := range bytes.SplitSeq(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(line, []byte(name+"=")); ok {
			return string(value)
		}
	}
	return ""
}

// openIn opens a regular file below the root directory of a process, which may be a
// container's: no link leads out of it, and nothing else than a file is opened.
func openIn(root int, name string) (*os.File, error) {
	fd, err := lookIn(root, name)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return reopen(fd, name)
}

func lookIn(root int, name string) (int, error) {
	return inroot.Open(root, name, unix.O_PATH)
}

// reopen opens what an O_PATH descriptor is of, for reading, if it is a regular file: the
// open of a pipe would be noticed by who waits on it.
func reopen(fd int, name string) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s: %w", name, errNoFile)
	}
	return os.OpenFile("/proc/self/fd/"+strconv.Itoa(fd), os.O_RDONLY|unix.O_NONBLOCK, 0)
}

var errNoFile = errors.New("no regular file")

// A stamp tells whether a file is as it was.
type stamp struct {
	inode uint64
	size  int64
	mtime unix.Timespec
}

// A fileWatch waits for a file to be written, by a pattern of its last part.
type fileWatch struct {
	root    int
	pattern string
	before  map[string]stamp
	last    map[string]stamp // at the poll before
}

func watch(root int, pattern string) *fileWatch {
	w := &fileWatch{root: root, pattern: pattern}
	w.before = w.look()
	return w
}

func (w *fileWatch) name() string { return w.pattern }

// look reads the files of the pattern.
func (w *fileWatch) look() map[string]stamp {
	out := map[string]stamp{}
	dir, last := path.Split(w.pattern)
	names := []string{last}
	if strings.Contains(last, "*") {
		fd, err := inroot.Open(w.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return out
		}
		d := os.NewFile(uintptr(fd), dir)
		names, _ = d.Readdirnames(100_000)
		d.Close()
	}
	for _, name := range names {
		if ok, _ := filepath.Match(last, name); !ok {
			continue
		}
		fd, err := lookIn(w.root, path.Join(dir, name))
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
			out[name] = stamp{st.Ino, st.Size, st.Mtim}
		}
		unix.Close(fd)
	}
	return out
}

// find gives a file that is another one than before, and has stopped to grow.
func (w *fileWatch) find(context.Context) (io.Reader, error) {
	now := w.look()
	last := w.last
	w.last = now
	for name, s := range now {
		if s.size == 0 || s == w.before[name] || s != last[name] {
			continue
		}
		w.pattern = path.Join(path.Dir(w.pattern), name)
		f, err := openIn(w.root, w.pattern)
		if err != nil {
			return nil, err
		}
		return f, nil
	}
	return nil, nil
}
