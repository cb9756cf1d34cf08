package heal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// What the dumps of a journal take of a disk: 32 of at most 8 MiB, and none where less
// than 64 MiB would be left for others.
const (
	maxDump   = 8 << 20 // bytes
	maxDumps  = 32      // more than one heal takes
	leaveFree = 64 << 20
)

// A dumpDir is the directory beside a journal in which goroutine dumps are kept.
type dumpDir struct {
	path string
	root *os.Root
}

// dumpName is how a dump is named: when, of which layer and process.
var dumpName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z-[a-z]+-\d+\.txt$`) })

// openDumps opens the directory, or makes one that is nobody else's. Links are not followed.
func openDumps(path string) (*dumpDir, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		err = os.Mkdir(path, 0o700)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	at, st, err := openPath(path, unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	if err := ours(st); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", at))
	if err != nil {
		return nil, err
	}
	return &dumpDir{path, root}, nil
}

func (d *dumpDir) close() { d.root.Close() }

// room removes the oldest dumps until n more may be kept, and fails where the disk has
// no room for them.
func (d *dumpDir) room(n int) error {
	all, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(e fs.DirEntry) bool { return !dumpName().MatchString(e.Name()) })
	for _, e := range all[:min(len(all), max(0, len(all)+n-maxDumps))] { // by name, which begins with the time
		if err := d.root.Remove(e.Name()); err != nil {
			return err
		}
	}
	top, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer top.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(top.Fd()), &st); err != nil {
		return err
	}
	if free := st.Bavail * uint64(st.Bsize); free < leaveFree+uint64(n)*maxDump {
		return fmt.Errorf("the file system of %s has %d MiB free, and dumps leave %d MiB", d.path, free>>20, leaveFree>>20)
	}
	return nil
}

// keep writes a dump, as much of it as may be kept, and says where it is and what it
// lacks. What cannot be written is not there at all, so that its blocks are free again.
func (d *dumpDir) keep(name string, r io.Reader) (file, why string) {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err.Error()
	}
	n, err := io.Copy(f, io.LimitReader(r, maxDump))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, d.root.Remove(name)).Error()
	}
	if more, _ := io.ReadFull(r, make([]byte, 1)); n == maxDump && more > 0 {
		why = fmt.Sprintf("cut: it has more than %d MiB", maxDump>>20)
	}
	return filepath.Join(d.path, name), why
}
