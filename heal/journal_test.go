package heal

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/check"
	"sexton.dev/internal/hosttest"
	"sexton.dev/plan"
	"sexton.dev/snapshot"
)

func openJournal(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// notWritten reports whether an error is that a journal cannot be written.
func notWritten(err error) bool {
	var e *journalError
	return errors.As(err, &e)
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "journal.jsonl")
	j := openJournal(t, path)
	p := plan.Plan{ID: "p", BootID: "b"}
	one, two := plan.Step{ID: "1", Action: "thaw", Does: "thaw \x1b[2J"}, plan.Step{ID: "2", Action: "thaw"}
	err := errors.Join(j.begin(p, one, []check.Evidence{{Source: "s", Text: "t"}}), j.append(p, Entry{Event: "note", Step: one, Note: []byte(`{"a":1}`)}),
		j.begin(p, two, nil), j.end(p, two))
	if err != nil {
		t.Fatal(err)
	}
	all, err := ReadJournal(path)
	if err != nil || len(all) != 4 || all[0].BootID != "b" || all[0].Who.PID != os.Getpid() || all[0].Step.Does != one.Does || all[0].Time.IsZero() {
		t.Fatalf("%v: %+v", err, all)
	}
	open := Unfinished(all)
	if len(open) != 2 || open[0].Event != "begin" || open[1].Event != "note" || open[1].Step.ID != "1" {
		t.Errorf("unfinished: %+v", open)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// A line that a crash cut short spoils neither those before it nor those after.
func TestJournalCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j := openJournal(t, path)
	p := plan.Plan{ID: "p"}
	if err := j.begin(p, plan.Step{ID: "1"}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"event":"end","step":{"id":"1`)
	f.Close()
	if err := openJournal(t, path).begin(p, plan.Step{ID: "2"}, nil); err != nil {
		t.Fatal(err)
	}
	all, err := ReadJournal(path)
	if len(all) != 2 || all[1].Step.ID != "2" || err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("%v: %+v", err, all)
	}
}

// What a full disk took of a line spoils no later one, and a line that is too long to be
// read again is not written.
func TestJournalLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j := openJournal(t, path)
	p := plan.Plan{ID: "p"}
	if _, err := j.file.WriteString(`{"event":"begin","step":{"id":"1`); err != nil {
		t.Fatal(err)
	}
	if err := j.end(p, plan.Step{ID: "2"}); err != nil {
		t.Fatal(err)
	}
	if err := j.begin(p, plan.Step{ID: "3", Does: strings.Repeat("x", maxLine)}, nil); !notWritten(err) {
		t.Errorf("a line of over %d bytes: %v", maxLine, err)
	}
	all, err := ReadJournal(path)
	if damaged := (*Damaged)(nil); len(all) != 1 || all[0].Step.ID != "2" || !errors.As(err, &damaged) || damaged.First != 1 {
		t.Errorf("%v: %+v", err, all)
	}
}

// Of thousands of children that are reaped in one act each note would tell again.
func TestJournalNotes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j := openJournal(t, path)
	s := plan.Step{ID: "1", Target: check.Target{PID: 7, Children: make([]snapshot.ID, 5000)}}
	out, err := j.converse(plan.Plan{}, order{Step: s}, io.Discard, strings.NewReader(`{"note":[1]}{"note":[2]}{"outcome":{"status":"failed"}}`))
	if err != nil || out.Status != plan.Failed {
		t.Fatal(out, err)
	}
	all, err := ReadJournal(path)
	if err != nil || len(all) != 2 || string(all[1].Note) != "[2]" || all[1].Step.ID != "1" || all[1].Step.Target.PID != 7 || len(all[0].Step.Target.Children) != 0 {
		t.Errorf("%v: %+v", err, all)
	}
}

// What cannot be written down is said, with a way out. Full and read-only disks
// are in the tests from end to end.
func TestJournalNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j := openJournal(t, path)
	j.Close()
	err := j.begin(plan.Plan{}, plan.Step{}, nil)
	var hint interface{ Hint() string }
	if !notWritten(err) || !strings.Contains(err.Error(), path) || !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "--journal PATH") {
		t.Errorf("got %v", err)
	}
	if _, err := OpenJournal(filepath.Join(path, "below")); !notWritten(err) {
		t.Errorf("below a file: %v", err)
	}
}

