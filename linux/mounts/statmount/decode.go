// Package statmount lists and describes mounts by id, in any mount namespace,
// without a path: listmount(2) and statmount(2) never ask a file system's
// server, so a dead one does not hold them up.
package statmount

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"sexton.dev/linux/mounts"
)

// ErrFormat is wrapped by every error that means the kernel's answer was not as documented.
var ErrFormat = errors.New("unexpected format")

// A Mask says which fields of a mount are asked for.
type Mask uint64

// The groups of fields. A string costs some 2 µs a mount, the two numeric
// groups 0.7 µs together.
//
// Source: Linux 6.15 include/uapi/linux/mount.h, STATMOUNT_*.
const (
	Device    Mask = 0x1    // Major, Minor, part of Super; and the file system's magic
	Basic     Mask = 0x2    // ids, Options, Shared, Master, Unbindable
	Root      Mask = 0x8    // Root
	Point     Mask = 0x10   // MountPoint; "" if it cannot be reached from the namespace's root
	Type      Mask = 0x20   // Type
	Super     Mask = 0x80   // Super, with Device; Linux 6.11
	Subtype   Mask = 0x100  // Type becomes fuse.sshfs; Linux 6.13
	Source    Mask = 0x200  // Source; Linux 6.13
	supported Mask = 0x1000 // what the kernel knows; Linux 6.15

	texts = Root | Point | Type | Super | Subtype | Source
)

// Where struct statmount has its fields, which are in the machine's byte order.
// A [str] field is an offset into what follows the header.
const (
	atSize, atOptions, atMask             = 0, 4, 8
	atMajor, atMinor, atMagic, atSBFlags  = 16, 20, 24, 32
	atType, atID, atParent                = 36, 40, 48
	atOldID, atOldParent, atAttr          = 56, 60, 64
	atPropagation, atPeer, atMaster       = 72, 80, 88
	atRoot, atPoint, atSubtype, atSource  = 104, 108, 120, 124
	atSupported, header                   = 144, 512
	unbindable                            = 1 << 17 // MS_UNBINDABLE
	sbReadOnly, sbSync, sbDirSync, sbLazy = 1, 16, 128, 1 << 25
)

// Decode puts the fields of one answer of statmount into m. Texts that were asked
// for and not told are "" then; what was not asked for stays as it is. A superblock
// without options of its own answers no [Super], and then Super is "rw" or "ro". It
// returns what the answer had, and the magic number of the file system, 0
// without [Device].
//
// Errors wrap [ErrFormat]; m may then be half filled.
//
// Source: Linux 6.15 include/uapi/linux/mount.h, struct statmount; fs/namespace.c, do_statmount.
func Decode(answer []byte, asked Mask, m *mounts.Mount) (got Mask, magic uint64, err error) {
	return decode(answer, asked, m, copies{})
}

// words makes the texts of an answer.
type words interface {
	options(attr uint64) string
	text(of []byte) string
}

// copies makes each text anew.
type copies struct{}

func (copies) options(attr uint64) string { return attrText(attr) }
func (copies) text(of []byte) string      { return string(of) }

func u32(answer []byte, at int) uint32 { return binary.NativeEndian.Uint32(answer[at:]) }
func u64(answer []byte, at int) uint64 { return binary.NativeEndian.Uint64(answer[at:]) }

