package mounts

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Device is the number of a superblock or block device.
type Device struct{ Major, Minor uint32 }

// DeviceOf takes a device number of stat(2) apart.
func DeviceOf(dev uint64) Device { return Device{unix.Major(dev), unix.Minor(dev)} }

// Device is the number of the superblock that m is a mount of.
func (m *Mount) Device() Device { return Device{m.Major, m.Minor} }

// String writes "8:16".
func (d Device) String() string {
	return strconv.FormatUint(uint64(d.Major), 10) + ":" + strconv.FormatUint(uint64(d.Minor), 10)
}

// ParseDevice reads "8:16"; ok is false if the text is no number of a device.
func ParseDevice(text string) (d Device, ok bool) {
	high, low, _ := strings.Cut(text, ":")
	major, err1 := strconv.ParseUint(high, 10, 32)
	minor, err2 := strconv.ParseUint(low, 10, 32)
	return Device{uint32(major), uint32(minor)}, err1 == nil && err2 == nil
}
