package sockdiag

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// message as the kernel writes it.
func made(kind uint16, body ...byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(headerSize+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, make([]byte, 10)...)
	b = append(b, body...)
	return append(b, make([]byte, align(int64(len(b)))-int64(len(b)))...)
}

func socket(state byte, attrs ...byte) []byte {
	return append([]byte{familyUnix, 1, state, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, attrs...)
}

func TestParse(t *testing.T) {
	named := []byte{6, 0, attrName, 0, '/', 'a', 0, 0}
	queue := []byte{12, 0, attrQueue, 0, 11, 0, 0, 0, 128, 0, 0, 0}
	for _, tt := range []struct {
		name    string
		in      []byte
		want    []Listener
		last    bool
		wantErr string // "" for none
	}{
		{name: "nothing"},
		{name: "one, more to come", in: made(byFamily, socket(stateListen, append(named, queue...)...)...), want: []Listener{{7, "/a", 11, 128}}},
		{name: "the end", in: made(messageDone, 0, 0, 0, 0), last: true},
		{name: "not a listener", in: made(byFamily, socket(1, named...)...)},
		{name: "abstract", in: made(byFamily, socket(stateListen, 6, 0, attrName, 0, 0, 'x', 0, 0)...), want: []Listener{{Inode: 7, Name: "@x"}}},
		{name: "no name", in: made(byFamily, socket(stateListen)...), want: []Listener{{Inode: 7}}},
		{name: "refused", in: made(messageError, 0xfe, 0xff, 0xff, 0xff), last: true, wantErr: "no such file"},
		{name: "cut in the header", in: []byte{1, 2, 3}, last: true, wantErr: "header of 3 bytes"},
		{name: "longer than it is", in: append(binary.NativeEndian.AppendUint32(nil, 1<<31), make([]byte, 12)...), last: true, wantErr: "message of"},
		{name: "shorter than its header", in: make([]byte, 16), last: true, wantErr: "message of 0 bytes"},
		{name: "half a socket", in: made(byFamily, 1, 1), last: true, wantErr: "socket of 2 bytes"},
		{name: "attribute without end", in: made(byFamily, socket(stateListen, 0xff, 0xff, 0, 0)...), last: true, wantErr: "attribute of"},
		{name: "attribute of no size", in: made(byFamily, socket(stateListen, 0, 0, 0, 0)...), last: true, wantErr: "attribute of 0"},
		{name: "short queue", in: made(byFamily, socket(stateListen, 8, 0, attrQueue, 0, 1, 0, 0, 0)...), want: []Listener{{Inode: 7}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, last, err := Parse(tt.in)
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Fatalf("error %v, want %q", err, tt.wantErr)
			}
			if last != tt.last || len(got) != len(tt.want) {
				t.Fatalf("%+v, last %v", got, last)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("%+v, want %+v", got[i], tt.want[i])
				}
			}
		})
	}
}

func TestLoaded(t *testing.T) {
	if !Loaded([]byte("af_diag 1\nunix_diag 16384 0 - Live 0x0\n")) || Loaded([]byte("x unix_diag \n")) || !BuiltIn([]byte("kernel/net/unix/unix_diag.ko\n")) {
		t.Error("which modules there are is read wrongly")
	}
}

// The kernel counts what nobody accepts.
func TestListenersForReal(t *testing.T) {
	if _, err := os.Stat("/proc/modules"); !errors.Is(err, os.ErrNotExist) {
		text, err := os.ReadFile("/proc/modules")
		hosttest.Needs(t, "unix_diag", err == nil && Loaded(text), "modprobe unix_diag")
	}
	dir, err := os.MkdirTemp("", "sexton")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	at := &unix.SockaddrUnix{Name: filepath.Join(dir, "s")}
	open := func() int {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	fd := open()
	if err := errors.Join(unix.Bind(fd, at), unix.Listen(fd, 9)); err != nil {
		t.Fatal(err)
	}
	for want := range uint32(4) {
		all, err := Listeners()
		if errors.Is(err, unix.ENOENT) {
			hosttest.Needs(t, "unix_diag", false, "a kernel with CONFIG_UNIX_DIAG")
		}
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, l := range all {
			if l.Name == at.Name {
				found++
				if l.Pending != want || l.Backlog != 9 {
					t.Errorf("%+v, want %d pending", l, want)
				}
			}
		}
		if found != 1 {
			t.Fatalf("found %d times in %d", found, len(all))
		}
		if err := unix.Connect(open(), at); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(made(byFamily, socket(stateListen, 6, 0, attrName, 0, '/', 'a', 0, 0)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if found, _, _ := Parse(b); len(found)*unixSize > len(b) {
			t.Errorf("%d sockets in %d bytes", len(found), len(b))
		}
	})
}
