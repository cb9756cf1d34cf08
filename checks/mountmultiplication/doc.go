// Package mountmultiplication finds mounts that double with every restart.
//
// # Check mount-multiplication
//
// mount-multiplication: the same mount again and again on one place, and the distance to fs.mount-max
//
// A program that binds a shared directory onto itself, or a container with
// Bidirectional propagation that does so at each start, doubles what is mounted
// there: 2, 4, 8 up to tens of thousands. Each mount and unmount then takes
// longer, systemd reads them all at each change, and at fs.mount-max mounts of one
// namespace every further mount fails with ENOSPC: "no space left on device".
//
// A finding is a namespace in which one part of one superblock is mounted on one
// place 4 times or more, and whose number of mounts matters: the number is a power
// of two, the signature of doubling, or 64 and more. That 80 % of
// fs.mount-max are used is a finding by itself.
//
// Critical if so many are used, else warning.
//
// Sources: Documentation/admin-guide/sysctl/fs.rst, mount-max; talos#14216, containerd#5113.
package mountmultiplication