// What is no journal of the caller's is not written, what is no file is not even read,
// and none of it is waited for.
func TestJournalNotTrusted(t *testing.T) {
	write := func(mode os.FileMode, uid int) func(string) error {
		return func(path string) error {
			return errors.Join(os.WriteFile(path, []byte("{\"event\":\"begin\"}\n"), 0o600), os.Chmod(path, mode), os.Chown(path, uid, -1))
		}
	}
	for _, tt := range []struct {
		name  string
		make  func(path string) error
		says  string
		reads string // "" if it can be read all the same
	}{
		{"a link", func(path string) error { return errors.Join(write(0o600, -1)(path+"-"), os.Symlink(path+"-", path)) }, "it is a symbolic link", "it is a symbolic link"},
		{"a link to nothing", func(path string) error { return os.Symlink(path+"-", path) }, "it is a symbolic link", "it is a symbolic link"},
		{"a pipe", func(path string) error { return unix.Mkfifo(path, 0o600) }, "it is no regular file", "it is no regular file"},
		{"a device", func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) }, "it is no regular file", "it is no regular file"},
		{"a directory", func(path string) error { return os.Mkdir(path, 0o700) }, "it is no regular file", "it is no regular file"},
		{"a socket", func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) }, "it is no regular file", "it is no regular file"},
		{"for its group to write", write(0o660, -1), "others may write it (mode -rw-rw----): chmod go-w", ""},
		{"for all to write", write(0o602, -1), "others may write it", ""},
		{"somebody's", write(0o600, 65534), "it belongs to uid 65534, and must be root's or yours", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hosttest.NeedsRoot(t)
			path := filepath.Join(t.TempDir(), "j")
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			if j, err := OpenJournal(path); !notWritten(err) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("opened: %v, %v", j, err)
			}
			all, err := ReadJournal(path)
			if tt.reads == "" && (err != nil || len(all) != 1) || tt.reads != "" && (err == nil || !strings.Contains(err.Error(), tt.reads)) {
				t.Errorf("read: %v, %v", all, err)
			}
		})
	}
	if all, err := ReadJournal(filepath.Join(t.TempDir(), "none")); err != nil || all != nil {
		t.Errorf("none: %v, %v", all, err)
	}
}

// Before an act its line, and what it notes, is on the disk, and after it how it ended.
func TestJournalSyncs(t *testing.T) {
	real := syncFile
	t.Cleanup(func() { syncFile = real })
	j := openJournal(t, filepath.Join(t.TempDir(), "journal"))
	synced := 0
	syncFile = func(f *os.File) error { synced++; return real(f) }
	note := Entry{Event: "note"}
	for i, line := range []struct {
		write func() error
		syncs int
	}{
		{func() error { return j.begin(plan.Plan{}, plan.Step{}, nil) }, 1},
		{func() error { return j.append(plan.Plan{}, note) }, 2},
		{func() error { return j.end(plan.Plan{}, plan.Step{}) }, 3},
	} {
		if err := line.write(); err != nil || synced != line.syncs {
			t.Errorf("line %d: %v, synced %d times, want %d", i, err, synced, line.syncs)
		}
	}
	syncFile = func(*os.File) error { return errors.New("no disk") }
	if err := j.begin(plan.Plan{}, plan.Step{}, nil); !notWritten(err) {
		t.Errorf("%v", err)
	}
	if err := j.end(plan.Plan{}, plan.Step{}); !notWritten(err) {
		t.Errorf("how it ended is not on the disk, and that is not said: %v", err)
	}
}

// The name of a new journal, and of each directory made for it, is on the disk before
// anything is done.
func TestJournalOutlastsCrash(t *testing.T) {
	real := syncDirectory
	t.Cleanup(func() { syncDirectory = real })
	var synced []string
	syncDirectory = func(dir string) error { synced = append(synced, dir); return real(dir) }
	top := t.TempDir()
	path := filepath.Join(top, "a/b/journal")
	openJournal(t, path)
	if want := []string{top, top + "/a", top + "/a/b"}; !slices.Equal(synced, want) {
		t.Errorf("%q, want %q", synced, want)
	}
	synced = nil
	openJournal(t, path)
	if synced != nil {
		t.Errorf("again: %q", synced)
	}
	syncDirectory = func(string) error { return errors.New("no disk") }
	if _, err := OpenJournal(filepath.Join(top, "other")); !notWritten(err) || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("%v", err)
	}
}

func FuzzReadJournal(f *testing.F) {
	f.Add([]byte("{\"event\":\"begin\",\"step\":{\"id\":\"1\"}}\n{\"event\":\"end\"}\nx\n"))
	f.Add([]byte("\x00\xff\n\n{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, _ := parseJournal(bytes.NewReader(text))
		if n := bytes.Count(text, []byte("\n")) + 1; len(all) > n || len(Unfinished(all)) > len(all) {
			t.Errorf("%d entries of %d lines", len(all), n)
		}
	})
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "heal.lock")
	release, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lock(path)
	var held *Held
	if !errors.As(err, &held) || !strings.Contains(held.By, "uid ") {
		t.Fatalf("a second healer: %v", err)
	}
	release()
	again, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
