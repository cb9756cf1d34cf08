package heal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

func dumpsIn(t *testing.T, path string) *dumpDir {
	t.Helper()
	d, err := openDumps(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d
}

// A directory that somebody else could change takes no dump.
func TestOpenDumps(t *testing.T) {
	hosttest.NeedsRoot(t)
	for _, tt := range []struct {
		name string
		make func(path string) error
		want string // part of the error, "" for none
	}{
		{name: "none yet", make: func(string) error { return nil }},
		{name: "there", make: func(path string) error { return os.Mkdir(path, 0o750) }},
		{name: "a link", make: func(path string) error { return os.Symlink(t.TempDir(), path) }, want: "not a directory"},
		{name: "a file", make: func(path string) error { return os.WriteFile(path, nil, 0o600) }, want: "not a directory"},
		{name: "others may write", make: func(path string) error { return errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, 0o777)) }, want: "others may write it"},
		{name: "another's", make: func(path string) error { return errors.Join(os.Mkdir(path, 0o700), os.Chown(path, 1000, 1000)) }, want: "it belongs to uid 1000"},
		{name: "below nothing", make: func(path string) error { return os.Remove(filepath.Dir(path)) }, want: "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "j.dumps")
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			d, err := openDumps(path)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer d.close()
			if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o027 != 0 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
		})
	}
}

// The oldest dumps go where there would be too many, and nothing else does.
func TestRoom(t *testing.T) {
	d := dumpsIn(t, filepath.Join(t.TempDir(), "j.dumps"))
	strangers := []string{"notes.txt", "20260101T000000.000Z-dockerd-1.txt.gz", "2026-dockerd-1.txt"}
	for _, name := range strangers {
		os.WriteFile(filepath.Join(d.path, name), nil, 0o600)
	}
	for i := range maxDumps + 8 {
		os.WriteFile(filepath.Join(d.path, fmt.Sprintf("202601%02dT000000.000Z-dockerd-%d.txt", i%28+1, i)), nil, 0o600)
	}
	for range 2 { // the second time nothing has to go
		if err := d.room(3); err != nil {
			t.Fatal(err)
		}
		left, _ := filepath.Glob(d.path + "/*-dockerd-*.txt")
		if len(left) != maxDumps-3+1 || strings.Contains(left[1], "20260101") { // with the stranger of a like name
			t.Errorf("%d are left: %q", len(left), left)
		}
	}
	for _, name := range strangers {
		if _, err := os.Stat(filepath.Join(d.path, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestKeep(t *testing.T) {
	d := dumpsIn(t, filepath.Join(t.TempDir(), "j.dumps"))
	broken := io.MultiReader(strings.NewReader("goroutine 1"), iotestErr{})
	for _, tt := range []struct {
		name string
		in   io.Reader
		size int64
		why  string
	}{
		{"whole", strings.NewReader("goroutine 1 [running]:\n"), 23, ""},
		{"just as large", bytes.NewReader(make([]byte, maxDump)), maxDump, ""},
		{"too large", bytes.NewReader(make([]byte, maxDump+1)), maxDump, "cut: it has more than 8 MiB"},
		{"cannot be read to its end", broken, -1, "it stalled"},
		{"../out", strings.NewReader("x"), -1, "escapes"},
		{"whole", strings.NewReader("x"), -1, "file exists"}, // once more
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, why := d.keep(tt.name, tt.in)
			if (why == "") != (tt.why == "") || !strings.Contains(why, tt.why) {
				t.Errorf("why %q, want %q", why, tt.why)
			}
			if (file == "") != (tt.size < 0) {
				t.Errorf("file %q", file)
			}
			info, err := os.Stat(filepath.Join(d.path, tt.name))
			switch {
			case tt.size < 0 && err == nil && tt.why != "file exists":
				t.Error("it is there")
			case tt.size >= 0 && (err != nil || info.Size() != tt.size || info.Mode() != 0o600 || file != filepath.Join(d.path, tt.name)):
				t.Errorf("%v, %v, %q", info, err, file)
			}
		})
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errors.New("it stalled") }

// Where a disk is full nobody is asked, and what does not fit leaves nothing behind.
func TestDumpsFullDisk(t *testing.T) {
	hosttest.NeedsRoot(t)
	at := t.TempDir()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // it ends with this goroutine
		done <- func() error {
			if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("none", at, "tmpfs", 0, "size=1m")); err != nil {
				return err
			}
			d, err := openDumps(at + "/j.dumps")
			if err != nil {
				return err
			}
			defer d.close()
			if err := d.room(1); err == nil || !strings.Contains(err.Error(), "has 1 MiB free, and dumps leave 64 MiB") && !strings.Contains(err.Error(), "has 0 MiB free") {
				t.Error(err)
			}
			if file, why := d.keep("x", bytes.NewReader(make([]byte, 2<<20))); file != "" || !strings.Contains(why, "no space left") {
				t.Errorf("%q: %q", file, why)
			}
			if file, why := d.keep("y", bytes.NewReader(make([]byte, 900<<10))); file == "" || why != "" {
				t.Errorf("the blocks are not free again: %q: %q", file, why)
			}
			return nil
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
