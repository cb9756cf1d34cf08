// Package mounts has the kernel's mount tables as plain values, and parses the
// text form of them. It opens nothing: package census reads a host.
package mounts

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrFormat is wrapped by every error that means the kernel's text was not as documented.
var ErrFormat = errors.New("unexpected format")

// A Mount is one line of /proc/PID/mountinfo, or one answer of statmount. All
// strings but Super are unescaped and may hold any byte.
//
// The kernel counts ID, Parent, Shared and Master in 31 bits, in the newest
// version too. Source: Linux 6.18 fs/namespace.c, mnt_alloc_id, mnt_alloc_group_id.
type Mount struct {
	ID           int // unique while the mount lives, used again afterwards
	Parent       int
	UniqueID     uint64 // never used again; 0 where mountinfo was read, which has it not
	UniqueParent uint64 // the parent's UniqueID, which may be out of sight
	Major        uint32
	Minor        uint32
	Root         string // the part of the file system that is mounted
	MountPoint   string // below the reading process's root directory
	Options      string // of the mount
	Shared       int    // peer group; 0: not shared
	Master       int    // peer group that this mount receives from; 0: none
	Unbindable   bool
	Type         string // fuse.sshfs: type and subtype
	Source       string
	Super        string // options of the superblock, still escaped: see [SplitSuper]; an overlay's may pass 64 KiB
}

// IsUnique reports whether the id of a mount is a unique one: those are from 2^31 on,
// those of mountinfo below.
//
// Source: Linux 6.8 fs/namespace.c, MNT_UNIQUE_ID_OFFSET.
func IsUnique(id uint64) bool { return id >= 1<<31 }

// ParseMountinfo parses one /proc/PID/mountinfo, lines of any length.
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//	ID parent major:minor root point options fields... - type source super
//
// Source: proc_pid_mountinfo(5); Linux 6.12 fs/proc_namespace.c, show_mountinfo.
func ParseMountinfo(text []byte) ([]Mount, error) {
	const shortest = len("1 1 0:1 / / rw - a b\n") // so that a text of newlines does not ask for gigabytes
	out := make([]Mount, 0, min(bytes.Count(text, []byte{'\n'}), len(text)/shortest))
	for line := range bytes.Lines(text) {
		m, err := parseLine(string(bytes.TrimSuffix(line, []byte{'\n'})))
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func parseLine(line string) (Mount, error) {
	bad := func(field string) (Mount, error) {
		return Mount{}, fmt.Errorf("mountinfo: %w: %s in %.120q", ErrFormat, field, line)
	}
	head, tail, ok := strings.Cut(line, " - ")
	fields, last := strings.Split(head, " "), strings.Split(tail, " ")
	if !ok || len(fields) < 6 || len(last) < 2 {
		return bad("fields")
	}
	m := Mount{
		Root: Unescape(fields[3]), MountPoint: Unescape(fields[4]), Options: Unescape(fields[5]),
		Type: Unescape(last[0]), Source: Unescape(last[1]),
	}
	if len(last) > 2 {
		m.Super = strings.Join(last[2:], " ")
	}
	id, err1 := strconv.ParseUint(fields[0], 10, 31)
	parent, err2 := strconv.ParseUint(fields[1], 10, 31)
	if err1 != nil || err2 != nil {
		return bad("mount id")
	}
	m.ID, m.Parent = int(id), int(parent)
	device, ok := ParseDevice(fields[2])
	if !ok {
		return bad("device")
	}
	m.Major, m.Minor = device.Major, device.Minor
	for _, tag := range fields[6:] {
		key, value, _ := strings.Cut(tag, ":")
		n, err := strconv.ParseUint(value, 10, 31)
		switch {
		case key == "unbindable":
			m.Unbindable = true
		case key == "shared" && err == nil:
			m.Shared = int(n)
		case key == "master" && err == nil:
			m.Master = int(n)
		case key == "shared" || key == "master":
			return bad("peer group")
		}
	}
	return m, nil
}

// SplitSuper splits the options of a superblock and unescapes each.
//
// The order matters: file systems write a comma in a value as \054, so a text
// that is unescaped first lets the name of a directory forge an option.
//
// Source: Linux 6.12 include/linux/seq_file.h, seq_show_option.
func SplitSuper(super string) []string {
	if super == "" {
		return nil
	}
	options := strings.Split(super, ",")
	for i := range options {
		options[i] = Unescape(options[i])
	}
	return options
}

// Unescape undoes the kernel's octal escapes of space, tab, newline, '#' and backslash, and of comma and '=' in options.
//
// Source: Linux 6.12 fs/proc_namespace.c, mangle; fs/seq_file.c, mangle_path.
func Unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
