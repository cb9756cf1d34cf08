package mounts

import (
	"path"
	"slices"
	"strings"
)

// OverlayMagic is the type of overlays, as statfs and statmount give it.
//
// Source: Linux 6.12 include/uapi/linux/magic.h, OVERLAYFS_SUPER_MAGIC.
const OverlayMagic = 0x794c7630

// Directories lists what the superblock options of a mount of this type say of an
// overlay's directories, in the options of these names: lowerdir has several.
// Options are as mountinfo has them, so a comma in a name is escaped and splits
// nothing. Other types have none.
//
// Source: Documentation/filesystems/overlayfs.rst.
func Directories(fsType, super string, options ...string) []string {
	if fsType != "overlay" {
		return nil
	}
	var out []string
	for _, option := range SplitSuper(super) {
		name, value, _ := strings.Cut(option, "=")
		name = strings.TrimSuffix(name, "+") // lowerdir+=
		if !slices.Contains(options, name) {
			continue
		}
		for dir := range strings.SplitSeq(value, ":") {
			if dir != "" {
				out = append(out, dir)
			}
		}
	}
	return out
}

// LayerRoot is the directory in which a runtime keeps the layers of an overlay with
// these superblock options, one directory each, as /var/lib/docker/overlay2; "" if
// it has no upper one.
func LayerRoot(fsType, super string) string {
	for _, upper := range Directories(fsType, super, "upperdir") {
		return path.Dir(path.Dir(upper))
	}
	return ""
}
