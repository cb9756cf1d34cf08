//go:build cgo

package ptrace

const cgo = true // as the race detector makes it
