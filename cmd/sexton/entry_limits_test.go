package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

var scan = []string{"scan", "--interval", "0"}

// pidsCgroup makes a cgroup of its own and returns how to set its limit and how to join it.
func pidsCgroup(t *testing.T) (set func(n int), join func(pid int) error) {
	t.Helper()
	hosttest.NeedsRoot(t)
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/pids/cgroup.procs"); err == nil {
		root += "/pids" // v1
	}
	dir, err := os.MkdirTemp(root, "sexton-entry")
	if err != nil {
		hosttest.Needs(t, "cgroups", false, err.Error())
	}
	t.Cleanup(func() { gone(t, dir) })
	_, err = os.Stat(dir + "/pids.max")
	hosttest.Needs(t, "the pids controller", err == nil, "mount the v1 hierarchy on "+root+"/pids, or enable pids in "+root+"/cgroup.subtree_control")
	write := func(file string, n int) error {
		return os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(n)), 0)
	}
	set = func(n int) {
		if err := write("pids.max", n); err != nil {
			t.Fatal(err)
		}
	}
	return set, func(pid int) error { return write("cgroup.procs", pid) }
}

// noRuntimes hides the sockets of this machine's runtimes from what the thread
// starts: each would be asked by a child, and all of them have threads.
func noRuntimes() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("none", "/run", "tmpfs", 0, "")
}

// The entry refuses exactly where the threads do not fit, and where it does not
// the runtime lives, on a wide machine too.
func TestPidsMax(t *testing.T) {
	sexton := guarded(t)
	set, join := pidsCgroup(t)
	odd(t, noRuntimes, func() {
		for n := 1; n <= 40; n++ {
			set(n)
			for _, wide := range []string{"GOMAXPROCS=", "GOMAXPROCS=64"} {
				o := start(t, nil, []string{wide}, join, append([]string{sexton}, scan...)...)
				if refused := o.refused(t); refused != (n <= threads) {
					t.Errorf("pids.max %d, %s: refused is %v: %s", n, wide, refused, o.out)
				}
			}
			if o := start(t, nil, nil, join, sexton, "version"); strings.Contains(o.out, "cannot start") != (n <= threads) {
				t.Errorf("pids.max %d: version: exit %d: %s", n, o.code, o.out)
			}
			if o := start(t, nil, nil, join, sexton, "__child"); strings.Contains(o.out, "cannot start") != (n <= hiddenThreads) {
				t.Errorf("pids.max %d: __child: exit %d: %s", n, o.code, o.out)
			}
		}
	})
	if emulator() == "" {
		return
	}
	set(threads / 2)
	if o := start(t, nil, nil, join, emulator(), program(t, "arm64", atEntry), "version"); !o.refused(t) {
		t.Errorf("arm64: exit %d: %s", o.code, o.out)
	}
}

func TestProcessLimit(t *testing.T) {
	hosttest.NeedsRoot(t)
	sexton := guarded(t)
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var refused []uint64
	limits := []uint64{60, 4000}
	for n := range uint64(40) {
		limits = append(limits, n+1)
	}
	for _, n := range limits { // by a program: the limits of another uid's process need CAP_SYS_RESOURCE
		if start(t, nobody, nil, alone, append([]string{"prlimit", fmt.Sprintf("--nproc=%d", n), sexton}, scan...)...).refused(t) {
			refused = append(refused, n)
		}
	}
	if !slices.Contains(refused, 1) || slices.Contains(refused, 4000) {
		t.Errorf("refused with RLIMIT_NPROC %v", refused)
	}
}

func TestMemoryLimits(t *testing.T) {
	sexton := guarded(t)
	for _, tt := range []struct {
		name     string
		resource int
		limits   []uint64 // MiB
		refused  uint64   // MiB: each below it is refused, none from twice as much on
	}{
		{"RLIMIT_AS", unix.RLIMIT_AS, []uint64{64, 128, 256, 512, 640, 768, 1024, 1152, 1200, 1250, 1300, 1536, 1700, 1792, 1800, 1820, 1850, 1900, 2047, 2560, 3072, 3600, 4096}, space >> 20},
		// With less than its bss, 33 MiB, the kernel itself ends the program.
		{"RLIMIT_DATA", unix.RLIMIT_DATA, []uint64{40, 48, 56, 64, 72, 80, 88, 95, 96, 97, 98, 100, 104, 128, 192, 256}, writable >> 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range tt.limits {
				refused := start(t, nil, nil, limit(tt.resource, n<<20), append([]string{sexton}, scan...)...).refused(t)
				if n < tt.refused && !refused || n >= 2*tt.refused && refused {
					t.Errorf("%d MiB: refused is %v", n, refused)
				}
			}
		})
	}
}

// PID 1 of the namespace is a shell: a program with threads would want of the few
// numbers, too.
func TestPidMax(t *testing.T) {
	hosttest.NeedsRoot(t)
	var name unix.Utsname
	var major, minor int
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	if major < 6 || major == 6 && minor < 14 {
		t.Skip("kernel.pid_max is the host's before Linux 6.14")
	}
	const file = "/proc/sys/kernel/pid_max"
	before, _ := os.ReadFile(file)
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-euc", `
mount -t proc proc /proc
mount -t tmpfs none /run
i=0
while [ $i -lt 310 ]; do (:); i=$((i+1)); done # the kernel gives numbers below 300 only once
n=302
while [ $n -le 345 ]; do
	echo $n >`+file+`
	code=0
	"$1" scan --interval 0 >"$2/$n" 2>&1 || code=$?
	echo $code >"$2/$n.code"
	n=$((n+1))
done`, "sh", guarded(t), dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Errorf("the host's kernel.pid_max became %s", after)
	}
	refusals := 0
	for n := 302; n <= 345; n++ {
		path := filepath.Join(dir, strconv.Itoa(n))
		out, _ := os.ReadFile(path)
		text, _ := os.ReadFile(path + ".code")
		code, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if (outcome{string(out), code}).refused(t) {
			refusals++
		}
	}
	if refusals == 0 || refusals == 44 {
		t.Errorf("%d of 44 were refused", refusals)
	}
}
