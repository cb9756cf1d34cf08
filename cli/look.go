package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sexton.dev/check"
	"sexton.dev/checks"
	"sexton.dev/collect"
	"sexton.dev/collect/door"
	"sexton.dev/snapshot"
)

// hostFlags choose the host that a command looks at, and how.
type hostFlags struct {
	root, proc, from, record string
	interval, timeout, since time.Duration
	askAgain, argv, nested   bool
	narrow                   *collect.Narrow                      // the mounts that the command is about; nil: all
	layers                   func(*snapshot.Host) []collect.Layer // see collect.Options
	checks                   []string
}

// add defines the flags on a command that reads a host.
func (f *hostFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.root, "root", "/", "the host's root `directory`, where it is mounted elsewhere")
	flags.StringVar(&f.proc, "proc", "", "the host's /proc, where it is mounted elsewhere (default ROOT/proc)")
	flags.StringVar(&f.from, "from", "", "judge a recording or a sos report instead of this host")
	flags.DurationVar(&f.interval, "interval", 2*time.Second, "time between the two looks; 0 for one look only")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "most time that looking may take")
	flags.BoolVar(&f.askAgain, "ask-again", false, "ask runtimes too that did not answer last time")
	flags.BoolVar(&f.nested, "nested", false, "take a PID namespace below the machine's first, as a container has it, for the whole host: who is outside is not seen, and counts for nothing")
	f.since = check.Defaults.Recent
	cmd.MarkFlagFilename("from", "zst", "tar", "gz", "xz")
	cmd.MarkFlagDirname("root")
	cmd.MarkFlagDirname("proc")
}

// addChecks defines --check, with completion, and --since.
func (f *hostFlags) addChecks(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.since, "since", check.Defaults.Recent, "how long ago a kill or another event of the kernel's log may be to count as more than info")
	cmd.Flags().StringSliceVar(&f.checks, "check", nil, "only these checks (default all; sexton checks lists them)")
	cmd.RegisterFlagCompletionFunc("check", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return checkNames(), cobra.ShellCompDirectiveNoFileComp
	})
}

func checkNames() []string {
	var names []string
	for _, c := range checks.All() {
		names = append(names, c.Name+"\t"+c.Doc.Summary())
	}
	return names
}

// chosen returns the checks that --check names, in the order of the list.
func (f *hostFlags) chosen() ([]*check.Check, error) {
	var out []*check.Check
	all := checks.All()
	for _, name := range f.checks {
		if !slices.ContainsFunc(all, func(c *check.Check) bool { return c.Name == name }) {
			return nil, withHint(wrongUse{fmt.Errorf("no check is named %q", name)}, "sexton checks")
		}
	}
	for _, c := range all {
		if len(f.checks) == 0 || slices.Contains(f.checks, c.Name) {
			out = append(out, c)
		}
	}
	return out, nil
}

// A sight is what a command learned of a host.
type sight struct {
	before, now *snapshot.Host
	follow      func(string) string // see hostFlags
	checks      []*check.Check
	check.Result
	took time.Duration
}

// see looks at the host and judges it.
func (s *session) see(ctx context.Context, f *hostFlags, extra ...snapshot.Part) (*sight, error) {
	began := time.Now()
	chosen, err := f.chosen()
	if err != nil {
		return nil, err
	}
	if f.interval < 0 || f.timeout <= 0 || f.since < 0 {
		return nil, withHint(wrongUse{errors.New("--interval, --timeout and --since must not be negative")}, "--interval 2s --timeout 30s --since 1h")
	}
	parts := append([]snapshot.Part{snapshot.Processes, snapshot.Names}, extra...)
	for _, c := range chosen {
		parts = append(parts, c.Reads()...)
	}
	out := &sight{checks: chosen, follow: f.follow}
	if out.before, out.now, err = s.look(ctx, f, parts); err != nil {
		return nil, err
	}
	limits := check.Defaults
	limits.Recent = f.since
	out.Result = check.Run(chosen, check.Pass{Now: out.now, Before: out.before, Limits: limits})
	out.took = time.Since(began)
	return out, nil
}

