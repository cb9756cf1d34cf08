package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

func TestRefusals(t *testing.T) {
	hosttest.NeedsRoot(t)
	ctx := context.Background()
	for _, tt := range []struct {
		name, fault, wantErr, wantHint string
		o                              Options
	}{
		{name: "unknown", fault: "zombie", wantErr: `no fault is named "zombie"`, wantHint: "one of: zombies, stuck-reader"},
		{name: "too short", fault: "zombies", o: Options{For: time.Millisecond}, wantErr: "cannot be up for 1ms", wantHint: "from 1s to 24h0m0s"},
		{name: "too long", fault: "zombies", o: Options{For: 25 * time.Hour}, wantErr: "cannot be up for 25h", wantHint: "from 1s to 24h0m0s"},
		{name: "negative", fault: "zombies", o: Options{For: -1}, wantErr: "cannot be up for -1ns"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.StateDir = filepath.Join(t.TempDir(), "lab")
			_, err := Up(ctx, tt.fault, tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) || !strings.Contains(hintOf(err), tt.wantHint) {
				t.Errorf("got %v (try: %s)", err, hintOf(err))
			}
		})
	}
	if _, err := Down(ctx, []string{"zombie"}, Options{}); err == nil || hintOf(err) == "" {
		t.Errorf("down of an unknown fault: %v", err)
	}
	t.Run("no sleep", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := Up(ctx, "zombies", Options{StateDir: filepath.Join(t.TempDir(), "lab")})
		if err == nil || hintOf(err) != "install coreutils or busybox" {
			t.Errorf("got %v (try: %s)", err, hintOf(err))
		}
	})
	t.Run("not root", func(t *testing.T) {
		up := upProcess(zombies, Options{For: time.Minute, StateDir: "/nowhere"})
		up.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := up.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "needs root") || !strings.Contains(string(out), "try: run it with sudo") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("ended by the caller", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		o := options(t, zombies)
		if _, err := Up(ctx, "zombies", o); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if left, _ := os.ReadDir(o.StateDir); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// A role that is told the wrong thing or is played by hand makes no fault.
func TestActorRefuses(t *testing.T) {
	for _, args := range [][]string{nil, {"zombies-init"}, {"nobody", "1"}, {"zombies-init", "soon"}} {
		if code := Actor(args); code != 2 {
			t.Errorf("Actor(%q) = %d", args, code)
		}
	}
	hosttest.NeedsRoot(t)
	here, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	for role, args := range map[string][]string{
		"zombies-init": {"/bin/sleep"}, "stuck-init": {t.TempDir(), here}, "zombies-feeder": {fmt.Sprint(os.Getpid()), "1"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		p, err := launch(ctx, "test", role, time.Now().Add(20*time.Second), nil, args...)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.order(), p.heard(ctx, "ready")); err == nil ||
			!strings.Contains(err.Error(), "not the first process") && !errors.Is(err, errGone) && !strings.Contains(err.Error(), "gone") {
			t.Errorf("%s on the host: %v", role, err)
		}
		if err := p.kill(); err != nil {
			t.Error(err)
		}
		cancel()
	}
	if err := leaveSharing(here); err == nil || !strings.Contains(err.Error(), "not in a mount namespace of its own") {
		t.Errorf("leaveSharing in the machine's own mount namespace: %v", err)
	}
	nothingLeft(t)
}
