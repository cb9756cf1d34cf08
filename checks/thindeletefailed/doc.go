// Package thindeletefailed finds thin devices that could not be deleted, and why.
//
// # Check thin-delete-failed
//
// thin-delete-failed: the deletion of a thin device failed: it is in use, or was gone already
//
// A finding is a device that the kernel's log says was not deleted. docker rm and
// the snapshotter's cleanup delete the thin device of a container.
// The kernel's log has the same line whatever the reason was: "device-mapper: thin:
// Deletion of thin device 86 failed." The errno that tells is given to the daemon
// alone. What can be seen tells as well:
//
//   - EBUSY: the device is mapped. If a mount namespace has it mounted, or a file
//     keeps it, who does that is named; "Device is Busy" is what docker says, and
//     its container stays Dead. If nobody has it open, the mapping is what is left.
//   - ENODATA: no pool holds a device of that id, by the pools' own metadata: it
//     was gone already, or a later try deleted it.
//   - the pool was read-only or had failed: it takes no such message then.
//
// The log does not say which pool was meant. Where several have a device of that
// id there is a finding for each, and none is deleted by heal.
//
// Info for a failure older than an hour (--since), for a device that its owner
// mounts and for one that is gone. Else warning.
//
// Sources: Linux 6.12 drivers/md/dm-thin.c, process_delete_mesg; dm-thin-metadata.c,
// __delete_device; moby v24 daemon/graphdriver/devmapper/deviceset.go.
package thindeletefailed
