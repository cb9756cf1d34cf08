package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"sexton.dev/linux/mounts"
)

// The faults of mounts have one shape: init's mount namespace is the host of a
// container runtime, whose process a runtime would be; a unit is somebody who
// got a copy of its mounts; and the runtime unmounts what it is done with.
var (
	mountPrivateRoot = mountFault("mount-private-root", "docker 1.13.1: a private graph root, and a unit that keeps a removed container's layer", []string{
		"leaked-mount: the first container's merged directory is still mounted in sexton-lab:unit's namespace",
		"leaked-mount: the second one's will stay there when it is unmounted",
		"private-graph-root: /var/lib/docker/overlay2 is the private link in the parent chain",
	}, "safe", []string{
		"leaked-mount: the second container works; that its mount will stay is no more than a risk",
		"private-graph-root: a setting, which stays until docker is another one or the root is made shared",
	}, keepsLeak)
	mountSharedRoot = mountFault("mount-shared-root", "docker 18.06: the same host and unit with a shared graph root: the unmount reaches the unit", []string{
		"nothing for the first container: its mount is gone from sexton-lab:unit's namespace",
		"propagation: the second one's unmount reaches it",
	}, "", nil, keepsNothing)
	mountPrivateTmp = mountFault("mount-private-tmp", "a unit with PrivateTmp=yes that started after the containers keeps a layer", []string{
		"leaked-mount: held by sexton-lab:unit, whose /tmp is that of sexton-lab.service",
		"private-unit: sexton-lab.service, PrivateTmp, started after the mount",
	}, "safe", []string{
		"private-graph-root: a setting, which stays until docker is another one or the root is made shared",
	}, keepsLeak)
	mountHostpath = mountFault("mount-hostpath", "a container with the host's /var/lib bound into it without propagation keeps a layer", []string{
		"leaked-mount: held by sexton-lab:unit, below /host/var/lib",
		"hostpath-no-propagation: /host/var/lib is private",
	}, "safe", []string{
		"hostpath-no-propagation: a setting, which stays until the container is started anew",
	}, keepsLeak)
	mountThread = mountFault("mount-thread", "one thread of a process keeps a layer in a mount namespace of its own", []string{
		"leaked-mount: held by a thread of sexton-lab:unit, which is itself in the host's namespace",
	}, "safe", nil, keepsThread)
	mountNsfs = mountFault("mount-nsfs", "a mount namespace without a process, bound to a file, keeps a layer", []string{
		"leaked-mount: held by the bind at /run/sexton-lab/mnt",
	}, "safe", nil, keepsBind)
	mountNsfd = mountFault("mount-nsfd", "a mount namespace without a process, held by an open file, keeps a layer", []string{
		"leaked-mount: held by a file descriptor of sexton-lab:unit",
	}, "safe", nil, keepsNamespaceFile)
	mountDetached = mountFault("mount-detached", "two layers in nobody's mount table: one unmounted with -l under an open file, one copied by open_tree", []string{
		"detached-mount: both, held by files of sexton-lab:unit",
	}, "", []string{
		"detached-mount: both; heal does not end sexton-lab:unit: it is in no container and no unit: who ends it must know how it is started again",
	}, keepsFiles)
	mountDevice = mountFault(deviceName, "an ext4 file system on a loop device, unmounted by its owner and still mounted in a unit", []string{
		"leaked-mount: the globalmount is still mounted in sexton-lab:unit's namespace",
		"held-device: the loop device is in use, and its owner does not mount it",
	}, "safe", nil, keepsLeak)
)

const deviceName = "mount-device"

var mountFaults = []Fault{mountPrivateRoot, mountSharedRoot, mountPrivateTmp, mountHostpath, mountThread, mountNsfs, mountNsfd, mountDetached, mountDevice}

// mountFault makes a fault of a scene in [mountScenes]. risk and remains are as
// [Fault] has them, keeps says what the kernel shows of it.
func mountFault(name, summary string, want []string, risk string, remains []string, keeps func(record) (string, bool, error)) Fault {
	look := func(r record) (sight, error) {
		text, kept, err := keeps(r)
		return sight{text: text, all: kept, any: kept}, err
	}
	return Fault{
		Name: name, Summary: summary, Want: want, Risk: risk, Remains: remains,
		Harm:  "a mount namespace or two of its own and under 20 MB of memory",
		ready: func(Options) error { return mountReady(name) },
		build: func(s *site) error { return mountBuild(s, look) },
		look:  look,
	}
}

func mountReady(name string) error {
	if name == deviceName {
		for _, need := range []string{"mkfs.ext4", "losetup"} {
			if _, err := exec.LookPath(need); err != nil {
				return hint(fmt.Errorf("needs %s: %w", need, err), "install e2fsprogs and util-linux")
			}
		}
		return nil
	}
	text, err := os.ReadFile("/proc/filesystems")
	if err == nil && !bytes.Contains(text, []byte("\toverlay\n")) {
		err = hint(errors.New("this kernel has no overlay, or its module is not loaded"), "modprobe overlay")
	}
	return err
}

