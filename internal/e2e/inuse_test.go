package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A directory of a process in another mount namespace refuses the unmount here:
// propagation says so and names it, and the kernel does it. It is found by the path
// that leads there through a link, too.
func TestUnmountInUseElsewhere(t *testing.T) {
	sandboxed(t)
	var w world
	dir := t.TempDir()
	for _, step := range []struct {
		source, at, kind string
		flags            uintptr
	}{{"base", dir, "tmpfs", 0}, {"", dir, "", unix.MS_PRIVATE}, {"", dir, "", unix.MS_SHARED}} {
		if err := unix.Mount(step.source, step.at, step.kind, step.flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	at, link := filepath.Join(dir, "volume"), filepath.Join(t.TempDir(), "link")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("volume", at, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	unit := unitIn(t, "slave", "cd "+at)
	who := fmt.Sprintf("is in use by sleep (pid %d) (cwd)", unit)

	type answer struct {
		Verdicts []struct{ Verdict, Why string }
		Refused  []struct{ Errno, Why string }
	}
	here := strconv.Itoa(os.Getpid())
	ask := func(args ...string) (a answer) {
		t.Helper()
		r := w.sexton(t, append([]string{"propagation", link + "/volume", "--in", here, "-o", "json"}, args...)...).exits(t, clean)
		if err := json.Unmarshal([]byte(r.stdout), &a); err != nil || len(a.Verdicts) != 1 {
			t.Fatalf("%v: %s", err, r)
		}
		return a
	}
	if a := ask(); a.Verdicts[0].Verdict != "stays" || len(a.Refused) != 1 || a.Refused[0].Errno != "EBUSY" || !strings.Contains(a.Refused[0].Why, who) {
		t.Errorf("%+v, want EBUSY since it %s", a, who)
	}
	if err := unix.Unmount(at, 0); err != unix.EBUSY {
		t.Errorf("the kernel says %v", err)
	}
	if a := ask("--detach"); a.Verdicts[0].Verdict != "goes" || len(a.Refused) != 0 {
		t.Errorf("lazily: %+v", a)
	}
	if h, code := holders(t, w, link+"/volume"); code != findings || len(h.Holders) < 3 {
		t.Errorf("holders by the link: exit code %d, %+v", code, h.Holders)
	}
	text := w.sexton(t, "propagation", at, "--in", here).exits(t, clean).stdout
	if !strings.Contains(strings.Join(strings.Fields(text), " "), who) {
		t.Errorf("not told that it %s:\n%s", who, text)
	}
	if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
		t.Errorf("lazily the kernel says %v", err)
	}
}
