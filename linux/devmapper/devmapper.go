// Package devmapper asks device-mapper by its ioctls: which devices there are, what
// they are made of, how full a thin pool is and which devices it holds. No dmsetup
// and no udev is needed. [Control] looks; change.go has what changes a device.
package devmapper

import (
	"errors"
	"fmt"
)

var (
	// ErrNotLoaded is the error where the kernel has no device-mapper now, so no
	// device of it: to open its node would load the module.
	ErrNotLoaded = errors.New("the kernel has no device-mapper loaded")
	// ErrNoNode is the error where the kernel has device-mapper and no node leads to it.
	ErrNoNode = errors.New("no node leads to device-mapper")
	// ErrFormat is the error of an answer or a line that is not as documented.
	ErrFormat = errors.New("not as device-mapper writes it")
)

// Node is where udev and devtmpfs put the node of device-mapper.
const Node = "/dev/mapper/control"

// A Device is one mapped device.
type Device struct {
	Name     string
	UUID     string // "" if whoever made it gave none, as docker does
	Number   Number
	Open     int    // who has it open: mounts, devices on top of it, files
	Event    uint32 // counts what targets told, as a pool that is full
	Live     bool   // it has a table
	Deferred bool   // removed as soon as nobody has it open
	Suspend  bool   // what is written to it waits
	ReadOnly bool
	Targets  []Target
	Below    []Number // what it stands on
}

// A Target is one line of a device's table.
type Target struct {
	Start, Length uint64 // sectors of 512 bytes
	Type          string // thin-pool, thin, linear, ...
	Table         string // its arguments
	Status        string // how it is
}

// A Number is that of a block device. The zero value is none.
type Number struct{ Major, Minor uint32 }

func (n Number) String() string { return fmt.Sprintf("%d:%d", n.Major, n.Minor) }

// pack gives the number as an ioctl has it; unpack reads it.
//
// Source: Linux 6.12 include/linux/kdev_t.h, new_encode_dev.
func (n Number) pack() uint64 {
	return uint64(n.Minor&0xff | n.Major<<8 | n.Minor&^0xff<<12)
}

func unpack(d uint64) Number {
	return Number{uint32(d) >> 8 & 0xfff, uint32(d)&0xff | uint32(d)>>12&^uint32(0xff)}
}
