package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A mountHost is the scene from inside of init: a small host of a runtime.
type mountHost struct {
	ctx   context.Context
	stage stage
	fault string
}

// mountScenes say what each host does.
var mountScenes = map[string]func(h mountHost) error{
	mountPrivateRoot.Name: func(h mountHost) error {
		return h.layers(true, "second", []string{"slave", "shared"})
	},
	mountSharedRoot.Name: func(h mountHost) error {
		return h.layers(false, "second", []string{"slave", "shared"})
	},
	mountPrivateTmp.Name: func(h mountHost) error {
		own := filepath.Join("/tmp", "systemd-private-"+strings.ReplaceAll(containerID(h.fault, "boot")[:32], "-", "")+"-sexton-lab.service-9aX3kQ", "tmp")
		if err := os.MkdirAll(own, 0o700); err != nil {
			return err
		}
		return h.layers(true, "", []string{"slave", "tmp=" + own, "shared"})
	},
	mountHostpath.Name: func(h mountHost) error {
		return h.layers(false, "", []string{"private", "hostpath"})
	},
	mountThread.Name: func(h mountHost) error {
		return h.layersWith(false, "", 0, []string{"thread"})
	},
	mountNsfs.Name:     mountHost.bound,
	mountNsfd.Name:     mountHost.opened,
	mountDetached.Name: mountHost.detached,
	mountDevice.Name:   func(h mountHost) error { return h.released(globalMount) },
	thinName:           func(h mountHost) error { return h.released(thinMount(h.fault)) },
	waitName:           mountHost.filled,
}

// mountDisks say what of a host is mounted before it has a root of its own, while
// programs and devices can still be reached; the root will be dir.
var mountDisks = map[string]func(dir string) error{
	deviceName: makeDisk,
	thinName:   func(dir string) error { return mountThin(dir, thinName) },
	waitName:   func(dir string) error { return mountThin(dir, waitName) },
}

// mountInit is the first process of the fault's PID and mount namespaces.
func mountInit(s stage) error {
	signal.Ignore(syscall.SIGHUP)
	if err := s.first(3, "mount-init wants a fault, a directory and the mount namespace of up"); err != nil {
		return err
	}
	if err := leaveSharing(s.args[2]); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(context.Background(), s.until)
	defer cancel()
	h := mountHost{ctx, s, s.args[0]}
	before := mountDisks[h.fault]
	if before == nil {
		before = func(string) error { return nil }
	}
	if err := hostRoot(s.args[1], before); err != nil {
		return err
	}
	if err := mountScenes[h.fault](h); err != nil {
		return err
	}
	returnPrograms()
	if err := s.reach("kept"); err != nil {
		return err
	}
	s.alone()
	return reapUntil(s)
}

// hostRoot gives this mount namespace a root of its own, shared as systemd's
// is, and lets go of the host's mounts, whose devices it would keep busy. before
// runs while dir is the new root, and the host's programs are still there.
func hostRoot(dir string, before func(dir string) error) error {
	if err := freshRoot(dir, unix.MS_NOSUID, "size=16m,mode=0755", "proc", "tmp", "run/sexton-lab", "host", graphRoot, globalMount); err != nil {
		return err
	}
	if err := mountProc(dir); err != nil {
		return err
	}
	if err := errors.Join(bindPrograms(dir), before(dir)); err != nil {
		return err
	}
	if err := enterRoot(dir); err != nil {
		return err
	}
	return propagate("/", unix.MS_REC|unix.MS_SHARED)
}

// libraries is what a program that is linked dynamically cannot be started
// without. sexton is not; one with the race detector is.
var libraries = []string{"/usr", "/lib", "/lib64"}

// bindPrograms lends the libraries to the new root until all units run.
func bindPrograms(dir string) error {
	for _, from := range libraries {
		info, err := os.Lstat(from)
		if err != nil || !info.IsDir() {
			if to, err := os.Readlink(from); err == nil {
				os.Symlink(to, filepath.Join(dir, from)) // as the host has it; what matters shows when a unit starts
			}
			continue
		}
		if err := os.Mkdir(filepath.Join(dir, from), 0o755); err != nil {
			return err
		}
		if err := unix.Mount(from, filepath.Join(dir, from), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", from, err)
		}
	}
	return nil
}

// returnPrograms takes them out of this mount namespace: its own mounts are all
// that is left then.
func returnPrograms() {
	for _, dir := range libraries {
		unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) // fails where it is a link
	}
}

func propagate(path string, how uintptr) error {
	if err := unix.Mount("", path, "", how, ""); err != nil {
		return fmt.Errorf("change the propagation of %s: %w", path, err)
	}
	return nil
}

// container mounts a container's layers, as overlay2 does, and returns where.
func (h mountHost) container(name string) (string, error) {
	dir := filepath.Join(graphRoot, containerID(h.fault, name))
	for _, part := range []string{"lower", "diff", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(dir, part), 0o755); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "diff", "held"), []byte("a file of "+name+"\n"), 0o644); err != nil {
		return "", err
	}
	merged := filepath.Join(dir, "merged")
	options := fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/diff,workdir=%s/work", dir, dir, dir)
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return "", fmt.Errorf("mount the layers: %w", err)
	}
	return merged, nil
}

