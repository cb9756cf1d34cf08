package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/internal/hosttest"
)

// Faults of mounts that neither the lab nor a container runtime makes, each in a
// mount namespace of its own, which takes them along when it ends.

// heldBy is a holder as holders prints it, and held is all that it prints of a target.
type heldBy struct {
	Kind                                      string
	PID, TID, FD                              int
	Path                                      string
	MountNamespace, MountNamespaceID, MountID uint64
}

type held struct {
	Target  struct{ Devices []string }
	Mounts  []struct{ Path, Source, Device, Type string }
	Holders []heldBy
	Unknown []struct{ What, Why string }
	run
}

// narrowly fails the test unless a question about one target alone, for which few
// mounts are kept, has the answer of one that asks of a name, too, for which all are.
func narrowly(t *testing.T, w world, target string) {
	t.Helper()
	type answer struct{ Target, Mounts, Holders any }
	ask := func(targets ...string) (a answer) {
		r := w.sexton(t, append([]string{"holders", "-o", "jsonl"}, targets...)...).exits(t, clean, findings, cantTell)
		line, _, _ := strings.Cut(r.stdout, "\n")
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%v: %s", err, r)
		}
		return a
	}
	diff := ""
	for range 3 { // processes that come and go meanwhile are in one of them
		if diff = cmp.Diff(ask(target, "a-name-of-nothing"), ask(target)); diff == "" {
			return
		}
	}
	t.Errorf("%s: of all mounts (-), of few (+)\n%s", target, diff)
}

// whoHolds is askWho, of a host that stands still: a question about few mounts has the
// answer of one about all.
func whoHolds(t *testing.T, w world, target string, flags ...string) held {
	t.Helper()
	if len(flags) == 0 {
		narrowly(t, w, target)
	}
	return askWho(t, w, target, flags...)
}

// askWho runs sexton holders.
func askWho(t *testing.T, w world, target string, flags ...string) held {
	t.Helper()
	r := w.sexton(t, append([]string{"holders", target, "-o", "json"}, flags...)...).exits(t, clean, findings, cantTell)
	h := held{run: r}
	if err := json.Unmarshal([]byte(r.stdout), &h); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	if len(h.Holders) > 0 != (r.code == findings) {
		t.Errorf("%d holders, and exit %d: %s", len(h.Holders), r.code, r)
	}
	return h
}

// names fails the test unless the holders are these, but for what want leaves
// open: a mount's id, and the id of its namespace.
func (h held) names(t *testing.T, want ...heldBy) {
	t.Helper()
	got := slices.Clone(h.Holders)
	for i := range got {
		if got[i].MountNamespace != 0 && got[i].MountNamespaceID == 0 {
			t.Errorf("no id of its namespace: %+v", got[i])
		}
		got[i].MountID, got[i].MountNamespaceID = 0, 0
	}
	if !slices.Equal(got, want) {
		t.Errorf("held by\n %+v, want\n %+v\n%s", got, want, h.run)
	}
}