// look reads the host that the flags name: a recording, or a live one, which
// it records if asked to.
func (s *session) look(ctx context.Context, f *hostFlags, parts []snapshot.Part) (before, now *snapshot.Host, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	o := collect.Options{Parts: parts, Argv: f.argv, Root: f.root, Proc: cmp.Or(f.proc, path.Join(f.root, "proc")),
		Child: collect.Self, AskAgain: f.askAgain, Since: f.since, Narrow: f.narrow, Layers: f.layers, Within: f.nested}
	if f.from != "" {
		return s.replay(ctx, f, o)
	}
	host, err := door.Open(f.root, f.proc)
	if err != nil {
		return nil, nil, withHint(err, "run it on the host, or name the host's root directory with --root")
	}
	defer host.Close()
	defer s.watchdog(f.timeout, host)()
	if f.record == "" {
		before, now = s.twoLooks(ctx, f, host.Look, o)
		return before, now, nil
	}
	return s.recorded(ctx, f, host, o)
}

// twoLooks takes the looks that --interval asks for, each through a door that next opens.
func (s *session) twoLooks(ctx context.Context, f *hostFlags, next func() door.Door, o collect.Options) (before, now *snapshot.Host) {
	if f.interval == 0 {
		return collect.Looks(ctx, next(), nil, o)
	}
	began := time.Now()
	return collect.Looks(ctx, next(), func() door.Door {
		if time.Since(began)+f.interval > time.Second {
			fmt.Fprintf(s.Stderr, "looked once in %.1f s; looking again in %v\n", time.Since(began).Seconds(), f.interval)
		}
		select {
		case <-time.After(f.interval):
		case <-ctx.Done():
		}
		return next()
	}, o)
}

// grace is how much longer than --timeout looking may take before the program ends.
const grace = 2 * time.Second

// watchdog ends the program if a read that is safe on every kernel we know
// blocks all the same, or the host lets it come to nothing in time. It returns a
// function that calls it off.
func (s *session) watchdog(timeout time.Duration, host *door.Live) func() {
	var off atomic.Bool
	t := time.AfterFunc(timeout, func() {
		_, before := host.Reads()
		time.Sleep(grace)
		if off.Load() {
			return
		}
		underWay, ended := host.Reads()
		fmt.Fprint(s.Stderr, overdue(timeout, underWay > 0 && ended == before))
		os.Exit(CantTell)
	})
	return func() { off.Store(true); t.Stop() }
}

// overdue says why looking has not ended: the kernel does not return from a read, or
// sexton is slow, as on a host whose processors are all taken.
func overdue(timeout time.Duration, blocked bool) string {
	why, try := "it goes on, on a busy host", fmt.Sprintf("--timeout %v, or --check with fewer checks", 4*timeout)
	if blocked {
		why, try = "the kernel does not return from a read", "sexton scan --check with fewer checks, and report this kernel: uname -r"
	}
	return fmt.Sprintf("sexton: looking has not ended within %v: %s; nothing can be told\n  try: %s\n", timeout, why, try)
}

func (s *session) recorded(ctx context.Context, f *hostFlags, host *door.Live, o collect.Options) (before, now *snapshot.Host, err error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	first := host.Look()
	fact := func(file string) string {
		text, _ := first.ReadFile(file) // a label for people; the looks read it again, errors and all
		return strings.TrimSpace(string(text))
	}
	r, err := door.Create(f.record, door.Meta{Version: Version, Created: first.Taken(), Interval: f.interval, Root: os.Geteuid() == 0,
		Name: fact("/proc/sys/kernel/hostname"), Kernel: fact("/proc/sys/kernel/osrelease"), BootID: fact("/proc/sys/kernel/random/boot_id")})
	if errors.Is(err, fs.ErrExist) {
		return nil, nil, withHint(err, "another file name; sexton does not write over a recording")
	}
	if err != nil {
		return nil, nil, err
	}
	before, now = s.twoLooks(ctx, f, func() door.Door { return r.Look(host.Look()) }, o)
	if err = ctx.Err(); err == nil {
		err = r.Close()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("record: %w", errors.Join(err, r.Abort()))
	}
	return before, now, nil
}

// interruptible ends the context at an interrupt, for commands that have
// something to put away. Others just end: a look leaves nothing behind.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// replay judges a recording as the host was judged when it was made.
func (s *session) replay(ctx context.Context, f *hostFlags, o collect.Options) (before, now *snapshot.Host, err error) {
	if f.record != "" {
		return nil, nil, wrongUse{errors.New("--record and --from exclude each other")}
	}
	past, err := door.OpenAny(f.from)
	if err != nil {
		return nil, nil, err
	}
	looks := past.Looks()
	var second func() door.Door
	if len(looks) > 1 && f.interval > 0 {
		second = func() door.Door { return looks[1] }
	}
	before, now = collect.Looks(ctx, looks[0], second, o)
	return before, now, nil
}

// copyAll writes what a command made for a pipe or a file.
func copyAll(w io.Writer, text []byte) error {
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}