func mountBuild(s *site, look func(record) (sight, error)) error {
	init, err := s.startInit("mount-init", syscall.CLONE_NEWNS, s.rec.Name, s.dir.path)
	if err != nil {
		return err
	}
	if err := init.next(s.ctx, "kept"); err != nil {
		return err
	}
	all, err := children(s.rec.role(roleInit).PID)
	if err != nil {
		return err
	}
	if len(all) > 0 { // a namespace that needs no process has none
		if err := s.noteChildren("unit", "unit"); err != nil {
			return err
		}
	}
	if seen, err := look(s.rec); err != nil || !seen.all {
		return errors.Join(fmt.Errorf("the kernel does not show it: %s", seen.text), err)
	}
	if err := s.proved(); err != nil {
		return err
	}
	return init.order() // until then init ends if we do
}

// containerID is the id of a fault's made-up container: the same in every run.
func containerID(fault, container string) string {
	sum := sha256.Sum256([]byte(mountSource + " " + fault + " " + container))
	return hex.EncodeToString(sum[:])
}

// Where a scene has its containers' layers and its volume.
const (
	graphRoot   = "/var/lib/docker/overlay2"
	globalMount = "/var/lib/kubelet/plugins/kubernetes.io/csi/sexton-lab/volume/globalmount"
)

// mountedHere returns the mounts of this process's namespace.
func mountedHere() ([]mounts.Mount, error) { return mountTable("/proc/self/mountinfo") }

// mountedBy returns the mounts as a process's thread sees them.
func mountedBy(pid, tid int) ([]mounts.Mount, error) {
	return mountTable(procPath(pid, fmt.Sprintf("task/%d/mountinfo", tid)))
}

// mountTable reads a file of mountinfo, which never blocks.
func mountTable(file string) ([]mounts.Mount, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return mounts.ParseMountinfo(text)
}

// target is what the scene's owner has unmounted.
func target(r record) string {
	switch r.Name {
	case deviceName:
		return globalMount
	case thinName, waitName:
		return thinMount(r.Name)
	}
	return filepath.Join(graphRoot, containerID(r.Name, "first"), "merged")
}

// holds reports whether a thread has the target mounted, below whatever place.
func holds(r record, pid, tid int) (bool, error) {
	table, err := mountedBy(pid, tid)
	for _, m := range table {
		if strings.HasSuffix(m.MountPoint, target(r)) {
			return true, err
		}
	}
	return false, err
}

// ownerAndUnit reports whether init and the unit have the target mounted.
func ownerAndUnit(r record) (owner, unit bool, err error) {
	init, other := r.role(roleInit).PID, r.role("unit").PID
	owner, err1 := holds(r, init, init)
	unit, err2 := holds(r, other, other)
	return owner, unit, errors.Join(err1, err2)
}

// story says where the target is mounted: the same words for each host, so that
// two can be laid side by side.
func story(r record, owner, unit bool) string {
	word := map[bool]string{true: "mounted", false: "not mounted"}
	return fmt.Sprintf("%s: %s in %sinit, %s in %sunit", target(r), word[owner], prefix, word[unit], prefix)
}

func keepsLeak(r record) (string, bool, error) {
	owner, unit, err := ownerAndUnit(r)
	return story(r, owner, unit), !owner && unit, err
}

func keepsNothing(r record) (string, bool, error) {
	owner, unit, err := ownerAndUnit(r)
	return story(r, owner, unit), !owner && !unit, err
}

func keepsThread(r record) (string, bool, error) {
	pid := r.role("unit").PID
	threads, err := os.ReadDir(procPath(pid, "task"))
	for _, e := range threads {
		tid := 0
		if _, err := fmt.Sscan(e.Name(), &tid); err != nil || tid == pid {
			continue
		}
		if kept, err := holds(r, pid, tid); err == nil && kept { // threads of Go come and go
			return fmt.Sprintf("%s: mounted in thread %d of %sunit (pid %d)", target(r), tid, prefix, pid), true, nil
		}
	}
	return target(r) + ": mounted in no thread", false, err
}

func keepsBind(r record) (string, bool, error) {
	init := r.role(roleInit).PID
	table, err := mountedBy(init, init)
	for _, m := range table {
		if m.Type == "nsfs" {
			return fmt.Sprintf("%s is bound at %s", m.Root, m.MountPoint), true, err
		}
	}
	return "no namespace is bound", false, err
}

func keepsNamespaceFile(r record) (string, bool, error) {
	return openFiles(r, "mnt:[")
}

func keepsFiles(r record) (string, bool, error) {
	return openFiles(r, "/")
}

// openFiles names the unit's open files whose link begins so, but for what each process has.
func openFiles(r record, begin string) (string, bool, error) {
	pid := r.role("unit").PID
	entries, err := os.ReadDir(procPath(pid, "fd"))
	var found []string
	for _, e := range entries {
		link, err := os.Readlink(procPath(pid, "fd/"+e.Name()))
		if err == nil && strings.HasPrefix(link, begin) && !strings.HasPrefix(link, "/dev/") && !strings.HasPrefix(link, "/proc") {
			found = append(found, e.Name()+" -> "+link)
		}
	}
	return fmt.Sprintf("files of %sunit (pid %d): %s", prefix, pid, strings.Join(found, ", ")), len(found) > 0, err
}
