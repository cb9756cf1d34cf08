// Command sexton finds, explains and heals what keeps a container host stuck.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"sexton.dev/cli"
)

func main() {
	// One processor is enough for a reader that mostly waits for the kernel; more
	// of them spin. A heap that starts small need not be collected in the first
	// milliseconds. Both are worth a third of the processor time of a scan.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	env := cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
	code := cli.Main(ctx, env, os.Args[1:])
	stop()
	os.Exit(code)
}
