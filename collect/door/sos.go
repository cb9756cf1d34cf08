package door

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OpenSOS reads a sos report, its directory or its archive (.tar, .tar.gz,
// .tar.bz2, .tar.zst; xz must be unpacked first), as a recording of one look.
//
// It has the copies of /proc and /sys files that the report holds, and no
// output of commands but the host's name, kernel and date. A report has no
// /proc/PID/stat, no links and of no directory but /proc the names; it takes
// status, limits and stack of the first 2048 processes and mountinfo of all.
// All else is [ErrNotRecorded].
//
// Source: sos 4, sos/report/plugins/{process,filesys,kernel,host,date,cgroups}.py.
func OpenSOS(path string) (*Recording, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	s := newSOS()
	if info.IsDir() {
		err = s.readTree(path)
	} else {
		err = s.readArchive(path, file)
	}
	if err == nil && !s.sos {
		return nil, &FileError{Path: path, Why: "is neither a recording nor a sos report"}
	}
	switch {
	case err == nil:
		return s.recording(info.ModTime()), nil
	case errors.As(err, new(*FileError)):
		return nil, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &FileError{Path: path, Why: "ends early", Try: "copy it again"}
	}
	return nil, &FileError{path, "cannot be read as a sos report", "", err}
}

// A sosReport is what was found in a report so far.
type sosReport struct {
	sos     bool // something only a sos report has
	look    *pastLook
	pids    []int
	texts   map[string]string // of the files in sosTexts
	written time.Time         // when the report's date or version file was
	room    int64
	entries int
}

func newSOS() *sosReport {
	return &sosReport{
		look:  &pastLook{answers: map[question]answer{}},
		texts: map[string]string{},
		room:  maxBytes,
	}
}

// sosTexts are the files outside of proc and sys that matter, best first for
// each purpose. The general plugin is that of sos 3.
var sosTexts = struct{ date, host, uname, version []string }{
	date: []string{"sos_commands/date/date_--utc", "sos_commands/date/date", "sos_commands/general/date"},
	host: []string{"sos_commands/host/hostname", "sos_commands/general/hostname", "etc/hostname"},
	uname: []string{
		"sos_commands/kernel/uname_-a", "sos_commands/general/uname_-a",
	},
	version: []string{"version.txt"},
}

func sosText(name string) bool {
	t := sosTexts
	return slices.Contains(slices.Concat(t.date, t.host, t.uname, t.version), name)
}

// note takes notice of one name of the report, without its top directory.
func (s *sosReport) note(name string) error {
	if s.entries++; s.entries > maxEntries {
		return fmt.Errorf("over %d entries: %w", maxEntries, ErrTooLarge)
	}
	top, below, _ := strings.Cut(name, "/")
	s.sos = s.sos || top == "sos_commands" || top == "sos_reports"
	if first, _, inside := strings.Cut(below, "/"); inside && top == "proc" && number(first) {
		if pid, err := strconv.Atoi(first); err == nil && (len(s.pids) == 0 || s.pids[len(s.pids)-1] != pid) {
			s.pids = append(s.pids, pid)
		}
	}
	return nil
}

// wants reports whether a regular file of the report is worth reading.
func wants(name string) bool {
	return sosText(name) || refuse(opRead, "/"+name) == nil
}

// take keeps a file that is wanted.
func (s *sosReport) take(name string, written time.Time, text []byte) {
	s.room -= int64(len(text)+len(name)) + 256
	if sosText(name) {
		if slices.Contains(sosTexts.date, name) || s.written.IsZero() {
			s.written = written
		}
		s.texts[name] = string(text)
		return
	}
	q := question{opRead, "/" + name}
	if first, _, _ := strings.Cut(strings.TrimPrefix(q.path, pidPrefix), "/"); len(text) == 0 && number(first) {
		return // the process was gone, or denied: the report does not say which
	}
	s.look.answers[q] = answer{data: maskFile(q.path, text)}
}

func (s *sosReport) readArchive(name string, r io.Reader) error {
	stream, err := unpack(name, r, maxStream)
	if err != nil {
		return err
	}
	defer stream.Close()
	archive := tar.NewReader(stream)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		_, inside, _ := strings.Cut(strings.TrimPrefix(h.Name, "./"), "/")
		if err := s.note(inside); err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || !wants(inside) {
			continue
		}
		text, err := readBody(h, archive, min(s.room, MaxFile))
		if err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
		s.take(inside, h.ModTime, text)
	}
}

