// Package thinpoolspace finds thin pools that are full, nearly so, or do not work.
//
// # Check thin-pool-space
//
// thin-pool-space: a thin pool that is full, nearly full, read-only or broken
//
// docker's devicemapper driver, containerd's devmapper snapshotter and LVM keep
// the file systems of containers in a thin pool, which promises more than it
// has. When its data is full, writes wait for a minute or for ever, in state D,
// and then fail: each container on it has a broken file system at the same
// time. When its metadata is full the pool turns read-only, and must be checked
// offline before it is written again. No df shows either.
//
// A finding is a pool that is in such a mode or nearly full. It says how much of data and metadata is in use and of what size the
// pool is, what happens to writes, in which mode it is and why, whether it grows
// by itself (LVM's thin_pool_autoextend_threshold, in lvm.conf or in the pool's
// profile, which dmeventd carries out), and who was told to use it. docker makes
// no container when less than a tenth is free (dm.min_free_space).
//
// Of a full pool that lets writes wait (queue_if_no_space) it names who waits: the
// processes in state D, in both looks, that have something open on one of its devices,
// or on a file system or an overlay there; where they stand in the kernel; and when
// no_space_timeout, a parameter of dm_thin_pool, turns the waiting into errors, which
// counts from when the kernel's log says that the pool became full. To write to that
// parameter moves nothing for a pool that is full already.
//
// Critical when the pool is full, read-only, failed or must be checked, or when
// 95 % of data or metadata is in use. Else warning: from 80 % on, or from where
// it tells that little is left (its low water mark).
//
// Sources: Linux 6.12 Documentation/admin-guide/device-mapper/thin-provisioning.rst;
// drivers/md/dm-thin.c; lvmthin(7); moby v24 daemon/graphdriver/devmapper.
package thinpoolspace
