package devmapper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	miscMajor    = 10
	controlMinor = 236 // MAPPER_CTRL_MINOR, include/linux/miscdevice.h
	firstAnswer  = 16 << 10
	mostAnswer   = 16 << 20 // bytes; 40,000 devices are 3 MB
)

// Commands, by the numbers of their ioctls.
const (
	cmdList    = 2
	cmdCreate  = 3
	cmdRemove  = 4
	cmdSuspend = 6
	cmdInfo    = 7
	cmdLoad    = 9
	cmdDeps    = 11
	cmdStatus  = 12
	cmdMessage = 14
)

// A Control is device-mapper, open.
type Control struct{ fd int }

// Open opens device-mapper by its node, that of the host being [Node], if the kernel
// has it already: proc is a /proc, whose file misc tells. Otherwise the error is
// [ErrNotLoaded], and no node is opened. Without a node it is [ErrNoNode].
//
// Each call but this one needs CAP_SYS_ADMIN in the host's user namespace.
//
// Source: Linux 6.12 drivers/md/dm-ioctl.c, fs/char_dev.c, chrdev_open.
func Open(proc, node string) (*Control, error) {
	misc, err := os.ReadFile(proc + "/misc")
	if err != nil {
		return nil, err
	}
	if !loaded(misc) {
		return nil, ErrNotLoaded
	}
	path, err := unix.Open(node, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("%w: %s does not exist", ErrNoNode, node)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", node, err)
	}
	defer unix.Close(path)
	var st unix.Stat_t
	if err := unix.Fstat(path, &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", node, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(miscMajor, controlMinor) {
		return nil, fmt.Errorf("%w: %s is another file", ErrNoNode, node)
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", path), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", node, err)
	}
	return &Control{fd}, nil
}

// loaded reads /proc/misc: "236 device-mapper".
func loaded(misc []byte) bool {
	for line := range bytes.Lines(misc) {
		f := bytes.Fields(line)
		if len(f) == 2 && string(f[0]) == fmt.Sprint(controlMinor) && string(f[1]) == "device-mapper" {
			return true
		}
	}
	return false
}

// Close closes it.
func (c *Control) Close() error { return unix.Close(c.fd) }

// call does one ioctl, with as much room for the answer as it takes.
func (c *Control) call(cmd uintptr, h header, data []byte) (header, []byte, error) {
	for size := firstAnswer; ; size *= 8 {
		b := h.encode(size, data)
		number := 3<<30 | headerSize<<16 | 0xfd<<8 | cmd // _IOWR(DM_IOCTL, cmd, struct dm_ioctl)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd), number, uintptr(unsafe.Pointer(&b[0]))); errno == unix.EINTR {
			continue
		} else if errno != 0 {
			return header{}, nil, errno
		}
		answer, rest, err := decode(b)
		if err != nil || answer.flags&flagFull == 0 {
			return answer, rest, err
		}
		if size >= mostAnswer {
			return header{}, nil, fmt.Errorf("%w: an answer of over %d MiB", ErrFormat, mostAnswer>>20)
		}
	}
}

// List gives the numbers of all devices.
func (c *Control) List() ([]Number, error) {
	_, rest, err := c.call(cmdList, header{}, nil)
	if err != nil {
		return nil, fmt.Errorf("list the devices: %w", err)
	}
	return parseNames(rest)
}

// Look tells of one device all but how its targets are. A device that is gone gives ENXIO.
func (c *Control) Look(n Number) (Device, error) { return c.look(header{device: n}) }

// Named is [Control.Look] by name.
func (c *Control) Named(name string) (Device, error) {
	if len(name) == 0 || len(name) > maxName || strings.Contains(name, "\x00") {
		return Device{}, fmt.Errorf("no device has a name of %d bytes: %w", len(name), unix.ENXIO)
	}
	return c.look(header{name: name})
}

func (c *Control) look(which header) (Device, error) {
	h, _, err := c.call(cmdInfo, which, nil)
	if err != nil {
		return Device{}, fmt.Errorf("look at %s: %w", which, err)
	}
	d := Device{Name: h.name, UUID: h.uuid, Number: h.device, Open: int(h.open), Event: h.event,
		Live: h.flags&flagLive != 0, Deferred: h.flags&flagDeferred != 0, Suspend: h.flags&flagSuspend != 0, ReadOnly: h.flags&flagReadOnly != 0}
	if !d.Live {
		return d, nil
	}
	h, rest, err := c.call(cmdStatus, header{device: d.Number, flags: flagTable | flagNoFlush}, nil)
	if err == nil {
		d.Targets, err = parseTargets(rest, h.targets)
	}
	if err != nil {
		return d, fmt.Errorf("read the table of %s: %w", d.Name, err)
	}
	if _, rest, err = c.call(cmdDeps, header{device: d.Number}, nil); err == nil {
		d.Below, err = parseDeps(rest)
	}
	if err != nil {
		return d, fmt.Errorf("read what %s stands on: %w", d.Name, err)
	}
	return d, nil
}

// Status adds to a device how its targets are. It may wait for a pool that is at
// work, so it is for a process that can be given up. A pool writes nothing for it.
//
// Source: Linux 6.12 drivers/md/dm-thin.c, pool_status: without DM_NOFLUSH_FLAG it commits.
func (c *Control) Status(d Device) (Device, error) {
	h, rest, err := c.call(cmdStatus, header{device: d.Number, flags: flagNoFlush}, nil)
	if err != nil {
		return d, fmt.Errorf("read the status of %s: %w", d.Name, err)
	}
	all, err := parseTargets(rest, h.targets)
	if err != nil {
		return d, fmt.Errorf("read the status of %s: %w", d.Name, err)
	}
	if len(all) != len(d.Targets) {
		return d, fmt.Errorf("%w: %s has another table by now", ErrFormat, d.Name)
	}
	for i := range all {
		d.Targets[i].Status = all[i].Table
	}
	return d, nil
}

func (h header) String() string {
	if h.name != "" {
		return h.name
	}
	return h.device.String()
}
