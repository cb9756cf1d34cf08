// Package thinpoolmissing finds thin pools that a daemon was told to use and that are not there.
//
// # Check thin-pool-missing
//
// thin-pool-missing: a thin pool that docker or containerd was told to use does not exist
//
// "Error starting daemon: error initializing graphdriver: devicemapper: Non
// existing device docker-thinpool": the mapped device that daemon.json or
// config.toml names is not in the kernel, or is no thin pool. docker does not
// start, and on a node the kubelet with it; containerd starts without its
// devmapper snapshotter. The pool may be there and not active, as when a disk
// came late; it may be removed; or the data root was moved, and docker is to use
// a pool again of which it has no record.
//
// A finding is such a pool. It says which configuration names the pool, which volume group it
// would be in, what LVM's last record of that group has, and whether the kernel's
// log tells of a pool that it refused to make. The advice is a
// runbook in the order in which to try: what destroys nothing first, then what
// to save, then the two recoveries and what each of them destroys. sexton
// carries out none of it: which data is still wanted no program can tell.
//
// Critical when the daemon does not run, else warning: it runs by what it was
// told before, and does not start again.
//
// Sources: moby v24 daemon/graphdriver/devmapper/deviceset.go; docs.docker.com,
// "Use the Device Mapper storage driver"; containerd 2.0 docs/snapshotters/devmapper.md; lvm(8).
package thinpoolmissing
