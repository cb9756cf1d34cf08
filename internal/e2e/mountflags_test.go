package e2e

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// A unitDocker is a dockerd that a real systemd runs as docker.service, with
// live-restore, and its containerd as a child, as until docker 18.06.
type unitDocker struct {
	*dockerd
	m *manager
}

const check = "mountflags-live-restore"

func startDockerUnit(t testing.TB) *unitDocker {
	t.Helper()
	needsDocker(t)
	kinds, _ := os.ReadFile("/proc/filesystems")
	hosttest.Needs(t, "overlay", strings.Contains(string(kinds), "\toverlay\n"), "load the kernel's overlay module")
	mount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("", "/", "", syscall.MS_REC|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	mount(syscall.MS_SHARED) // as systemd makes it; the sandbox's own
	t.Cleanup(func() { mount(syscall.MS_PRIVATE) })
	d := &unitDocker{dockerd: &dockerd{newDaemon(t, "u")}, m: startSystemd(t)}
	d.socket = d.dir + "/docker.sock"
	data := d.dir + "/data" // a tmpfs: overlay does not work on itself
	config := d.dir + "/daemon.json"
	if err := os.WriteFile(config, []byte(`{"live-restore": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "exec " + strings.Join(d.argv(config, data, "--storage-driver", "overlay2"), " ") + " >>" + d.log + " 2>&1"
	if err := os.WriteFile(d.dir+"/start", []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.wipe(data) })
	t.Cleanup(func() { d.m.ctl("stop", "docker.service") })
	d.unit("MountFlags=slave")
	d.again("start")
	t.Cleanup(func() {
		if ids := strings.Fields(d.do("ps", "-aq")); len(ids) > 0 {
			d.do(append([]string{"rm", "-f"}, ids...)...)
		}
	})
	d.load(rootTar(t))
	return d
}

// unit writes docker.service with these settings and lets systemd read it.
func (d *unitDocker) unit(settings ...string) {
	d.t.Helper()
	d.m.write("docker.service", service(append(settings, "ExecStart=/bin/sh "+d.dir+"/start", "KillMode=process", "Delegate=yes",
		"Environment=PATH="+os.Getenv("PATH")+" HOME="+work+" TMPDIR="+work)...))
	d.m.ctl("daemon-reload")
}

// again starts or restarts the daemon, and waits until it answers.
func (d *unitDocker) again(verb string) {
	d.t.Helper()
	d.m.ctl(verb, "docker.service")
	hosttest.Until(d.t, soon, "docker answers: "+d.logged(), func() bool { return d.ping() == nil })
}

func (d *unitDocker) sleeper(name string) *container {
	d.t.Helper()
	return d.run(name, nil, "sh", "-c", "echo ready; exec sleep 1000").ready()
}

// exec reports whether a program can be run in the container.
func (c *container) exec() (string, bool) {
	text, err := c.d.command("exec", c.id, "true").CombinedOutput()
	return string(text), err == nil
}

// scan looks until the settings were read, which a busy machine may be too slow for.
func (d *unitDocker) scan() report {
	d.t.Helper()
	const tries = 5
	for n := 1; ; n++ {
		r := world{docker: d.socket, patience: 20 * time.Second}.sexton(d.t, "scan", "--interval=300ms", "-o", "json").exits(d.t, clean, findings, cantTell).report(d.t)
		if r.unknown("command line of dockerd") == "" && r.unknown("what systemd has loaded") == "" {
			return r
		}
		if n == tries {
			d.t.Fatalf("cannot tell %d times: %s", n, r.titles())
		}
		os.RemoveAll(memory) // of a systemd that was slow once
	}
}

// told is the check's one finding; it must name these containers and none of the others.
func (d *unitDocker) told(severity string, named, not []*container) finding {
	d.t.Helper()
	var f finding
	hosttest.Until(d.t, soon, "the names of the containers", func() bool { // a daemon that just began may be late
		os.RemoveAll(memory)
		f = d.scan().only(d.t, check, "docker.service")
		return !slices.ContainsFunc(named, func(c *container) bool { return !strings.Contains(f.Title, c.name) })
	})
	for _, c := range slices.Concat(named, not) {
		if slices.Contains(named, c) != strings.Contains(f.Title, c.name) {
			d.t.Errorf("%s in the title, want %v: %s", c.name, slices.Contains(named, c), f.Title)
		}
	}
	if f.Severity != severity {
		d.t.Errorf("severity %s, want %s: %s", f.Severity, severity, f.Title)
	}
	return f
}

// Whom the check names is who fails. On this kernel that is docker exec: the
// daemon's start removes the directory of each layer, which takes the mount off in
// the namespace of the one before. Removal works; it fails on a kernel without that,
// of which the stories of the check tell.
func TestMountFlagsLiveRestore(t *testing.T) {
	for _, tt := range []struct {
		name    string
		restart func(*unitDocker)
	}{
		{"restarted", func(d *unitDocker) { d.again("restart") }},
		{"killed", func(d *unitDocker) {
			d.m.ctl("kill", "--signal=KILL", "--kill-whom=main", "docker.service")
			d.m.ctl("stop", "docker.service") // it failed: that ends the state, and nothing else runs but shims and containerd
			d.again("start")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := startDockerUnit(t)
			web, base := d.sleeper("web"), d.sleeper("base")
			f := d.told("info", []*container{web, base}, nil)
			if !strings.Contains(fmt.Sprint(f.Evidence), "docker.service:4 MountFlags=slave") {
				t.Errorf("evidence %v", f.Evidence)
			}
			tt.restart(d)
			later := d.sleeper("later")
			f = d.told("warning", []*container{web, base}, []*container{later})
			if len(f.Holders) != 2 || !strings.Contains(f.Harm, "docker exec fails") {
				t.Errorf("harm %q, holders %+v", f.Harm, f.Holders)
			}
			for _, c := range []*container{web, base, later} {
				if text, ok := c.exec(); ok != (c == later) {
					t.Errorf("exec in %s: %v: %s", c.name, ok, text)
				}
			}
			d.do("stop", "-t", "1", base.id)
			d.do("start", base.id)
			if text, ok := base.exec(); !ok {
				t.Errorf("exec in %s, stopped and started: %s", base.name, text)
			}
			d.told("warning", []*container{web}, []*container{later, base})
			d.do("rm", "-f", web.id)
			d.told("info", []*container{later, base}, nil)
		})
	}
}

// Three ways to take the directive out while containers run.
func TestMountFlagsTakenOut(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(d *unitDocker, layer string) // the restart
		works  bool                              // exec, after it
	}{
		{"restart alone", func(*unitDocker, string) {}, false},
		{"layers unmounted first", func(d *unitDocker, layer string) {
			d.inDaemon(func(int) error { return unix.Unmount(layer, 0) })
		}, false},
		{"layers brought to the host first", func(d *unitDocker, layer string) { d.inDaemon(carry(layer)) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := startDockerUnit(t)
			web := d.sleeper("web")
			d.unit() // without the directive; the daemon runs on with its own namespace
			f := d.told("info", []*container{web}, nil)
			if !strings.Contains(f.Title, "a mount namespace of its own") {
				t.Errorf("title %s", f.Title)
			}
			tt.before(d, web.inspect("{{.GraphDriver.Data.MergedDir}}"))
			if text, ok := web.exec(); !ok {
				t.Errorf("exec before the restart: %s", text)
			}
			d.again("restart")
			if text, ok := web.exec(); ok != tt.works {
				t.Errorf("exec after the restart: %v, want %v: %s", ok, tt.works, text)
			}
			if tt.works {
				if all := d.scan().of(check); len(all) != 0 {
					t.Errorf("found: %+v", all)
				}
			} else {
				d.told("warning", []*container{web}, nil)
			}
			d.do("stop", "-t", "1", web.id)
			d.do("start", web.id)
			if text, ok := web.exec(); !ok {
				t.Errorf("exec after stop and start: %s", text)
			}
			d.do("rm", "-f", web.id)
		})
	}
}

// inDaemon calls a function on a thread that is in the daemon's mount namespace,
// with a descriptor of the host's.
func (d *unitDocker) inDaemon(do func(host int) error) {
	d.t.Helper()
	text, err := os.ReadFile(d.dir + "/pid")
	if err != nil {
		d.t.Fatal(err)
	}
	done := make(chan error)
	var run func()
	run = func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() { // /proc/self is that thread's, and it would not end
			defer runtime.UnlockOSThread()
			again := make(chan struct{})
			go func() { defer close(again); run() }()
			<-again
			return
		}
		done <- enterAnd(strings.TrimSpace(string(text)), do) // never unlocked: the thread ends with this
	}
	go run()
	if err := <-done; err != nil {
		d.t.Fatal(err)
	}
}

func enterAnd(pid string, do func(host int) error) error {
	host, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return err
	}
	defer host.Close()
	there, err := os.Open("/proc/" + pid + "/ns/mnt")
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNS); err != nil {
		return err
	}
	return do(int(host.Fd()))
}

// carry puts a copy of a mount at the same place of the host: open_tree(2), move_mount(2).
func carry(at string) func(host int) error {
	return func(host int) error {
		tree, err := unix.OpenTree(unix.AT_FDCWD, at, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return err
		}
		defer unix.Close(tree)
		if err := unix.Setns(host, unix.CLONE_NEWNS); err != nil {
			return err
		}
		return unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
}
