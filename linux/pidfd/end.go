package pidfd

import (
	"context"

	"golang.org/x/sys/unix"
)

// End sends SIGKILL, if the process has the name that the caller saw: one that
// executed another program meanwhile is not what was meant. Never to a process 1.
//
// It needs CAP_KILL over the process's user namespace, or the process's own uid.
func (p *Process) End(ctx context.Context, comm string) error {
	stat, err := p.stat()
	switch {
	case err != nil:
		return err
	case p.pid == 1:
		return p.refuse("it is the host's own init")
	case stat.Comm != comm:
		return p.refuse("it is %q by now, not %q: it has executed another program", stat.Comm, comm)
	}
	return p.send(ctx, unix.SIGKILL)
}
