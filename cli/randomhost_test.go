package cli_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A randomHost is a tmpfs on which few names are mounted and held in many ways, so
// that they meet. It lives in the mount and PID namespaces of this process.
type randomHost struct {
	*rand.Rand
	dir     string
	log     []string // what was done, for people
	holders []*exec.Cmd
	left    []string // where an overlay was that is held, in another namespace alone
}

// ids are as containers have them.
var ids = []string{strings.Repeat("4e09", 16), strings.Repeat("a17b", 16), strings.Repeat("4e09", 15) + "0000"}

func newRandomHost(r *rand.Rand) (*randomHost, error) {
	dir, err := os.MkdirTemp("", "narrow")
	if err != nil {
		return nil, err
	}
	h := &randomHost{Rand: r, dir: dir}
	if err := unix.Mount("host", dir, "tmpfs", 0, "size=4m"); err != nil {
		return nil, err
	}
	company := exec.Command("sleep", "1000") // with nobody there at all nothing is compared
	h.holders = append(h.holders, company)
	return h, company.Start()
}

func (h *randomHost) end() {
	for _, c := range h.holders {
		c.Process.Kill()
		c.Wait()
	}
	unix.Unmount(h.dir, unix.MNT_DETACH)
	os.Remove(h.dir)
}

func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// place is a directory of the host: of few, so that they meet.
func (h *randomHost) place() string {
	at := h.dir
	for range 1 + h.IntN(3) {
		at = filepath.Join(at, one(h.Rand, "a", "b", "b\nc", "merged"))
	}
	if h.IntN(4) == 0 {
		at = filepath.Join(h.dir, "store", one(h.Rand, ids...), one(h.Rand, "merged", "diff", ""))
	}
	os.MkdirAll(at, 0o755)
	return at
}

// step does one thing, which may fail: then there is one less.
func (h *randomHost) step() {
	var err error
	at, from := h.place(), h.place()
	did := ""
	switch h.IntN(13) {
	case 0, 1, 2:
		source := one(h.Rand, append(ids, "tmpfs", "named", from)...)
		did, err = "tmpfs "+source, unix.Mount(source, at, "tmpfs", 0, "size=64k")
	case 3, 4:
		did, err = "bind "+from, unix.Mount(from, at, "", uintptr(unix.MS_BIND|h.IntN(2)*unix.MS_REC), "")
	case 5, 6:
		did, err = h.overlay(&at, from)
	case 7:
		did, err = "unmount", unix.Unmount(at, unix.MNT_DETACH)
	case 8, 9:
		did, err = h.hold(at, from)
	case 10:
		at += "-link"
		did, err = "link to "+from, os.Symlink(from, at)
	case 11:
		did, err = h.detach(from)
	case 12:
		did = "detach in another namespace"
		h.left = append(h.left, at+"/merged")
		_, err = h.start(at, "", detachInside, &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS})
	}
	h.log = append(h.log, fmt.Sprintf("%q: %q, %v", at, did, err))
}

// overlay mounts one beside its layers, as runtimes do, or elsewhere, or on lower ones alone.
func (h *randomHost) overlay(at *string, lower string) (string, error) {
	own := filepath.Join(h.dir, "store", one(h.Rand, ids...))
	options := "lowerdir=" + lower + ":" + h.place()
	if h.IntN(4) > 0 {
		options = fmt.Sprintf("lowerdir=%s,upperdir=%s/diff,workdir=%s/work", lower, own, own)
	}
	if h.IntN(3) > 0 {
		*at = own + "/merged"
	}
	for _, dir := range []string{own + "/diff", own + "/work", *at} {
		os.MkdirAll(dir, 0o755)
	}
	return options, unix.Mount(one(h.Rand, "overlay", "named"), *at, "overlay", 0, options)
}