// spaceOf is the inode of a process's mount namespace.
func spaceOf(t *testing.T, pid int) uint64 {
	t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(strings.Trim(link, "mnt:[]"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// shellIn runs a script in a process's mount namespace and returns what it prints.
func shellIn(t *testing.T, pid int, script string) string {
	t.Helper()
	out, err := exec.Command("nsenter", "-t", strconv.Itoa(pid), "-m", "sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// waitNumber waits for a file with a number.
func waitNumber(t *testing.T, file string) (n int) {
	t.Helper()
	hosttest.Until(t, soon, file, func() bool {
		text, err := os.ReadFile(file)
		if err == nil {
			n, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil
	})
	return n
}

// What stands on files of a mount keeps it and is in no process: a loop device's
// backing file, a swap file, and the layers of an overlay, whose own device is another.
func TestHeldByWhatStandsOnIt(t *testing.T) {
	sandboxed(t)
	for _, name := range []string{"mkfs.ext4", "losetup", "mkswap", "swapon", "nsenter"} {
		_, err := exec.LookPath(name)
		hosttest.Needs(t, "loop", err == nil, name+" is missing: scripts/install-test-needs.sh")
	}
	dir := t.TempDir()
	unit := unitIn(t, "private", fmt.Sprintf(`set -e; cd %s; mkdir d l o u; mount -t tmpfs held d; mount -t tmpfs upper u; mkdir u/upper u/work
		truncate -s 24M d/disk; mkfs.ext4 -q -F d/disk; mount -o loop d/disk l; mkdir l/lower
		mount -t overlay stands -o lowerdir=$PWD/l/lower,upperdir=$PWD/u/upper,workdir=$PWD/u/work o`, dir))
	space := spaceOf(t, unit)
	deviceOf := func(at string) string { return shellIn(t, unit, "mountpoint -d "+filepath.Join(dir, at)) }
	tmpfs, disk := deviceOf("d"), deviceOf("l")
	var w world
	process := func(at string) heldBy {
		return heldBy{Kind: "process", PID: unit, Path: filepath.Join(dir, at), MountNamespace: space}
	}
	overlay := heldBy{Kind: "overlay", Path: filepath.Join(dir, "o"), MountNamespace: space}

	whoHolds(t, w, tmpfs).names(t, process("d"), heldBy{Kind: "loop", Path: filepath.Join(dir, "d/disk")})
	whoHolds(t, w, disk).names(t, process("l"), overlay)
	whoHolds(t, w, filepath.Join(dir, "l")).names(t, process("l"), overlay)
	whoHolds(t, w, deviceOf("u")).names(t, process("u"), overlay)
	whoHolds(t, w, deviceOf("o")).names(t, process("o")) // it does not stand on itself

	t.Run("swap", func(t *testing.T) {
		swap := filepath.Join(dir, "l/swap")
		shellIn(t, unit, fmt.Sprintf("dd if=/dev/zero of=%s bs=1M count=4 status=none; chmod 600 %[1]s; mkswap -q %[1]s", swap))
		t.Cleanup(func() { exec.Command("nsenter", "-t", strconv.Itoa(unit), "-m", "swapoff", swap).Run() })
		shellIn(t, unit, "swapon -p 0 "+swap)
		on := whoHolds(t, w, disk)
		shellIn(t, unit, "swapoff "+swap) // the machine's: no longer than a look
		on.names(t, process("l"), overlay, heldBy{Kind: "swap", Path: swap})
	})

	// The overlay lets it be unmounted, and keeps the device in use.
	shellIn(t, unit, "umount "+filepath.Join(dir, "l"))
	whoHolds(t, w, disk).names(t, heldBy{Kind: "unknown"})
	whoHolds(t, w, filepath.Join(dir, "l")).names(t, overlay)
	shellIn(t, unit, "umount "+filepath.Join(dir, "o"))
	if h := whoHolds(t, w, disk); len(h.Holders) != 0 {
		t.Errorf("the device is free: %s", h.run)
	}
}

// An unmount fails for a file that is open two namespaces away, each a slave of
// the one before: its holder is in the last one.
func TestHeldTwoHopsAway(t *testing.T) {
	sandboxed(t)
	dir := t.TempDir()
	const hop = `unshare --mount --propagation slave sh -ec`
	script := fmt.Sprintf(`set -e; cd %s; mkdir p; mount -t tmpfs top p; mount --make-shared p; mkdir p/x
		export D=$PWD
		%[2]s 'mount --make-rshared $D/p; %[2]s "
			echo \$\$ >$D/second; until [ -e $D/p/x/file ]; do sleep 0.02; done
			exec 9<$D/p/x/file; echo \$\$ >$D/third; exec sleep 1000" & echo $$ >$D/first; exec sleep 1000' &
		until [ -s second ] && [ -s first ]; do sleep 0.02; done
		mount -t tmpfs victim p/x; : >p/x/file
		until [ -s third ]; do sleep 0.02; done`, dir, hop)
	host := unitIn(t, "private", script)
	first, third := waitNumber(t, filepath.Join(dir, "first")), waitNumber(t, filepath.Join(dir, "third"))
	at := filepath.Join(dir, "p/x")
	if out, err := exec.Command("nsenter", "-t", strconv.Itoa(host), "-m", "umount", at).CombinedOutput(); err == nil || !strings.Contains(string(out), "busy") {
		t.Errorf("the unmount does not fail: %v: %s", err, out)
	}
	process := func(pid int) heldBy {
		return heldBy{Kind: "process", PID: pid, Path: at, MountNamespace: spaceOf(t, pid)}
	}
	want := []heldBy{process(host), process(first), process(third)}
	slices.SortFunc(want, func(a, b heldBy) int { return int(int64(a.MountNamespace) - int64(b.MountNamespace)) })
	want = append(want, heldBy{Kind: "fd", PID: third, FD: 9, Path: at + "/file", MountNamespace: spaceOf(t, third)})
	var w world
	whoHolds(t, w, at).names(t, want...)
	whoHolds(t, w, shellIn(t, host, "mountpoint -d "+at)).names(t, want...)
}

// The number of a superblock that has gone is used again at once. The answer is
// about the one that lives, and about nobody who had the other.
func TestUsedAgain(t *testing.T) {
	sandboxed(t)
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	// Somebody else on this machine may mount meanwhile, and get the number: then all begins again.
	unit := unitIn(t, "private", fmt.Sprintf(`set -e; cd %s; mkdir old new; tries=0
		until
			mount -t tmpfs old old; was=$(mountpoint -d old)
			unshare --mount --propagation private sh -c 'umount old; echo $$ >other; exec sleep 1000' & other=$!
			until [ -s other ]; do sleep 0.02; done
			umount old; n=0
			until mount -t tmpfs new-$n new; [ $(mountpoint -d new) = $was ] || [ $n = 100 ]; do
				n=$((n+1)); mkdir keep-$n; mount --move new keep-$n
			done
			[ $(mountpoint -d new) = $was ]
		do
			umount new; for keep in keep-*; do umount $keep; rmdir $keep; done
			kill $other; wait $other || :; rm other
			tries=$((tries+1)); [ $tries -lt 100 ] || { echo the number is never free >&2; exit 1; }
		done; echo $was >device`, dir))
	text, err := os.ReadFile(filepath.Join(dir, "device"))
	if err != nil {
		t.Fatal(err)
	}
	waitNumber(t, other)
	device := strings.TrimSpace(string(text))
	h := whoHolds(t, world{}, device)
	h.names(t, heldBy{Kind: "process", PID: unit, Path: filepath.Join(dir, "new"), MountNamespace: spaceOf(t, unit)})
	if len(h.Mounts) != 1 || !strings.HasPrefix(h.Mounts[0].Source, "new") {
		t.Errorf("%+v", h.Mounts)
	}
	if gone := whoHolds(t, world{}, filepath.Join(dir, "old")); len(gone.Holders)+len(gone.Mounts) != 0 {
		t.Errorf("the one that has gone: %s", gone.run)
	}
}

// A shared mount that is bound onto itself doubles, and the scan names the
// namespace and who lives in it.
func TestMultiplied(t *testing.T) {
	sandboxed(t)
	dir := t.TempDir()
	unit := unitIn(t, "private", fmt.Sprintf(`set -e; cd %s; mkdir p; mount -t tmpfs doubled p; mount --make-shared p
		for i in 1 2 3 4; do mount --rbind p p; done`, dir))
	f := world{}.wantFinding(t, "mount-multiplication", func(f finding) bool { return f.Subject.Path == filepath.Join(dir, "p") })
	if len(f.Holders) != 1 || f.Holders[0].PID != unit || f.Holders[0].Kind != "process" || !strings.Contains(f.Title, "16 times") {
		t.Errorf("%+v of %+v: %s", f.Holders, f.Subject, f.Title)
	}
	if !strings.HasSuffix(f.ID, fmt.Sprint("/", spaceOf(t, unit))) {
		t.Errorf("%s is not about mnt:[%d]", f.ID, spaceOf(t, unit))
	}
}
