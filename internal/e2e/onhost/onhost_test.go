// Package onhost runs the sexton binary where the tests are run, as an
// administrator does: in the machine's first PID namespace, if they are, from which
// alone the kernel leads to every mount namespace. What it looks at is planted in
// namespaces that end with the test; it asks for those devices alone.
package onhost

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts/mountstest"
)

func TestMain(m *testing.M) { mountstest.Main(m) }

type holder struct {
	Kind                             string
	PID, TID, FD                     int
	Path                             string
	MountNamespace, MountNamespaceID uint64
}

// sexton builds the program.
func sexton(t *testing.T) string {
	t.Helper()
	_, err := exec.LookPath("go")
	hosttest.Needs(t, "go", err == nil, "put the go command into PATH")
	file := filepath.Join(t.TempDir(), "sexton")
	for _, dir := range []string{filepath.Dir(file), filepath.Dir(filepath.Dir(file))} {
		if err := os.Chmod(dir, 0o755); err != nil { // another user runs it too
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", file, "sexton.dev/cmd/sexton")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// holders runs sexton holders on one device.
func holders(t *testing.T, program string, p mountstest.Plant) ([]holder, int) {
	t.Helper()
	return holdersOf(t, program, fmt.Sprintf("%d:%d", p.Major, p.Minor))
}

func holdersOf(t *testing.T, program string, words ...string) ([]holder, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, append([]string{"holders", "-o", "json"}, words...)...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	var r struct{ Holders []holder }
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s%s", err, out.Bytes(), said.Bytes())
	}
	return r.Holders, cmd.ProcessState.ExitCode()
}

// Each way to keep a mount is named, with the right namespace, on a small host, and on one on
// which programs in the kernel are worth their start. All holders live
// in a PID namespace of their own.
func TestHolders(t *testing.T) {
	hosttest.NeedsRoot(t)
	program := sexton(t)
	t.Run("small", func(t *testing.T) { eachHolder(t, program, mountstest.Start(t, 2, 2, 1)) })
	t.Run("large", func(t *testing.T) { eachHolder(t, program, mountstest.Start(t, 60, 30, 5)) })
}

func eachHolder(t *testing.T, program string, h *mountstest.Host) {
	first := hosttest.FirstPIDs(t)
	for kind, want := range map[string]string{
		mountstest.Process:   "process",
		mountstest.Chrooted:  "process",
		mountstest.UserOwned: "process",
		mountstest.Covered:   "process",
		mountstest.Thread:    "thread",
		mountstest.Bind:      "bind",
		mountstest.NamespFD:  "fd",
		mountstest.Flying:    "socket",
		mountstest.OpenTree:  "fd",
		mountstest.Cwd:       "cwd",
		mountstest.File:      "fd",
		mountstest.Mapping:   "mmap",
	} {
		t.Run(kind, func(t *testing.T) {
			p := h.Plant(t, kind)
			got, code := holders(t, program, p)
			if kind == mountstest.Flying && !first { // only the kernel leads to it, and not from here
				if len(got) != 0 || code != 4 {
					t.Errorf("exit %d, %+v, and it cannot be seen", code, got)
				}
				return
			}
			if len(got) != 1 || code != 3 {
				t.Fatalf("exit %d, %+v", code, got)
			}
			g := got[0]
			if g.Kind != want || g.MountNamespace != p.Namespace || g.MountNamespaceID != p.NamespaceID {
				t.Errorf("%+v, want %s of mnt:[%d]", g, want, p.Namespace)
			}
			switch kind {
			case mountstest.Bind:
				if g.Path != p.BoundAt {
					t.Errorf("bound at %q, want %q", g.Path, p.BoundAt)
				}
			case mountstest.Flying: // in a socket of somebody's: nothing says in which
			default:
				if g.PID != p.PID || want == "fd" && g.FD != p.FD || want == "thread" && g.TID != p.TID {
					t.Errorf("%+v, want %+v", g, p)
				}
			}
		})
	}
}

// A detached overlay is known by its layers, which are where another one has its own in the namespace
// of its holder alone: on a host of many processes too.
func TestDetachedOverlay(t *testing.T) {
	hosttest.NeedsRoot(t)
	program := sexton(t)
	mountstest.Start(t, 60, 0, 5)
	const id = "5e110c0de5e110c0de5e110c0de5e110c0de5e110c0de5e110c0de5e110c0de0"
	dir := t.TempDir()
	holds := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-ec", `
		mount -t tmpfs none "$0"
		for layer in used "$1"; do
			at="$0/docker/overlay2/$layer"
			mkdir -p "$at/diff" "$at/work" "$at/merged" && touch "$at/diff/file"
			mount -t overlay -o "lowerdir=$0/docker,upperdir=$at/diff,workdir=$at/work" overlay "$at/merged"
		done
		exec 9<"$at/merged/file" && umount -l "$at/merged" && echo held && read end`, dir, id)
	stdin, err := holds.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := holds.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	holds.Stderr = os.Stderr
	if err := holds.Start(); err != nil {
		t.Fatal(err)
	}
	defer holds.Wait()
	defer stdin.Close() // its sign to end
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "held\n" {
		t.Fatalf("%q, %v", line, err)
	}
	for _, word := range []string{id, dir + "/docker/overlay2/" + id + "/merged"} {
		got, code := holdersOf(t, program, word)
		if len(got) != 1 || code != 3 || got[0].Kind != "fd" || got[0].PID != holds.Process.Pid || got[0].FD != 9 {
			t.Errorf("%s: exit %d, %+v, want descriptor 9 of process %d", word, code, got, holds.Process.Pid)
		}
	}
}

// Where processes or namespaces are hidden, a mount without a holder in sight may
// have one: that is never told as free.
func TestHidden(t *testing.T) {
	hosttest.NeedsRoot(t)
	first := hosttest.FirstPIDs(t) // from there the kernel leads to every mount namespace
	program := sexton(t)
	p := mountstest.Start(t, 0, 0, 1).Plant(t, mountstest.Process)
	device := fmt.Sprintf("%d:%d", p.Major, p.Minor)
	const nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups "
	const hidepid = "mount -t proc -o hidepid=2 proc /proc; exec "
	for _, tt := range []struct {
		name    string
		unshare []string
		script  string // before the program
		unknown string // part of what it says that it cannot see
		held    bool   // it sees the mount, so that it is held, and not by whom
	}{
		{name: "not root", script: "exec " + nobody, unknown: "/proc of other users"},
		{name: "not root, hidepid", unshare: []string{"--mount"}, script: hidepid + nobody, unknown: "/proc of other users"},
		{name: "root without ptrace, hidepid", unshare: []string{"--mount"}, script: hidepid + "setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace ", unknown: "is mounted with hidepid=", held: first},
		{name: "a PID namespace", unshare: []string{"--pid", "--fork", "--mount-proc"}, script: "exec ", unknown: "outside of this PID namespace"},
		{name: "a PID namespace, hidepid, not root", unshare: []string{"--pid", "--fork", "--mount-proc"}, script: hidepid + nobody, unknown: "outside of this PID namespace"},
		{name: "a user namespace", unshare: []string{"--user", "--map-root-user"}, script: "exec ", unknown: "/proc of other users"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, target := range []string{device, p.Path} {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				args := append(tt.unshare, "--", "sh", "-ec", tt.script+program+" holders "+target)
				if len(tt.unshare) == 0 {
					args = args[1:]
				} else {
					args = append([]string{"unshare"}, args...)
				}
				out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
				code := 0
				if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
					code = exit.ExitCode()
				}
				text := string(out)
				want, answer := 4, "cannot tell whether anything holds it"
				if tt.held {
					want, answer = 3, "something that could not be read, or has no name"
				}
				if code != want || !strings.Contains(text, answer) || !strings.Contains(text, tt.unknown) || strings.Contains(text, "nothing holds it") {
					t.Errorf("%s: %v, exit %d\n%s", target, err, code, text)
				}
			}
		})
	}
}
