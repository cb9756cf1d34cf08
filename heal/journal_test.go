package heal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sexton.dev/check"
	"sexton.dev/plan"
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

func TestJournalIsNoLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(target, nil, 0o600), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(link); !notWritten(err) {
		t.Errorf("a link was followed: %v", err)
	}
	if all, err := ReadJournal(filepath.Join(dir, "none")); err != nil || all != nil {
		t.Errorf("none: %v, %v", all, err)
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
