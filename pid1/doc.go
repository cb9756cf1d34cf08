// Package pid1 is a container's process 1: it reaps, forwards signals, ends the
// whole process tree at the end, and leaves with the main child's status.
//
// The process itself is assembly from its first instruction to its last, at
// rest in two pages: entry_linux_*.s. What needs thought is done by children of
// the same program, which are Go and short-lived:
//
//	start    reads the options and makes the main child   start.go spawn.go
//	hooks    runs what comes before it                    hooks.go
//	stop     a stop signal came                           stop.go drain.go
//	ticked   a minute went by                             tick.go
//	left     the main child is gone                       left.go
//
// Where the assembly cannot be, the same steps are the Go loop: loop.go.
package pid1
