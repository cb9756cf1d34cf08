// The runtime would hold files of the cgroup open to follow its CPU limit.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command sexton-init is a container's process 1.
package main

import "sexton.dev/pid1"

func main() { pid1.Main() }
