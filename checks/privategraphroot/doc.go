// Package privategraphroot finds graph roots that cut off the unmounts below them.
//
// # Check private-graph-root
//
// private-graph-root: the directory of all layers is a private mount, so no unmount in it reaches a copy
//
// Docker before 18.06 binds its graph root (/var/lib/docker/overlay2) to itself
// and makes that mount private, against leaks into other namespaces. It does
// the contrary. Who starts later, a unit with a mount namespace of its own or a
// container with the host's directories, gets a copy of every layer's mount all
// the same, and with a private mount in the parent chain no unmount reaches
// those copies. "device or resource busy" at docker rm comes of it, and disk
// space that stays in use. Podman and CRI-O still do it (containers/storage)
// unless skip_mount_home is set.
//
// A finding is a graph root that is a private mount on a shared one, once for
// all namespaces. It names who has a copy of a layer now.
//
// Info as long as no copy is left of a layer that is unmounted where it
// belongs, else warning: there is one in another namespace.
//
// Sources: moby#36047; containers-storage.conf(5); Linux 6.12
// Documentation/filesystems/sharedsubtree.rst.
package privategraphroot
