package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sexton.dev/linux/kmsg"
)

// mostKernelEvents bounds what is kept of a log that has nothing but trouble in it.
const mostKernelEvents = 10000

func (s *session) kmsgCommand() *cobra.Command {
	var out outputFlags
	var follow bool
	cmd := &cobra.Command{
		Use:   "kmsg [FILE | -]",
		Short: "read the kernel log: kills, hung tasks, failing devices, and whose they are",
		Long: `kmsg reads the kernel log and prints what went wrong: processes that were killed
for want of memory, tasks and CPUs that are stuck, thin pools, file systems and
devices with errors, net devices and overlays that are still in use, forks that a
pids limit refused. Where the log names a cgroup it tells the container and pod.

It reads /dev/kmsg to its end; --follow waits for more. Nothing is cleared. FILE,
or - for standard input, is a log as dmesg, journalctl or syslog write it. Dates
without a zone are taken to be in this machine's.

What is repeated within an hour is counted, but for kills; with --follow each is
printed. It exits with 0 whatever it finds, and with 1 if it cannot read.`,
		Example: `  sexton kmsg
  sexton kmsg --follow -o jsonl
  journalctl -k -b -1 | sexton kmsg -
  sexton kmsg -o json | jq '.items[] | select(.family == "oom")'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactly(1, "at most one FILE")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			file := kmsg.Device
			if len(args) > 0 {
				file = args[0]
			}
			if follow && (out.format == "json" || out.format == "yaml") {
				return withHint(wrongUse{fmt.Errorf("--follow prints no end of a list: -o %s", out.format)}, "-o jsonl")
			}
			return s.kernelLog(cmd.Context(), out, file, follow)
		},
	}
	out.add(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "print events as they come, until interrupted or the input ends")
	return cmd
}

// kernelLog reads a log and prints its events.
func (s *session) kernelLog(ctx context.Context, out outputFlags, file string, follow bool) error {
	fold := kmsg.Folder{Most: mostKernelEvents}
	take := func(e kmsg.Event) error { fold.Add(e); return nil }
	if follow {
		take = func(e kmsg.Event) error { return s.printKernelEvent(out, e) }
	}
	lost, err := s.readKernelLog(ctx, file, follow, take)
	if err != nil && (!errors.Is(err, context.Canceled) || !follow) {
		err = fmt.Errorf("read %s: %w", file, err)
	} else {
		err = nil
	}
	if follow {
		return err
	}
	fold.Sort()
	list := kernelLog{APIVersion: apiVersion, Kind: "KernelLog", Left: fold.Left, Lost: lost}
	for _, e := range fold.Events {
		list.Items = append(list.Items, kernelItem(e))
	}
	if err != nil && len(list.Items) == 0 {
		return err
	}
	if fold.Left > 0 {
		fmt.Fprintf(s.Stderr, "%d events more than the %d that are shown\n", fold.Left, mostKernelEvents)
	}
	return errors.Join(s.print(out, list, itemsOf(list.Items), drawKernelLog(fold.Events)), err)
}

// readKernelLog gives the events of a log, and how many records were lost.
func (s *session) readKernelLog(ctx context.Context, file string, follow bool, take func(kmsg.Event) error) (lost uint64, err error) {
	if file == "-" {
		return 0, kmsg.Read(s.Stdin, time.Local, take)
	}
	info, err := os.Stat(file)
	if err != nil {
		return 0, logHint(err)
	}
	if info.Mode()&fs.ModeCharDevice != 0 {
		return s.readRing(ctx, file, follow, take)
	}
	f, err := os.Open(file)
	if err != nil {
		return 0, logHint(err)
	}
	defer f.Close()
	return 0, kmsg.Read(f, time.Local, take)
}

// readRing reads the kernel's own log, and tells on standard error what was lost.
func (s *session) readRing(ctx context.Context, path string, follow bool, take func(kmsg.Event) error) (lost uint64, err error) {
	log, err := kmsg.Open(path, follow)
	if err != nil {
		return 0, logHint(err)
	}
	defer log.Close()
	ctx, stop := interruptible(ctx)
	defer stop()
	booted := bootTime()
	var a kmsg.Assembler
	var unread error // the first record that was not as documented
	give := func(events []kmsg.Event) error {
		for _, e := range events {
			if e.Boot >= 0 && !booted.IsZero() {
				e.Time = booted.Add(e.Boot).UTC().Truncate(time.Millisecond)
			}
			if err := take(e); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		r, err := log.Next(ctx)
		gap, overwritten := errors.AsType[kmsg.Lost](err)
		switch {
		case err == nil:
		case overwritten:
			lost += gap.Records
			fmt.Fprintf(s.Stderr, "sexton kmsg: %v\n", gap)
		case errors.Is(err, kmsg.ErrQuiet):
			if err := give(a.Flush()); err != nil {
				return lost, err
			}
			continue
		case errors.Is(err, kmsg.ErrFormat):
			if unread == nil {
				unread = err
			}
			continue
		case errors.Is(err, io.EOF):
			return lost, errors.Join(give(a.Flush()), unread)
		default:
			return lost, errors.Join(give(a.Flush()), unread, err)
		}
		if err := give(a.Add(r)); err != nil {
			return lost, err
		}
	}
}

// bootTime is when the clock of the kernel log's records was 0: it stands still
// while the machine sleeps, so what was logged before a sleep is dated too late.
func bootTime() time.Time {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(ts.Nano()))
}

// logHint says what to try when the log cannot be opened.
func logHint(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, "run as root, or in a container with CAP_SYSLOG and the host's /dev/kmsg; or dmesg | sexton kmsg -")
	case errors.Is(err, fs.ErrNotExist):
		return withHint(err, "the name of a file, or - for standard input: dmesg | sexton kmsg -")
	}
	return err
}
