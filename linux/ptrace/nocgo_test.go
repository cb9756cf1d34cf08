//go:build !cgo

package ptrace

const cgo = false