// detach unmounts an overlay from beside its layers that a process holds.
func (h *randomHost) detach(lower string) (string, error) {
	own := filepath.Join(h.dir, "store", one(h.Rand, ids...))
	for _, name := range []string{"diff", "work", "merged"} {
		os.MkdirAll(filepath.Join(own, name), 0o755)
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/diff,workdir=%s/work", lower, own, own)
	did := "detach " + options
	if err := unix.Mount("overlay", own+"/merged", "overlay", 0, options); err != nil {
		return did, err
	}
	if _, err := h.start(own+"/merged", "", one(h.Rand, `cd "$1"`, `exec 3>"$1/file"`), &syscall.SysProcAttr{}); err != nil {
		return did, err
	}
	return did, unix.Unmount(own+"/merged", unix.MNT_DETACH)
}

const detachInside = `mount -t tmpfs inside "$1"; cd "$1"; mkdir lower diff work merged
	mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/diff,workdir=$1/work" merged; cd "$1/merged"; umount -l "$1/merged"`

// hold starts a process that holds a place, mostly in a copy of this mount namespace, in
// which it may change something; its namespace may be bound, and it may end then.
func (h *randomHost) hold(at, other string) (string, error) {
	script := one(h.Rand, `:`, `cd "$1"`, `exec 3>"$1/file"`, `cd "$1"; umount -l "$1"`, `umount -l "$1"`,
		`mount -t tmpfs inside "$1"`, `mount --bind "$2" "$1"`, `mount -t tmpfs cover "$1"; cd "$2"`)
	in, bound := "a copy", false
	attr := &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	switch h.IntN(6) {
	case 0:
		in, attr.Unshareflags = "this namespace", 0
		script = one(h.Rand, `cd "$1"`, `exec 3>"$1/file"`)
	case 1:
		in, attr.Unshareflags, attr.Cloneflags = "another user's copy", 0, syscall.CLONE_NEWNS|syscall.CLONE_NEWUSER
		all := []syscall.SysProcIDMap{{Size: 1 << 16}}
		attr.UidMappings, attr.GidMappings = all, all
	case 2:
		in, bound = "a copy that is bound", true
	}
	did := fmt.Sprintf("in %s: %s (2: %q)", in, script, other)
	c, err := h.start(at, other, script, attr)
	if err != nil || !bound {
		return did, err
	}
	file := filepath.Join(h.dir, fmt.Sprintf("space-%d", c.Process.Pid))
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return did, err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/%d/ns/mnt", c.Process.Pid), file, "", unix.MS_BIND, ""); err != nil {
		return did, err
	}
	c.Process.Kill()
	c.Wait()
	return did, nil
}

// start starts a process that has done as the script says, and waits.
func (h *randomHost) start(at, other, script string, attr *syscall.SysProcAttr) (*exec.Cmd, error) {
	c := exec.Command("sh", "-c", script+"; echo; read forever", "sh", at, other)
	c.SysProcAttr = attr
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if _, err := c.StdinPipe(); err != nil { // never written to
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	h.holders = append(h.holders, c)
	_, err = bufio.NewReader(out).ReadString('\n')
	return c, err
}

// words are what can be asked about.
func (h *randomHost) words() (all []string) {
	add := func(word string) { all = append(all, word) }
	filepath.WalkDir(h.dir, func(at string, d os.DirEntry, err error) error {
		if err == nil && (d.IsDir() || d.Type()&os.ModeSymlink != 0) && !strings.Contains(at, "/work") {
			add(at)
		}
		return nil
	})
	all = all[1:] // not the host's own
	h.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	all = all[:min(len(all), 8)]
	for i := range all {
		var stat unix.Stat_t
		switch h.IntN(6) {
		case 0:
			if unix.Stat(all[i], &stat) == nil {
				add(fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev)))
			}
		case 1:
			add("/" + strings.TrimPrefix(strings.ReplaceAll(all[i], "/", "//"), "//") + "/")
		case 2:
			add("/" + strings.TrimPrefix(all[i], h.dir+"/")) // as a container has it
		}
	}
	all = append(all, h.left...)
	add(one(h.Rand, ids...))
	add(h.dir + "/store/" + one(h.Rand, ids...) + "/merged")
	if h.IntN(4) == 0 {
		add("/")
	}
	return all
}
