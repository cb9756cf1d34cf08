package door

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"sexton.dev/internal/hosttest"
)

// Whoever asks again gets what is recorded, though the host has moved on.
func TestRecordAskedTwice(t *testing.T) {
	r, path := create(t, Meta{})
	count := 0
	d := r.Look(&fakeDoor{
		read: func(path string) ([]byte, error) { count++; return fmt.Append(nil, path, count), nil },
		dir:  func(string) ([]string, error) { return nil, fmt.Errorf("gone: %w", syscall.ESRCH) },
	})
	for i := range 100 {
		if _, err := d.ReadFile(fmt.Sprintf("/proc/%d/stat", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	d.ReadDir("/proc/1/task")
	for range 3 {
		for _, n := range []int{7, 100, 1} {
			path := fmt.Sprintf("/proc/%d/stat", n)
			want := fmt.Sprint(path, n)
			text, err := d.ReadFile(path)
			if string(text) != want || err != nil {
				t.Errorf("%q, %v; want %q", text, err, want)
			}
			text[0] = 'X' // the caller's own copy
		}
		if _, err := d.ReadDir("/proc/1/task"); !errors.Is(err, syscall.ESRCH) || err.Error() != "readdir /proc/1/task: gone: no such process" {
			t.Error(err)
		}
	}
	if count != 100 {
		t.Errorf("the host was asked %d times", count)
	}
	rec := finish(t, r, path)
	if text, err := rec.Looks()[0].ReadFile("/proc/7/stat"); string(text) != "/proc/7/stat7" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// However many ask for the same, all get one answer, and it is the recorded one.
func TestRecordConcurrent(t *testing.T) {
	r, path := create(t, Meta{})
	var mu sync.Mutex
	count := 0
	live := &fakeDoor{read: func(path string) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		count++
		return fmt.Append(nil, path, count), nil
	}}
	var got [2][8][60]string
	var wg sync.WaitGroup
	for look := range got {
		d := r.Look(live)
		for g := range got[look] {
			wg.Go(func() {
				for i := range got[look][g] {
					text, err := d.ReadFile(fmt.Sprintf("/proc/%d/stat", i))
					if err != nil {
						t.Error(err)
					}
					got[look][g][i] = string(text)
				}
			})
		}
	}
	wg.Wait()
	rec := finish(t, r, path)
	for look, d := range rec.Looks() {
		for g := range got[look] {
			wg.Go(func() {
				for i, live := range got[look][g] {
					if text, err := d.ReadFile(fmt.Sprintf("/proc/%d/stat", i)); string(text) != live || err != nil {
						t.Errorf("look %d file %d: live %q, replayed %q, %v", look, i, live, text, err)
					}
				}
			})
		}
	}
	wg.Wait()
}

// Two that ask at the same moment are told the same, though the host gave them
// two answers.
func TestRecordRace(t *testing.T) {
	r, path := create(t, Meta{})
	var both, done sync.WaitGroup
	both.Add(2)
	answers := make(chan string, 2)
	answers <- "first"
	answers <- "second"
	d := r.Look(&fakeDoor{read: func(string) ([]byte, error) {
		both.Done()
		both.Wait()
		return []byte(<-answers), nil
	}})
	var got [2]string
	for i := range got {
		done.Go(func() {
			text, err := d.ReadFile("/proc/1/stat")
			if err != nil {
				t.Error(err)
			}
			got[i] = string(text)
		})
	}
	done.Wait()
	text, err := finish(t, r, path).Looks()[0].ReadFile("/proc/1/stat")
	if err != nil || got[0] != got[1] || got[0] != string(text) {
		t.Errorf("live %q, replayed %q, %v", got, text, err)
	}
}

// A brokenStore fails after some bytes.
type brokenStore struct {
	*os.File
	room int
}

func (b *brokenStore) Write(p []byte) (int, error) {
	if b.room -= len(p); b.room < 0 {
		return 0, syscall.ENOSPC
	}
	return b.File.Write(p)
}

func TestRecordBroken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRecorder(&brokenStore{file, 200 << 10}, Meta{})
	if err != nil {
		t.Fatal(err)
	}
	d := r.Look(&fakeDoor{read: func(path string) ([]byte, error) { return randomBytes(path, 32<<10), nil }})
	for range 2 { // the second time, what is recorded cannot be read back
		for i := range 40 {
			path := fmt.Sprintf("/proc/%d/stat", i)
			if text, err := d.ReadFile(path); err != nil || !bytes.Equal(text, randomBytes(path, 32<<10)) {
				t.Fatalf("read %d: %v", i, err)
			}
		}
	}
	for range 2 {
		if err := r.Close(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Close: %v", err)
		}
	}
	if text, err := d.ReadFile("/proc/99/stat"); err != nil || len(text) != 32<<10 {
		t.Errorf("after Close: %d bytes, %v", len(text), err)
	}
	if err := r.Abort(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Abort: %v", err)
	}
}

// What could not be read back is not recorded in the first place.
func TestRecordTooLarge(t *testing.T) {
	r, _ := create(t, Meta{})
	r.written = maxBytes - 10<<10
	d := r.Look(&fakeDoor{read: func(string) ([]byte, error) { return make([]byte, 20<<10), nil }})
	if text, err := d.ReadFile("/proc/1/stat"); len(text) != 20<<10 || err != nil {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if err := r.Close(); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

// tar lists and unpacks a recording without a word on stderr.
func TestRecordWithTar(t *testing.T) {
	program, err := exec.LookPath("tar")
	hosttest.Needs(t, "tar", err == nil, "install tar")
	r, path := create(t, Meta{})
	d := r.Look(&fakeDoor{
		read: func(path string) ([]byte, error) {
			if path == "/proc/2/stat" {
				return nil, &Error{opRead, path, syscall.ESRCH}
			}
			return []byte("text of " + path), nil
		},
		link: func(string) (string, error) { return "/bin/sh", nil },
		dir:  func(string) ([]string, error) { return []string{"1", "self"}, nil },
	})
	d.ReadDir("/proc")
	d.ReadLink("/proc/self")
	for _, path := range []string{"/proc/1/stat", "/proc/2/stat", "/proc/self/stat", "/sys/fs/x"} {
		d.ReadFile(path)
	}
	d.ReadLink("/proc/1/exe")
	d.Ask("docker/a", func() ([]byte, error) { return []byte("{}"), nil })
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	plain, dir := filepath.Join(t.TempDir(), "r.tar"), t.TempDir()
	if err := os.WriteFile(plain, decompress(t, path), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "-xf", plain, "-C", dir).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("tar -xf: %s%v", out, err)
	}
	for name, want := range map[string]string{
		"look-1/proc/1/stat":       "text of /proc/1/stat",
		"look-1/proc/2/stat.error": "no such process\n",
		"look-1/proc/.names":       "1\nself\n",
		"look-1/proc/self/stat":    "text of /proc/self/stat",
		"look-1/ask/docker/a":      "{}",
	} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if link, err := os.Readlink(filepath.Join(dir, "look-1/proc/1/exe")); link != "/bin/sh" {
		t.Errorf("%q, %v", link, err)
	}
	if _, err := OpenRecording(plain); err != nil {
		t.Errorf("decompressed: %v", err)
	}
}
