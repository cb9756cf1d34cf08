package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/devmapper"
)

// The fault of thin pools: devices of device-mapper are those of the whole kernel, so
// a process outside of the fault's namespaces, the keeper, makes them, and removes
// them when the fault's init has ended.
var thinPool = Fault{
	Name:    thinName,
	Summary: "a thin device that cannot be deleted: a unit still mounts it; a full pool; one whose disk failed",
	Want: []string{
		"thin-delete-failed: device 1 of sexton-lab-pool, held by sexton-lab:unit",
		"thin-delete-failed: device 99, which no pool holds",
		"thin-pool-space: sexton-lab-full is full, sexton-lab-bad must be checked",
		"leaked-mount: the container's file system is still mounted in sexton-lab:unit's namespace",
		"held-device: its device is in use, and its owner does not mount it",
	},
	Risk: "destructive",
	Remains: []string{
		"thin-delete-failed: device 99: the kernel's log tells of it for as long as it goes back",
		"thin-pool-space: a full pool is made larger, and a broken one repaired, by a person",
	},
	Harm:  "three small pools, six loop devices in memory and under 60 MB of it",
	ready: thinReady,
	build: func(s *site) error { return thinBuild(s, thinLook, func(*site) error { return nil }) },
	look:  thinLook,
}

const thinName = "thin-pool"

// The devices of the fault.
const (
	thinGoodPool = "sexton-lab-pool"
	thinFullPool = "sexton-lab-full"
	thinBadPool  = "sexton-lab-bad"
	thinForeign  = "sexton-lab-foreign" // which the kernel refuses to make
	thinHeld     = "sexton-lab-thin-1"
	thinWritten  = "sexton-lab-thin-2" // of the full pool
)

// A thinScene is what the keeper does for a fault.
type thinScene struct {
	devices      []string // all, those on top first
	mounted      string   // the one that init mounts
	make, breaks func(*keeper) error
}

var thinScenes = map[string]thinScene{
	thinName: {[]string{thinHeld, thinWritten, thinGoodPool, thinFullPool, thinBadPool}, thinHeld, (*keeper).make, (*keeper).breaks},
	waitName: {[]string{waitBallast, waitHeld, waitPool}, waitHeld, (*keeper).makeWait, func(*keeper) error { return nil }},
}

// thinMount is where docker mounts a container's device.
func thinMount(fault string) string {
	return filepath.Join("/var/lib/docker/devicemapper/mnt", containerID(fault, "first"))
}

func thinReady(Options) error {
	if _, err := os.Stat("/sys/module/dm_thin_pool"); err != nil {
		return hint(errors.New("this kernel has no thin pools, or their module is not loaded"), "modprobe dm-thin-pool, on a machine that may be broken; make test-vm has a kernel with it")
	}
	_, err := program("mke2fs")
	return err
}

// thinBuild starts init, which waits, then the keeper, which makes the devices, and
// lets init mount one. then is what is left to do when all of them are there.
func thinBuild(s *site, look func(record) (sight, error), then func(*site) error) error {
	init, err := s.startInit("mount-init", syscall.CLONE_NEWNS, s.rec.Name, s.dir.path)
	if err != nil {
		return err
	}
	p := s.rec.role(roleInit)
	keeper, err := s.start("keeper", "thin-keeper", &syscall.SysProcAttr{Setsid: true}, strconv.Itoa(p.PID), strconv.FormatUint(p.Start, 10), s.rec.Name)
	if err != nil {
		return err
	}
	for _, turn := range []struct {
		who  *play
		step string
	}{{keeper, "made"}, {init, "kept"}, {keeper, "broken"}} {
		if err := turn.who.next(s.ctx, turn.step); err != nil {
			return err
		}
	}
	if err := s.noteChildren("unit", "unit"); err != nil {
		return err
	}
	if err := then(s); err != nil {
		return err
	}
	if err := s.stands(init, look); err != nil {
		return err
	}
	return keeper.order()
}

// thinLook reads what sysfs and the unit's mounts show, which never blocks.
func thinLook(r record) (sight, error) {
	text, kept, err := keepsLeak(r)
	names, namesErr := mappedNames(r.Name)
	there := strings.Contains(names, thinHeld+" ")
	return sight{text: fmt.Sprintf("%s; devices: %s", text, strings.TrimSpace(names)), all: kept && there, any: kept || there}, errors.Join(err, namesErr)
}

// mappedNames lists a fault's devices that are there, with a space behind each.
func mappedNames(fault string) (string, error) {
	files, err := filepath.Glob("/sys/block/dm-*/dm/name")
	var b strings.Builder
	for _, file := range files {
		name, err := os.ReadFile(file)
		if text := string(bytes.TrimSpace(name)); err == nil && slices.Contains(thinScenes[fault].devices, text) { // not one that goes just now
			b.WriteString(text + " ")
		}
	}
	return b.String(), err
}

// dropDevices removes the devices of a fault, those on top first, and proves that none
// is left. What is in use a little longer, as a namespace ends, is waited for.
func dropDevices(fault string) error {
	names, err := mappedNames(fault)
	if err != nil || names == "" {
		return err
	}
	dm, err := devmapper.Open("/proc", devmapper.Node)
	if err != nil {
		return err
	}
	defer dm.Close()
	deadline := time.Now().Add(settle / 2)
	for _, name := range thinScenes[fault].devices {
		for errors.Is(dm.Remove(name), unix.EBUSY) && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
	}
	if names, err = mappedNames(fault); err == nil && names != "" {
		err = hint(fmt.Errorf("devices of device-mapper are left: %s", strings.TrimSpace(names)), "end who has them open: sexton holders NAME; then run down again")
	}
	return err
}

// thinNode is the node of a mapped device, as the kernel names it.
func thinNode(name string) (string, error) {
	c, err := devmapper.Open("/proc", devmapper.Node)
	if err != nil {
		return "", err
	}
	defer c.Close()
	d, err := c.Named(name)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/dev/dm-%d", d.Number.Minor), nil
}