// layers mounts a container or two, lets a unit begin, which gets a copy of all
// mounts, and unmounts the first.
func (h mountHost) layers(private bool, second string, unit []string) error {
	return h.layersWith(private, second, syscall.CLONE_NEWNS, unit)
}

func (h mountHost) layersWith(private bool, second string, flags uintptr, unit []string) error {
	if private { // as docker's graph drivers did until 18.06, moby#36047
		if err := unix.Mount(graphRoot, graphRoot, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind the graph root: %w", err)
		}
		if err := propagate(graphRoot, unix.MS_PRIVATE); err != nil {
			return err
		}
	}
	first, err := h.container("first")
	if err != nil {
		return err
	}
	if second != "" {
		if _, err := h.container(second); err != nil {
			return err
		}
	}
	if _, err := h.unit(flags, unit...); err != nil {
		return err
	}
	return release(first, 0)
}

// unit starts a process that does what the words say and then holds what it has.
func (h mountHost) unit(flags uintptr, words ...string) (*play, error) {
	p, err := launch(h.ctx, h.fault, "mount-unit", h.stage.until, &syscall.SysProcAttr{Cloneflags: flags, Setsid: true}, words...)
	if err != nil {
		return nil, err
	}
	if err := p.next(h.ctx, "ready"); err != nil {
		return nil, err
	}
	return p, nil
}

func release(path string, flags int) error {
	if err := unix.Unmount(path, flags|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("umount %s: %w", path, err)
	}
	return nil
}

// bound binds a unit's mount namespace to a file and ends the unit.
func (h mountHost) bound() error {
	const file = "/run/sexton-lab/mnt"
	return h.withoutProcess(func(unit int) error {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return err
		}
		if err := unix.Mount(procPath(unit, "ns/mnt"), file, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind a mount namespace: %w", err)
		}
		return nil
	})
}

// opened lets one unit open another's mount namespace and ends the other.
func (h mountHost) opened() error {
	return h.withoutProcess(func(unit int) error {
		_, err := h.unit(0, "namespace="+strconv.Itoa(unit))
		return err
	})
}

// withoutProcess leaves a mount namespace behind whose process has ended.
func (h mountHost) withoutProcess(pin func(unit int) error) error {
	first, err := h.container("first")
	if err != nil {
		return err
	}
	// The kernel lets a mount namespace be bound only in one with a lower id, and
	// since 6.18 gives ids to each processor in batches: two that were born on the
	// same one are in order. Source: Linux 6.18 fs/namespace.c, mnt_ns_loop.
	for cpu := 0; ; cpu++ {
		p, err := h.unit(syscall.CLONE_NEWNS, "private")
		if err != nil {
			return err
		}
		err = pin(p.cmd.Process.Pid)
		if err := errors.Join(err, p.kill()); err == nil {
			return release(first, 0)
		} else if !errors.Is(err, unix.EINVAL) || onCPU(cpu) != nil {
			return err
		}
	}
}

// onCPU keeps what this thread starts from now on to one processor.
func onCPU(n int) error {
	var one unix.CPUSet
	one.Set(n)
	return unix.SchedSetaffinity(0, &one) // EINVAL: there is no such processor
}

// detached leaves mounts that are in no mount table.
func (h mountHost) detached() error {
	for _, how := range []string{"file", "tree"} {
		merged, err := h.container(map[string]string{"file": "first", "tree": "second"}[how])
		if err != nil {
			return err
		}
		if _, err := h.unit(0, how+"="+merged); err != nil {
			return err
		}
		flags := 0
		if how == "file" {
			flags = unix.MNT_DETACH
		}
		if err := release(merged, flags); err != nil {
			return err
		}
	}
	return nil
}

// programs is where mkfs, losetup and runtimes are: a process of a fault has no PATH.
const programs = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// program finds one of them.
func program(name string) (string, error) {
	for dir := range strings.SplitSeq(programs, ":") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", hint(fmt.Errorf("needs %s, and it is not in %s", name, programs), "install e2fsprogs")
}

// makeDisk makes a file system on a loop device. The device goes when its last
// user does.
func makeDisk(dir string) error {
	image := filepath.Join(dir, "disk")
	if err := os.Setenv("PATH", programs); err != nil {
		return err
	}
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(8<<20), f.Close()); err != nil {
		return err
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", image).CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		return hint(fmt.Errorf("losetup: %w: %s", err, out), "modprobe loop; in a container run it with --privileged")
	}
	device := strings.TrimSpace(string(out))
	target := filepath.Join(dir, globalMount)
	err = unix.Mount(device, target, "ext4", 0, "")
	// Detached at once: the kernel clears it when the last mount is gone.
	if out, gone := exec.Command("losetup", "--detach", device).CombinedOutput(); gone != nil {
		err = errors.Join(err, fmt.Errorf("losetup --detach: %w: %s", gone, out))
	}
	if err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	return nil
}

// mountThin mounts the thin device that the keeper made.
func mountThin(dir, fault string) error {
	node, err := thinNode(thinScenes[fault].mounted)
	if err != nil {
		return err
	}
	point := filepath.Join(dir, thinMount(fault))
	if err := os.MkdirAll(point, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(node, point, "ext4", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", node, err)
	}
	return nil
}

// released unmounts a device's file system that a unit has a private copy of.
func (h mountHost) released(point string) error {
	if _, err := h.unit(syscall.CLONE_NEWNS, "private"); err != nil {
		return err
	}
	return release(point, 0)
}
