// Command sexton finds, explains and heals what keeps a container host stuck.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"sexton.dev/cli"
)

func main() {
	// A heap that starts small need not be collected in the first milliseconds.
	// One of a host with 100,000 mounts is, or it grows to five times what is used.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(80 << 20)
	env := cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
	os.Exit(cli.Main(context.Background(), env, os.Args[1:]))
}