func decode(answer []byte, asked Mask, m *mounts.Mount, w words) (got Mask, magic uint64, err error) {
	if len(answer) < header {
		return 0, 0, fmt.Errorf("statmount: %w: %d bytes", ErrFormat, len(answer))
	}
	size := int(u32(answer, atSize))
	if size < header || size > len(answer) {
		return 0, 0, fmt.Errorf("statmount: %w: size %d of %d bytes", ErrFormat, size, len(answer))
	}
	got = Mask(u64(answer, atMask))
	if got&Basic != 0 {
		m.UniqueID, m.UniqueParent = u64(answer, atID), u64(answer, atParent)
		m.ID, m.Parent = int(u32(answer, atOldID)), int(u32(answer, atOldParent))
		m.Shared, m.Master = int(u64(answer, atPeer)), int(u64(answer, atMaster))
		m.Unbindable = u64(answer, atPropagation)&unbindable != 0
		m.Options = w.options(u64(answer, atAttr))
	}
	if got&Device != 0 {
		m.Major, m.Minor, magic = u32(answer, atMajor), u32(answer, atMinor), u64(answer, atMagic)
	}
	if asked&texts != 0 {
		if err := decodeStrings(answer[:size], asked, got, m, w); err != nil {
			return got, magic, err
		}
	}
	if asked&Super != 0 && got&Device != 0 {
		rest := ""
		if got&Super != 0 {
			rest = m.Super
		}
		m.Super = superText(u32(answer, atSBFlags), rest)
	}
	return got, magic, nil
}

func decodeStrings(answer []byte, asked, got Mask, m *mounts.Mount, w words) error {
	var text string
	for _, field := range []struct {
		mask Mask
		at   int
		into *string
	}{
		{Root, atRoot, &m.Root}, {Point, atPoint, &m.MountPoint}, {Type, atType, &m.Type},
		{Source, atSource, &m.Source}, {Subtype, atSubtype, &text}, {Super, atOptions, &m.Super},
	} {
		if asked&field.mask == 0 {
			continue
		}
		if got&field.mask == 0 {
			*field.into = ""
			continue
		}
		at := u32(answer, field.at)
		if uint64(header)+uint64(at) > uint64(len(answer)) {
			return fmt.Errorf("statmount: %w: text %#x begins at %d of %d bytes", ErrFormat, uint64(field.mask), at, len(answer))
		}
		rest := answer[header+int(at):]
		if n := len(*field.into); n < len(rest) && rest[n] == 0 && string(rest[:n]) == *field.into {
			continue // as it was
		}
		end := bytes.IndexByte(rest, 0)
		if end < 0 {
			return fmt.Errorf("statmount: %w: text %#x has no end", ErrFormat, uint64(field.mask))
		}
		*field.into = w.text(rest[:end])
	}
	if got&Subtype != 0 && got&Type != 0 && text != "" {
		m.Type += "." + text
	}
	return nil
}

// superText writes the options of a superblock as mountinfo does.
//
// Source: Linux 6.12 fs/proc_namespace.c, show_sb_opts.
func superText(flags uint32, rest string) string {
	text := "rw"
	if flags&sbReadOnly != 0 {
		text = "ro"
	}
	text = withWords(text, uint64(flags), []word{{sbSync, ",sync"}, {sbDirSync, ",dirsync"}, {sbLazy, ",lazytime"}})
	if rest != "" {
		text += "," + rest
	}
	return text
}

// Attributes of a mount. Source: mount_setattr(2); Linux 6.12 include/uapi/linux/mount.h, MOUNT_ATTR_*.
const (
	attrReadOnly  = 0x1
	attrAccess    = 0x70 // how access times are kept; 0 is relatime
	attrIDMapped  = 0x100000
	attrNoSymlink = 0x200000
)

// attrText writes the attributes of a mount as mountinfo does.
//
// Source: Linux 6.12 fs/proc_namespace.c, show_mnt_opts; fs/namespace.c, mnt_to_attr_flags.
func attrText(attr uint64) string {
	text := "rw"
	if attr&attrReadOnly != 0 {
		text = "ro"
	}
	text = withWords(text, attr, []word{{2, ",nosuid"}, {4, ",nodev"}, {8, ",noexec"}, {0x10, ",noatime"}, {0x80, ",nodiratime"}})
	if attr&attrAccess == 0 {
		text += ",relatime"
	}
	return withWords(text, attr, []word{{attrNoSymlink, ",nosymfollow"}, {attrIDMapped, ",idmapped"}})
}

type word struct {
	bit  uint64
	text string
}

func withWords(text string, bits uint64, words []word) string {
	for _, w := range words {
		if bits&w.bit != 0 {
			text += w.text
		}
	}
	return text
}