// readTree reads an unpacked report. Nothing outside of dir is opened, whatever
// links are in it.
func (s *sosReport) readTree(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	tree := root.FS()
	top, err := sosTop(tree)
	if err != nil || top == "" {
		return err
	}
	for _, part := range []string{"proc", "sys", "etc/hostname", "version.txt", "sos_commands/date", "sos_commands/host", "sos_commands/kernel", "sos_commands/general"} {
		err := fs.WalkDir(tree, path.Join(top, part), func(name string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			inside := strings.TrimPrefix(name, top+"/")
			if err := s.note(inside); err != nil {
				return err
			}
			if !entry.Type().IsRegular() || !wants(inside) {
				return nil
			}
			return s.takeFile(tree, name, inside)
		})
		if err != nil {
			return err
		}
	}
	s.sos = true
	return nil
}

func (s *sosReport) takeFile(tree fs.FS, name, inside string) error {
	file, err := tree.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	limit := min(s.room, MaxFile)
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return err
	}
	if int64(len(text)) > limit {
		return fmt.Errorf("%s: %w", inside, ErrTooLarge)
	}
	s.take(inside, info.ModTime(), text)
	return nil
}

// sosTop returns which directory of tree is the report: "." or the only one in
// it, as tar -xf makes it; "" if neither is.
func sosTop(tree fs.FS) (string, error) {
	entries, err := fs.ReadDir(tree, ".")
	if err != nil {
		return "", err
	}
	found := ""
	for _, entry := range entries {
		switch name := entry.Name(); {
		case name == "sos_commands" || name == "sos_reports":
			return ".", nil
		case entry.IsDir():
			if _, err := fs.Stat(tree, path.Join(name, "sos_commands")); err != nil {
				continue
			}
			if found != "" {
				return "", nil
			}
			found = name
		}
	}
	return found, nil
}

// recording makes the look of what was found.
func (s *sosReport) recording(fileTime time.Time) *Recording {
	slices.Sort(s.pids)
	s.pids = slices.Compact(s.pids)
	if len(s.pids) > 0 {
		names := make([]string, len(s.pids))
		for i, pid := range s.pids {
			names[i] = strconv.Itoa(pid)
		}
		s.look.answers[question{opDir, "/proc"}] = answer{names: names}
	}
	// uname -a: "Linux NAME RELEASE ..."
	uname := append(strings.Fields(s.text(sosTexts.uname)), "", "", "")
	name := cmp.Or(strings.TrimSpace(s.text(sosTexts.host)), uname[1])
	version, _, _ := strings.Cut(s.text(sosTexts.version), "\n")
	meta := Meta{
		Version: strings.TrimSpace(version),
		Root:    true, // sos refuses to run otherwise
		Name:    s.orElse("/proc/sys/kernel/hostname", name),
		Kernel:  s.orElse("/proc/sys/kernel/osrelease", uname[2]),
		BootID:  s.orElse("/proc/sys/kernel/random/boot_id", ""),
	}
	s.look.taken = s.date(fileTime)
	meta.Created = s.look.taken
	return &Recording{meta, []*pastLook{s.look}}
}

// text returns the first of the named files that the report has.
func (s *sosReport) text(names []string) string {
	for _, name := range names {
		if text, ok := s.texts[name]; ok {
			return text
		}
	}
	return ""
}

// orElse returns the one line of a file, and makes the file of text if the
// report has none.
func (s *sosReport) orElse(path, text string) string {
	q := question{opRead, path}
	if a, ok := s.look.answers[q]; ok {
		return strings.TrimSpace(string(a.data))
	}
	if text != "" {
		s.look.answers[q] = answer{data: []byte(text + "\n")}
	}
	return text
}

// date returns when the report was made. Only UTC says it without a doubt: the
// letters of another zone name several. Else it is when the date was written.
func (s *sosReport) date(fileTime time.Time) time.Time {
	for _, name := range sosTexts.date {
		for _, layout := range []string{time.UnixDate, "Mon Jan _2 03:04:05 PM MST 2006"} {
			t, err := time.Parse(layout, strings.TrimSpace(s.texts[name]))
			if zone, _ := t.Zone(); err == nil && (zone == "UTC" || zone == "GMT") {
				return t.UTC()
			}
		}
	}
	if !s.written.IsZero() {
		return s.written.UTC()
	}
	return fileTime.UTC()
}
