package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sexton.dev/runtimes/stackdump"
)

// askFlags say how a process is asked for its dump.
type askFlags struct {
	twice             bool
	interval, timeout time.Duration
}

func (f *askFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.twice, "twice", false, "with a PID: take a second dump, and say what has not moved")
	cmd.Flags().DurationVar(&f.interval, "interval", time.Minute, "time between the two dumps")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 10*time.Second, "most time to wait for a dump")
}

// pid tells whether the argument is one: it has digits alone. A file of such a name is ./7.
func (f *askFlags) pid(cmd *cobra.Command, arg string) (pid int, ok bool, err error) {
	pid, bad := strconv.Atoi(arg)
	ok = bad == nil && pid > 0
	switch {
	case ok && (f.timeout <= 0 || f.interval < 0):
		err = withHint(wrongUse{errors.New("--timeout and --interval must not be negative")}, "--timeout 10s --interval 60s")
	case !ok && (f.twice || cmd.Flags().Changed("interval") || cmd.Flags().Changed("timeout")):
		err = withHint(wrongUse{errors.New("--twice, --interval and --timeout are for a PID")}, "sexton stacks --twice PID; two dumps in one file are compared without them")
	}
	return pid, ok, err
}

// askStacks takes the dumps of a process and reads them. If the second one cannot be
// had, it returns what the first one says, and why.
func (s *session) askStacks(ctx context.Context, pid int, ask *askFlags) (*stacksReport, error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	d := dumps{s: s, ctx: ctx, pid: pid, left: 1, askFlags: *ask}
	if ask.twice {
		d.left = 2
	}
	defer d.close()
	r, err := stacksOf(&d, fmt.Sprintf("the dump of pid %d", pid), d.layer)
	if len(d.taken) == 0 {
		return nil, d.err
	}
	if r == nil {
		return nil, err
	}
	r.Taken = d.taken
	return r, d.err
}

// dumps is the text of one or two dumps of a process. Each is taken when it is read.
type dumps struct {
	askFlags
	s     *session
	ctx   context.Context
	pid   int
	left  int
	now   *stackdump.Taken
	taken []stackdump.Dump
	err   error // why there is not one more
}

func (d *dumps) layer() string {
	if len(d.taken) == 0 {
		return ""
	}
	return d.taken[0].Layer
}

func (d *dumps) close() {
	if d.now != nil {
		d.now.Close()
		d.now = nil
	}
}

func (d *dumps) Read(b []byte) (int, error) {
	if d.now == nil {
		if d.left == 0 {
			return 0, io.EOF
		}
		d.left--
		if d.err = d.next(); d.err != nil {
			d.left = 0
			return 0, io.EOF // what was read before is told
		}
	}
	n, err := d.now.Read(b)
	if err == io.EOF {
		d.close()
		return n + copy(b[n:], "\n"), nil
	}
	return n, err
}

// next takes a dump, the second one after the interval.
func (d *dumps) next() error {
	var same uint64
	if len(d.taken) > 0 {
		same = d.taken[0].Start
		fmt.Fprintf(d.s.Stderr, "the second dump is taken in %v\n", d.interval)
		select {
		case <-d.ctx.Done():
			return fmt.Errorf("the second dump: %w", d.ctx.Err())
		case <-time.After(time.Until(d.taken[0].Asked.Add(d.interval))):
		}
	}
	t, err := stackdump.Take(d.ctx, d.pid, same, d.timeout)
	if err != nil {
		return err
	}
	d.now, d.taken = t, append(d.taken, t.Dump)
	fmt.Fprintf(d.s.Stderr, "%s (pid %d) wrote its dump: %s\n", t.Layer, d.pid, printable(t.From))
	return nil
}
