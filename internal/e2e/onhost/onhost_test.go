// Package onhost runs the sexton binary in the machine's own PID namespace, as an
// administrator does: only there the kernel leads to every mount namespace. What
// it looks at is planted in namespaces that end with the test; it asks for those
// devices alone.
package onhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "holders", fmt.Sprintf("%d:%d", p.Major, p.Minor), "-o", "json")
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

// Each way to keep a mount is named, with the right namespace. All holders live
// in a PID namespace of their own.
func TestHolders(t *testing.T) {
	hosttest.NeedsRoot(t)
	link, err := os.Readlink("/proc/self/ns/pid")
	hosttest.Needs(t, "first-pid-namespace", err == nil && link == "pid:[4026531836]", "run it outside of a container")
	program := sexton(t)
	h := mountstest.Start(t, 2, 2)
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
