package blackbox

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"sexton.dev/internal/hosttest"
)

// qemu runs arm64 programs here: Debian's qemu-user-static.
const qemu = "/usr/bin/qemu-aarch64-static"

// armPrograms is how the kernel knows an arm64 ELF file, by its first bytes and
// those of them that count.
//
// Source: Linux 6.12 Documentation/admin-guide/binfmt-misc.rst; elf(5).
const armPrograms = `:arm64:M::` +
	`\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:` +
	`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:` + qemu + `:FP`

// emulate lets this user namespace, and no other, run arm64 programs by qemu. It
// needs Linux 6.7, since which binfmt_misc is one for each.
func emulate() error {
	const dir = "/proc/sys/fs/binfmt_misc"
	if err := syscall.Mount("none", dir, "binfmt_misc", 0, ""); err != nil {
		return os.NewSyscallError("binfmt_misc", err)
	}
	return os.WriteFile(dir+"/register", []byte(armPrograms), 0)
}

// notEmulated are behaviours that qemu does not let a program have, and why.
var notEmulated = map[string]string{
	"draining after the binary is gone":  "/proc/self/exe is qemu",
	"is light at rest":                   "qemu rests beside it",
	"not executable":                     "vfork is fork: what happens in the child stays there",
	"a directory as the command":         "as above",
	"script without an interpreter line": "as above",
	"a subreaper when not process 1":     "it has no subreapers",
	"run-probe waits for all":            "as above",
	"draining when not process 1":        "as above",
	"the environment is not changed":     "it hands a program its variables in the opposite order",
}

// TestArm64 holds the arm64 assembly to our own behaviours under qemu: what it
// does at its entry, at rest and at the end is not what amd64's tests prove.
func TestArm64(t *testing.T) {
	hosttest.NeedsRoot(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("on arm64 the other tests are this one")
	}
	_, err := exec.LookPath(qemu)
	hosttest.Needs(t, "qemu-aarch64", err == nil, "apt-get install qemu-user-static")
	p := initProgram{name: "arm64", path: buildFor(t, "arm64", own, entryFlag(), ""), arm: true}
	first := behaviour{in: []string{own}, flags: map[string][]string{"": {"-v"}}, sh: "exit 7", code: 7, want: []string{`is assembly \(arm64\)`}}
	if err := first.judge(t, p, own); err != nil {
		missing := strings.Contains(err.Error(), "launch: binfmt_misc: ")
		hosttest.Needs(t, "binfmt_misc of a user namespace's own", !missing, "Linux 6.7: "+err.Error())
		t.Fatal(err)
	}
	for _, b := range append(behaviours(), manyOrphans) {
		if b.in[0] != own || b.with.Forbid != nil {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			if why := notEmulated[b.name]; why != "" {
				t.Logf("qemu: %s", why)
				return
			}
			if err := b.judge(t, p, own); err != nil {
				t.Error(err)
			}
		})
	}
}

// manyOrphans leaves a hundred orphans that end together.
var manyOrphans = behaviour{name: "a hundred orphans", in: []string{own}, code: 4,
	command: []string{"/usr/bin/perl", "-e", `use POSIX; pipe my $r, my $w;
		if (!fork) { close $w; for (1 .. 100) { if (!fork) { sysread $r, my $x, 1; POSIX::_exit(0) } } POSIX::_exit(0) }
		wait; close $w;
		for (1 .. 300) { my $n = () = grep { m{/\d+/} } glob "/proc/[0-9]*/stat"; exit 4 if $n == 2; select undef, undef, undef, 0.01 }
		exit 5`}}
