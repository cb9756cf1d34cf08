package door

import (
	"archive/tar"
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Bounds of the logs of a sos report, which keeps 25 to 100 MB of each.
const (
	mostLogs = 200
	maxLogs  = 16 << 30 // bytes of all, unpacked
)

// EachLog gives take the kernel logs that a path leads to: those that a sos report has,
// by their names in it, or what else is there, by no name. A report is a directory or an
// archive, as [OpenSOS] takes it; a log may be compressed by itself. take reads it before
// it returns, and an error of it is the last thing that happens. What a log cannot be
// read for is an error of its reader.
//
// Source: sos 4, sos/report/plugins/{kernel,logs,__init__}.py.
func EachLog(name string, take func(name string, r io.Reader) error) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return err
	} else if info.IsDir() {
		return logsOfTree(name, take)
	}
	return EachLogOf(name, file, take)
}

// EachLogOf is [EachLog] of a file that is open; its name is for errors.
func EachLogOf(name string, r io.Reader, take func(name string, r io.Reader) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	plain, compressed, err := inflate(name, in, maxStream)
	if err != nil {
		return err
	}
	defer plain.Close()
	if compressed {
		in = bufio.NewReaderSize(plain, 64<<10)
	}
	if head, _ := in.Peek(tarMagicEnd); !isTar(head) { // an error comes again
		return take("", in)
	}
	err = logsOfArchive(name, in, take)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &FileError{Path: name, Why: "ends early", Try: "copy it again"}
	case errors.Is(err, tar.ErrHeader):
		return &FileError{name, "is damaged", "copy it again", err}
	}
	return err
}

func logsOfArchive(name string, r io.Reader, take func(name string, r io.Reader) error) error {
	archive := tar.NewReader(r)
	l := logs{take: take, room: maxLogs}
	for entries := 0; ; entries++ {
		h, err := archive.Next()
		if err == io.EOF {
			return l.none(name)
		}
		if err != nil {
			return err
		}
		if entries == 0 && h.Name == manifestName {
			return &FileError{Path: name, Why: "is a recording", Try: "sexton scan --from " + name}
		}
		if entries > maxEntries {
			return fmt.Errorf("over %d entries: %w", maxEntries, ErrTooLarge)
		}
		_, inside, _ := strings.Cut(strings.TrimPrefix(h.Name, "./"), "/")
		l.report = l.report || strings.HasPrefix(inside, "sos_commands/") || strings.HasPrefix(inside, "sos_reports/")
		if h.Typeflag != tar.TypeReg || placeOf(inside) < 0 {
			continue
		}
		if err := l.give(inside, archive); err != nil {
			return err
		}
	}
}

func logsOfTree(dir string, take func(name string, r io.Reader) error) error {
	root, err := os.OpenRoot(dir) // nothing outside of it is opened, whatever links are in it
	if err != nil {
		return err
	}
	defer root.Close()
	tree := root.FS()
	top, err := sosTop(tree)
	l := logs{take: take, room: maxLogs, report: top != ""}
	if err != nil {
		return err
	}
	if !l.report {
		return l.none(dir)
	}
	for _, part := range kernelLogs {
		entries, err := fs.ReadDir(tree, path.Join(top, part.dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, entry := range entries {
			if inside := path.Join(part.dir, entry.Name()); entry.Type().IsRegular() && placeOf(inside) >= 0 {
				if err := l.open(tree, top, inside); err != nil {
					return err
				}
			}
		}
	}
	return l.none(dir)
}

// kernelLogs are where a sos report has the kernel's log, by the beginnings of names: what
// was too large is cut and is in sos_strings then, with a link from where it was. general
// and systemd are of sos 3.
var kernelLogs = []struct {
	dir    string
	begins []string
}{
	{"sos_commands/logs", []string{"journalctl"}},
	{"sos_commands/systemd", []string{"journalctl"}},
	{"sos_strings/logs", []string{"journalctl", "var.log.messages", "var.log.syslog", "var.log.kern.log"}},
	{"var/log", []string{"messages", "syslog", "kern.log", "dmesg"}},
	{"sos_commands/kernel", []string{"dmesg"}},
	{"sos_commands/general", []string{"dmesg"}},
	{"sos_strings/kernel", []string{"dmesg"}},
}

// placeOf is the number of a file's entry in kernelLogs, -1 if it has none.
func placeOf(inside string) int {
	dir, name := path.Split(inside)
	for i, part := range kernelLogs {
		if dir == part.dir+"/" && slices.ContainsFunc(part.begins, func(begin string) bool { return strings.HasPrefix(name, begin) }) {
			return i
		}
	}
	return -1
}

// OrderLogs orders the logs of a report: what goes back farthest first, so dmesg last, and
// of that what has dates before what has none.
func OrderLogs(a, b string) int {
	dated := func(name string) int { return map[bool]int{true: 0, false: 1}[strings.Contains(name, "-T")] }
	return cmp.Or(cmp.Compare(placeOf(a), placeOf(b)), cmp.Compare(dated(a), dated(b)), cmp.Compare(a, b))
}

// logs are those of one report, as they are given.
type logs struct {
	take   func(name string, r io.Reader) error
	room   int64
	given  int
	report bool // it is one
}

// give unpacks one log and gives it.
func (l *logs) give(name string, r io.Reader) error {
	if l.given++; l.given > mostLogs {
		return fmt.Errorf("over %d logs: %w", mostLogs, ErrTooLarge)
	}
	plain, _, err := inflate(name, bufio.NewReaderSize(r, 64<<10), l.room)
	if err != nil {
		return l.take(name, broken{err})
	}
	defer plain.Close()
	in := plain.(*stream)
	err = l.take(name, in)
	l.room = in.room
	return err
}

func (l *logs) open(tree fs.FS, top, inside string) error {
	file, err := tree.Open(path.Join(top, inside))
	if err != nil {
		return l.take(inside, broken{err})
	}
	defer file.Close()
	return l.give(inside, file)
}

// none is the error where nothing was given.
func (l *logs) none(name string) error {
	switch {
	case l.given > 0:
		return nil
	case !l.report:
		return &FileError{Path: name, Why: "is no log and no sos report", Try: "the file of a log"}
	}
	return &FileError{Path: name, Why: "is a sos report without a log of the kernel"}
}

// A broken reader has nothing but an error.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
