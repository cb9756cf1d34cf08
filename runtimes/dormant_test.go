package runtimes

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/internal/hosttest"
)

const unixTable = "Num       RefCount Protocol Flags    Type St Inode Path\n" +
	"0000000000000000: 00000002 00000000 00010000 0001 01   652 /run/docker.sock\n" +
	"0000000000000000: 00000003 00000000 00000000 0001 03 90652 /run/docker.sock\n" + // a connection to it
	"0000000000000000: 00000002 00000000 00010000 0005 01 77777 @/abstract\n" +
	"0000000000000000: 00000003 00000000 00000000 0001 03 88888\n" +
	"0000000000000000: 00000002 00000000 00010000 0001 01 41000 /var/run/podman/podman.sock\n"

func TestDormant(t *testing.T) {
	base := tree{"proc/1/net/unix": unixTable, "proc/1/comm": "systemd\n", "proc/1/fd/40": "-> socket:[652]", "proc/1/fd/41": "-> socket:[41000]",
		"proc/1/fd/0": "-> /dev/null", "proc/self": "-> 1", "proc/uptime": "1", "var/run": "-> /run", "run/docker.sock": "sock", "run/podman/podman.sock": "sock"}
	for _, tt := range []struct {
		name    string
		files   tree // besides
		want    []string
		wantErr error
	}{
		{name: "both", want: []string{"/run/docker.sock", "/run/podman/podman.sock"}},
		{name: "dockerd runs", files: tree{"proc/700/comm": "dockerd\n", "proc/700/fd/3": "-> socket:[652]"}, want: []string{"/run/podman/podman.sock"}},
		{name: "dockerd of another socket", files: tree{"proc/700/comm": "dockerd\n", "proc/700/fd/3": "-> socket:[99]"},
			want: []string{"/run/docker.sock", "/run/podman/podman.sock"}},
		{name: "a client's connection is no daemon", files: tree{"proc/700/comm": "docker\n", "proc/700/fd/3": "-> socket:[90652]"},
			want: []string{"/run/docker.sock", "/run/podman/podman.sock"}},
		{name: "daemons listen on their own", files: tree{"proc/1/fd/40": "-> socket:[1]", "proc/1/fd/41": "-> socket:[2]"}},
		{name: "forged line", files: tree{"proc/1/net/unix": unixTable + "x\n0: 2 0 00010000 0001 01 5 /run/docker.sock\n", "proc/1/fd/9": "-> socket:[5]",
			"proc/700/comm": "dockerd\n", "proc/700/fd/3": "-> socket:[652]"}, want: []string{"/run/podman/podman.sock"}},
		{name: "no sockets listen", files: tree{"proc/1/net/unix": "Num\n"}},
		{name: "process that is half gone", files: tree{"proc/700/comm": "dockerd\n", "proc/701/stat": "x"},
			want: []string{"/run/docker.sock", "/run/podman/podman.sock"}},
		{name: "descriptor that is no number", files: tree{"proc/1/fd/9": "-> socket:[x]"}, wantErr: errors.New("invalid syntax")},
		{name: "no table", files: tree{"proc/1/net/unix": "-> /nowhere"}, wantErr: fs.ErrNotExist},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := tree{}
			for _, from := range []tree{base, tt.files} {
				for name, what := range from {
					files[name] = what
				}
			}
			root := build(t, files)
			found := Sockets(root, func(string) string { return "" })
			if len(found) != 2 {
				t.Fatalf("sockets %+v", found)
			}
			dormant, err := Dormant(root, found)
			if (err == nil) != (tt.wantErr == nil) || err != nil && !errors.Is(err, tt.wantErr) && !strings.Contains(err.Error(), tt.wantErr.Error()) {
				t.Errorf("error %v, want %v", err, tt.wantErr)
			}
			var got []string
			for _, s := range found {
				if dormant[s.Path] {
					got = append(got, strings.TrimPrefix(s.Path, root))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || len(dormant) != len(tt.want) {
				t.Errorf("%v (-want +got):\n%s", dormant, diff)
			}
		})
	}
}

// holder is the name under which this test binary, started anew, keeps what it
// inherited open until its standard input ends.
const holder = "SEXTON_TEST_HOLDER"

// The kernel's own tables say the same of real processes.
func TestDormantLive(t *testing.T) {
	if name := os.Getenv(holder); name != "" {
		if err := os.WriteFile("/proc/self/comm", []byte(name), 0); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, os.Stdin)
		return
	}
	hosttest.NeedsRoot(t)
	dir, err := os.MkdirTemp("", "sexton")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	here := []Socket{{Kind: Docker, Path: l.Addr().String()}}
	dormant := func() bool {
		found, err := Dormant("/", here)
		if err != nil {
			t.Fatal(err)
		}
		return found[here[0].Path]
	}
	if dormant() {
		t.Error("dormant with a listener of another name")
	}
	hold(t, l, "systemd")
	hosttest.Until(t, 10*time.Second, "systemd alone counts: dormant", dormant)
	hold(t, l, "dockerd")
	hosttest.Until(t, 10*time.Second, "dockerd has it too: not dormant", func() bool { return !dormant() })
}

// hold starts a process of the name given that has the listener open until the
// test ends.
func hold(t *testing.T, l net.Listener, name string) {
	t.Helper()
	f, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestDormantLive$")
	cmd.Env = append(os.Environ(), holder+"="+name)
	cmd.ExtraFiles = []*os.File{f}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
}

func FuzzParseListener(f *testing.F) {
	for line := range strings.Lines(unixTable) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if _, at, ok := parseListener(line); ok && !strings.HasPrefix(at, "/") {
			t.Errorf("path %q of %q", at, line)
		}
	})
}
