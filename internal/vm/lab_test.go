//go:build vm

package vm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A run is one run of sexton.
type run struct {
	args           []string
	code           int
	stdout, stderr string
}

func (r run) String() string {
	return fmt.Sprintf("sexton %s: exit %d\n%s%s", strings.Join(r.args, " "), r.code, r.stdout, r.stderr)
}

func sexton(t *testing.T, args ...string) run {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "/bin/sexton", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("sexton %s: %v, %v", args, err, ctx.Err())
	}
	return run{args, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// exits fails the test unless the run ended with this code, and decodes what it printed.
func (r run) exits(t *testing.T, code int, into any) {
	t.Helper()
	if r.code != code {
		t.Fatalf("want exit %d: %s", code, r)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
			t.Fatalf("%v: %s", err, r)
		}
	}
}

// up makes a fault and takes it down at the test's end.
func up(t *testing.T, fault string) {
	t.Helper()
	t.Cleanup(func() { sexton(t, "lab", "down", fault).exits(t, 0, nil) })
	sexton(t, "lab", "up", fault).exits(t, 0, nil)
}

// idOf is the id of a fault's made-up container.
func idOf(fault, container string) string {
	sum := sha256.Sum256([]byte("sexton-lab " + fault + " " + container))
	return hex.EncodeToString(sum[:])
}

// layer is its directory.
func layer(fault, container string) string {
	return "/var/lib/docker/overlay2/" + idOf(fault, container) + "/merged"
}

// looked is how the mounts were read.
type looked struct{ Way, Blind string }

// says fails the test unless it has what this kernel cannot show: from Linux 6.12 nothing.
func (l looked) says(t *testing.T) {
	t.Helper()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(release), "6.1.") {
		if l.Way != "statmount" || l.Blind != "" {
			t.Errorf("%+v", l)
		}
		return
	}
	for _, what := range []string{"descriptor in flight", "covered at the root"} {
		if l.Way != "mountinfo" || !strings.Contains(l.Blind, what) {
			t.Errorf("%q is not said to be out of sight: %+v", what, l)
		}
	}
}

type holders struct {
	Holders []struct {
		Kind, Comm, Path string
		PID, FD          int
	}
	Looked looked
}

// Who keeps a layer is named as the lab made it.
func TestHolders(t *testing.T) {
	for _, tt := range []struct {
		fault string
		want  []string
	}{
		{"mount-private-root", []string{"process sexton-lab:unit " + layer("mount-private-root", "first")}},
		{"mount-shared-root", nil},
		{"mount-private-tmp", []string{"process sexton-lab:unit " + layer("mount-private-tmp", "first")}},
		{"mount-hostpath", []string{"process sexton-lab:unit /host" + layer("mount-hostpath", "first")}},
		{"mount-thread", []string{"thread sexton-lab:unit " + layer("mount-thread", "first")}},
		{"mount-nsfs", []string{"bind sexton-lab:init /run/sexton-lab/mnt"}},
		{"mount-nsfd", []string{"fd sexton-lab:unit " + layer("mount-nsfd", "first")}},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			up(t, tt.fault)
			var got holders
			code := 3
			if len(tt.want) == 0 {
				code = 0
			}
			r := sexton(t, "holders", layer(tt.fault, "first"), "-o", "json")
			r.exits(t, code, &got)
			var held []string
			for _, h := range got.Holders {
				held = append(held, fmt.Sprintf("%s %s %s", h.Kind, h.Comm, h.Path))
			}
			if !slices.Equal(held, tt.want) {
				t.Errorf("got %q, want %q: %s", held, tt.want, r)
			}
			got.Looked.says(t)
		})
	}
}

// Two file systems that no table shows, one unmounted under an open file and
// one copied, are found by their device.
func TestDetached(t *testing.T) {
	const fault = "mount-detached"
	up(t, fault)
	files, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		parts := strings.Split(file, "/") // "", proc, pid, fd, number
		comm, _ := os.ReadFile("/proc/" + parts[2] + "/comm")
		link, _ := os.Readlink(file)
		if string(comm) != "sexton-lab:unit\n" || link != "/held" && link != "/" {
			continue
		}
		found++
		var stat unix.Stat_t
		if err := unix.Stat(file, &stat); err != nil {
			t.Fatal(err)
		}
		var got holders
		r := sexton(t, "holders", fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev)), "-o", "json")
		r.exits(t, 3, &got)
		h := got.Holders
		if len(h) != 1 || h[0].Kind != "fd" || fmt.Sprint(h[0].PID, h[0].FD) != parts[2]+" "+parts[4] {
			t.Errorf("want %s, %q: %s", file, link, r)
		}
		got.Looked.says(t)
	}
	if found != 2 {
		t.Errorf("%d files of the fault, want 2", found)
	}
}

// What an unmount would do is told by the tables of both namespaces.
func TestPropagation(t *testing.T) {
	for _, tt := range []struct{ fault, want, not string }{
		{"mount-private-root", "stays in mnt:[", "goes"},
		{"mount-shared-root", "goes in mnt:[", "stays"},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			up(t, tt.fault)
			r := sexton(t, "propagation", layer(tt.fault, "second"))
			r.exits(t, 0, nil)
			_, verdicts, _ := strings.Cut(strings.Join(strings.Fields(r.stdout), " "), "an unmount in ")
			init, _, _ := strings.Cut(verdicts, "an unmount in ")
			if !strings.Contains(init, tt.want) || strings.Contains(init, tt.not) || !strings.Contains(init, "sexton-lab:unit") {
				t.Errorf("an unmount by the first process: want %q: %s", tt.want, r)
			}
		})
	}
}

type report struct {
	Looked struct {
		Mounts looked
	}

	Findings []struct {
		Check   string
		Subject struct{ Path, Name string }
		Holders []struct{ Kind, Comm string }
	}
}

// A scan finds dead children, and a leaked mount.
func TestScan(t *testing.T) {
	up(t, "zombies")
	up(t, "mount-private-root")
	var got report
	r := sexton(t, "scan", "-o", "json")
	r.exits(t, 3, &got)
	got.Looked.Mounts.says(t)
	for _, check := range []string{"unreaped-children", "leaked-mount"} {
		found := false
		for _, f := range got.Findings {
			found = found || f.Check == check
		}
		if !found {
			t.Errorf("no finding of %s: %s", check, r)
		}
	}
}
