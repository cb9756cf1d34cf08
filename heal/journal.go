package heal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sexton.dev/check"
	"sexton.dev/exactjson"
	"sexton.dev/plan"
)

// DefaultJournal is where what was done is written down.
const DefaultJournal = "/var/lib/sexton/journal.jsonl"

// An Entry is one line of a journal: an act is about to begin, or how a step ended.
type Entry struct {
	Time     time.Time        `json:"time"`
	Event    string           `json:"event"` // begin, note, end
	BootID   string           `json:"bootID"`
	Plan     string           `json:"plan"` // its id
	Who      Who              `json:"who"`
	Step     plan.Step        `json:"step"`
	Evidence []check.Evidence `json:"evidence,omitempty"` // begin: what was seen before
	Note     json.RawMessage  `json:"note,omitempty"`     // note: what the act said before it changed something
}

// Who healed: the user, and who that was before sudo.
type Who struct {
	UID  int    `json:"uid"`
	Sudo string `json:"sudo,omitempty"`
	PID  int    `json:"pid"`
}

func who() Who { return Who{os.Getuid(), os.Getenv("SUDO_USER"), os.Getpid()} }

// A Journal is open for writing. Each line is on the disk before the call returns.
type Journal struct {
	file *os.File
	path string
}

// OpenJournal opens a journal, or makes one that nobody else may write, and tries
// that it can be written. One that is there must be root's or the caller's, and
// nobody else's to write: heal --resume does what it says.
func OpenJournal(path string) (*Journal, error) {
	err := makeJournal(path)
	var f *os.File
	if err == nil {
		f, err = openRegular(path, os.O_RDWR|os.O_APPEND, true)
	}
	if err != nil {
		return nil, &journalError{path, err}
	}
	j := &Journal{f, path}
	if err := errors.Join(j.whole(), syncFile(f)); err != nil {
		f.Close()
		return nil, &journalError{path, err}
	}
	return j, nil
}

// makeJournal makes a file, and the directories above it, that outlast a crash.
func makeJournal(path string) error {
	dir := filepath.Dir(path)
	if err := makeDirectory(dir); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), syncDirectory(dir)) // whoever opens it syncs the file
}

func makeDirectory(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeDirectory(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return syncDirectory(above)
}

// syncFile has what was written to a file on the disk before it returns, which takes
// most of the time that healing takes on a slow one. A test counts its calls.
var syncFile = (*os.File).Sync

// syncDirectory has the names in a directory on the disk before it returns. A test
// counts its calls.
var syncDirectory = func(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// whole ends a line that a crash cut short, so that the next one stands by itself.
func (j *Journal) whole() error {
	info, err := j.file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := j.file.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = j.file.WriteString("\n")
	return err
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

func (j *Journal) begin(p plan.Plan, s plan.Step, seen []check.Evidence) error {
	return j.append(p, Entry{Event: "begin", Step: s, Evidence: seen})
}

func (j *Journal) end(p plan.Plan, s plan.Step) error {
	return j.append(p, Entry{Event: "end", Step: s})
}

func (j *Journal) append(p plan.Plan, e Entry) error {
	e.Time, e.BootID, e.Plan = time.Now().UTC(), p.BootID, p.ID
	if e.Who == (Who{}) { // else of an act that another process began
		e.Who = who()
	}
	text, err := exactjson.Marshal(e)
	if err == nil && len(text) >= maxLine { // it would keep all others from being read
		err = fmt.Errorf("an entry of %d MiB is longer than one may be", len(text)>>20)
	}
	if err == nil {
		err = j.whole() // the last one may have filled the disk
	}
	if err == nil {
		_, err = j.file.Write(append(text, '\n'))
	}
	if err == nil {
		err = syncFile(j.file)
	}
	if err != nil {
		return &journalError{j.path, err}
	}
	return nil
}

// A journalError is why nothing may be done: it could not be written down.
type journalError struct {
	path string
	err  error
}

func (e *journalError) Error() string {
	return fmt.Sprintf("journal %s: %v: nothing is done that cannot be written down first", e.path, e.err)
}
func (e *journalError) Unwrap() error { return e.err }
func (e *journalError) Hint() string  { return "--journal PATH on a disk that can be written" }

// maxLine is the longest line that is read of a journal.
const maxLine = 16 << 20

// A Damaged error tells of lines of a journal that are no entries. The others were read.
type Damaged struct {
	Lines int
	First int // its number, from 1
}

func (d *Damaged) Error() string {
	return fmt.Sprintf("%s of the journal cannot be read, the first one is line %d: cut short by a crash, or changed", check.Count(d.Lines, "line"), d.First)
}

// ReadJournal reads the entries of a journal, whosever it is. A line that is no
// entry, as one that a crash cut short, is left out and told of by [Damaged]; the
// entries around it are returned all the same. A file that is not there is an empty
// journal, and what is no regular file is none.
func ReadJournal(path string) ([]Entry, error) {
	f, err := openRegular(path, os.O_RDONLY, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal %s: %w", path, err)
	}
	defer f.Close()
	return parseJournal(f)
}

func parseJournal(r io.Reader) (out []Entry, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var bad Damaged
	for n := 1; lines.Scan(); n++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		var e Entry
		if exactjson.Unmarshal(text, &e) != nil || e.Event == "" {
			if bad.Lines++; bad.Lines == 1 {
				bad.First = n
			}
			continue
		}
		out = append(out, e)
	}
	if err := lines.Err(); err != nil {
		return out, fmt.Errorf("read the journal: %w", err)
	}
	if bad.Lines > 0 {
		return out, &bad
	}
	return out, nil
}

// Unfinished returns the entries of acts that began and have no end, the notes
// of each after its beginning.
func Unfinished(all []Entry) (out []Entry) {
	type act struct {
		plan, step string
		pid        int
	}
	open := map[act][]Entry{}
	var order []act
	for _, e := range all {
		a := act{e.Plan, e.Step.ID, e.Who.PID}
		switch {
		case e.Event == "begin":
			if open[a] == nil {
				order = append(order, a)
			}
			open[a] = []Entry{e}
		case e.Event == "note" && open[a] != nil:
			open[a] = append(open[a], e)
		case e.Event == "end":
			delete(open, a)
		}
	}
	for _, a := range order {
		out = append(out, open[a]...)
	}
	return out
}
