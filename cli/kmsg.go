package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sexton.dev/collect/door"
	"sexton.dev/linux/kmsg"
)

// mostKernelEvents bounds what is kept of a log that has nothing but trouble in it.
const mostKernelEvents = 10000

func (s *session) kmsgCommand() *cobra.Command {
	var out outputFlags
	var follow bool
	cmd := &cobra.Command{
		Use:   "kmsg [FILE | DIRECTORY | -]",
		Short: "read the kernel log: kills, hung tasks, failing devices, and whose they are",
		Long: `kmsg reads the kernel log and prints what went wrong: processes that were killed
for want of memory, tasks and CPUs that are stuck, thin pools, file systems and
devices with errors, net devices and overlays that are still in use, forks that a
pids limit refused. Where the log names a cgroup it tells the container and pod.

It reads /dev/kmsg to its end; --follow waits for more. Nothing is cleared. FILE,
or - for standard input, is a log as dmesg, journalctl or syslog write it, which may
be compressed (gz, xz, zst, bz2), or a sos report, its archive or its directory: then
the logs of journald, syslog and dmesg in it are read, and what several of them tell
is told once, the first time with that log's name. Dates without a zone are taken to
be in this machine's.

What is repeated within an hour is counted, but for kills; with --follow each is
printed. It exits with 0 whatever it finds, and with 1 if it cannot read.`,
		Example: `  sexton kmsg
  sexton kmsg --follow -o jsonl
  journalctl -k -b -1 | sexton kmsg -
  sexton kmsg sosreport-db1-2026-03-04-abcdefg.tar.xz
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
	take := func(e kmsg.Event) error { return s.printKernelEvent(out, e) }
	info, err := os.Stat(file)
	switch {
	case file == "-":
	case err != nil:
		return fmt.Errorf("read %s: %w", file, logHint(err))
	case info.Mode()&fs.ModeCharDevice != 0:
		return s.ownLog(ctx, out, file, follow)
	}
	if !follow {
		return s.keptLogs(out, file)
	}
	if file == "-" || !info.Mode().IsRegular() && !info.IsDir() { // what comes now is not compressed, and is not waited for
		err = s.eachLine(file, take)
	} else {
		err = door.EachLog(file, func(name string, r io.Reader) error {
			return kmsg.Read(r, time.Local, func(e kmsg.Event) error { e.Log = name; return take(e) })
		})
	}
	return readError(file, err)
}

// ownLog prints the events of the kernel's own log.
func (s *session) ownLog(ctx context.Context, out outputFlags, file string, follow bool) error {
	if follow {
		_, err := s.readRing(ctx, file, true, func(e kmsg.Event) error { return s.printKernelEvent(out, e) })
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return readError(file, err)
	}
	fold := kmsg.Folder{Most: mostKernelEvents}
	lost, err := s.readRing(ctx, file, false, func(e kmsg.Event) error { fold.Add(e); return nil })
	fold.Sort()
	return s.printKernelLog(out, fold.Events, fold.Left, lost, readError(file, err))
}

// keptLogs prints the events of a log that somebody kept, or of those of a sos report.
func (s *session) keptLogs(out outputFlags, file string) error {
	logs := map[string]*kmsg.Folder{}
	room := 2 * mostKernelEvents // of a report: what several logs tell counts each time
	var unread error             // the first log of a report that could not be read, or not to its end
	take := func(name string, r io.Reader) error {
		fold := &kmsg.Folder{Most: max(1, min(room, mostKernelEvents))}
		if err := kmsg.Read(r, time.Local, func(e kmsg.Event) error { fold.Add(e); return nil }); err != nil && unread == nil {
			unread = readError(cmp.Or(name, file), err)
		}
		room -= len(fold.Events)
		logs[name] = fold
		return nil
	}
	var err error
	if file == "-" {
		err = door.EachLogOf(file, s.Stdin, take)
	} else {
		err = door.EachLog(file, take)
	}
	if err != nil {
		unread = readError(file, logHint(err))
	}
	var all kmsg.Merger
	for _, name := range slices.SortedFunc(maps.Keys(logs), door.OrderLogs) {
		all.Add(name, logs[name])
	}
	if more := len(all.Events) - mostKernelEvents; more > 0 {
		all.Events, all.Left = all.Events[:mostKernelEvents], all.Left+more
	}
	return s.printKernelLog(out, all.Events, all.Left, 0, unread)
}

// readError says what could not be read.
func readError(file string, err error) error {
	if err != nil {
		err = fmt.Errorf("read %s: %w", file, err)
	}
	return err
}

// printKernelLog prints events, if there are any or there is nothing else to tell.
func (s *session) printKernelLog(out outputFlags, events []kmsg.Event, left int, lost uint64, err error) error {
	if err != nil && len(events) == 0 {
		return err
	}
	list := kernelLog{APIVersion: apiVersion, Kind: "KernelLog", Left: left, Lost: lost}
	for _, e := range events {
		list.Items = append(list.Items, kernelItem(e))
	}
	if left > 0 {
		fmt.Fprintf(s.Stderr, "%d events more than the %d that are shown\n", left, len(events))
	}
	return errors.Join(s.print(out, list, itemsOf(list.Items), drawKernelLog(events)), err)
}

// eachLine gives the events of standard input or of a pipe as they come.
func (s *session) eachLine(file string, take func(kmsg.Event) error) error {
	in := s.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return logHint(err)
		}
		defer f.Close()
		in = f
	}
	return kmsg.Read(in, time.Local, take)
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
