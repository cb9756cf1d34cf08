// Package probe asks the kernel what no table of its tells: whether a mount is
// locked, by a call that cannot succeed, and by which rule it unmounts, by an
// unmount in a mount namespace made for it.
//
// Both are more than looking. Each runs in a process that can be abandoned.
package probe
