package systemd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// folders are where systemd looks for units, the first one that has a file wins.
//
// Source: systemd.unit(5) "UNIT FILE LOAD PATH".
var folders = []string{
	"/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient", "/run/systemd/generator.early",
	"/etc/systemd/system", "/etc/systemd/system.attached", "/run/systemd/system", "/run/systemd/system.attached", "/run/systemd/generator",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late",
}

const (
	maxFile  = 1 << 20
	maxFiles = 256 // of one unit
	maxLinks = 8   // that are followed to one file
)

// ErrMasked is the error of a unit that somebody linked to /dev/null.
var ErrMasked = errors.New("the unit is masked")

// Files reads a service's unit file and its drop-ins below the root directory of
// a host, in the order in which they apply. Links are followed inside of root. A
// unit without any file has none. Opening may block on a dead file system: call
// it where that does no harm.
//
// Source: systemd.unit(5); systemd 257 src/basic/unit-file.c, src/shared/dropin.c.
func Files(root, unit string) ([]File, error) {
	if !validName(unit) {
		return nil, fmt.Errorf("unit %q: %w: no name of a service", unit, fs.ErrInvalid)
	}
	t := tree{root: root}
	names := []string{unit}
	if prefix, _, instance := strings.Cut(unit, "@"); instance {
		names = append(names, prefix+"@.service")
	}
	var out []File
	f, err := t.fragment(names)
	switch {
	case err != nil:
		return nil, fmt.Errorf("unit %s: %w", unit, err)
	case f.Path != "":
		out = append(out, f)
		if alias := path.Base(f.Path); !slices.Contains(names, alias) {
			names = append(names, alias) // a link: what is said of the other name holds, too
		}
	}
	dropins, err := t.dropins(names)
	if err != nil {
		return out, fmt.Errorf("unit %s: %w", unit, err)
	}
	return append(out, dropins...), nil
}

func validName(unit string) bool {
	return strings.HasSuffix(unit, ".service") && len(unit) > len(".service") && len(unit) < 256 && !strings.ContainsAny(unit, "/\x00\n")
}

// A tree is the file system of a host.
type tree struct{ root string }

// fragment is the first unit file by any of the names: an instance's own before its template's.
func (t tree) fragment(names []string) (File, error) {
	for _, name := range names {
		for _, dir := range folders {
			f, err := t.read(dir + "/" + name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return f, err
		}
	}
	return File{}, nil
}

// dropins are the files NAME.service.d/*.conf of every folder. Of several with one
// name the first folder's holds; they apply in the order of their names. There are
// also folders for all services and for all whose name begins alike up to a dash.
func (t tree) dropins(names []string) ([]File, error) {
	found := map[string]string{} // path, by the file's name
	for _, name := range dropinNames(names) {
		for _, dir := range folders {
			dir += "/" + name + ".d"
			entries, err := os.ReadDir(t.root + dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
				return nil, err
			}
			for _, e := range entries {
				if _, has := found[e.Name()]; !has && strings.HasSuffix(e.Name(), ".conf") && len(found) < maxFiles {
					found[e.Name()] = dir + "/" + e.Name()
				}
			}
		}
	}
	var order []string
	for name := range found {
		order = append(order, name)
	}
	slices.Sort(order)
	var out []File
	for _, name := range order {
		f, err := t.read(found[name])
		switch {
		case errors.Is(err, ErrMasked), errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return out, err
		default:
			f.Path = found[name]
			out = append(out, f)
		}
	}
	return out, nil
}

// dropinNames lists the folders' names, the most special one first: where two have
// a file of one name, that one holds.
func dropinNames(names []string) []string {
	out := slices.Clone(names)
	for _, name := range names {
		base := strings.TrimSuffix(name, ".service")
		for i := strings.LastIndexByte(base, '-'); i > 0; i = strings.LastIndexByte(base[:i], '-') {
			if prefix := base[:i+1] + ".service"; !slices.Contains(out, prefix) {
				out = append(out, prefix)
			}
		}
	}
	return append(out, "service")
}

// read reads a file, following links below root. Path is the one that was
// reached. An empty file masks as /dev/null does.
func (t tree) read(name string) (File, error) {
	for range maxLinks {
		target, err := os.Readlink(t.root + name)
		if err != nil {
			break // no link, or not there: the open tells
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		if name = path.Clean(target); name == "/dev/null" {
			return File{}, ErrMasked
		}
	}
	fd, err := unix.Open(t.root+name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return File{}, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return File{}, err
	}
	if !info.Mode().IsRegular() {
		return File{}, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = &fs.PathError{Op: "read", Path: name, Err: unix.EFBIG}
	}
	if err == nil && len(text) == 0 {
		err = ErrMasked
	}
	return File{name, text}, err
}
