package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sexton.dev/check"
	"sexton.dev/exactjson"
	"sexton.dev/heal"
	"sexton.dev/plan"
	"sexton.dev/snapshot"
)

// healFlags are what heal may do, and where it writes that down.
type healFlags struct {
	apply, yes, resume     bool
	maxRisk, file, journal string
}

func (s *session) healCommand() *cobra.Command {
	var host hostFlags
	var out outputFlags
	var do healFlags
	cmd := &cobra.Command{
		Use:   "heal [FINDING-ID | TARGET ...]",
		Short: "plan the smallest acts that end what scan finds, and carry them out with --apply",
		Long: `heal prints a plan and changes nothing: which acts would end what scan finds, in
order, each with its target and its risk, and with -o wide what must still hold before
it and what must hold after it. TARGET is what why takes; without one the plan is for
the whole host.

With --apply it asks, and carries the plan out. Before each act the target is looked
at again: another process with its pid, another mount at its path, a plan of another
boot are refused. After it the check that found the trouble looks again. What is done
is written down first, in the journal, and before a runc that hangs is ended the
goroutine dumps of the daemons that wait for it are kept beside that, for stacks.

Steps above --max-risk are shown and refused. safe: no workload notices; disruptive:
something that runs is stopped, restarted or let go on; destructive: data is lost.

From a PID namespace of its own it heals nothing without --nested.

It exits with 0 if all steps are done or not needed, 5 if one was refused or did not
help, 1 if one failed.`,
		Example: `  sexton heal                                   # the plan, for the whole host
  sexton heal leaked-mount/2147485021 --apply
  sexton heal -o json > plan.json; sexton heal --plan plan.json --apply --yes
  sexton heal --resume                          # after a crash: what was done and what was not`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := do.check(args, &host); err != nil {
				return err
			}
			until := interruptible
			if do.apply || do.resume {
				until = steady
			}
			ctx, stop := until(cmd.Context())
			defer stop()
			if do.resume {
				return s.healResume(ctx, &host, out, do)
			}
			return s.heal(ctx, &host, out, do, args)
		},
	}
	host.add(cmd)
	host.addChecks(cmd)
	out.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&do.apply, "apply", false, "carry the plan out")
	flags.BoolVarP(&do.yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&do.resume, "resume", false, "say of acts that a crash cut short whether they were done")
	flags.StringVar(&do.maxRisk, "max-risk", "safe", "highest risk that is carried out: "+strings.Join(plan.Risks, ", "))
	flags.StringVar(&do.file, "plan", "", "carry out no more than this plan, a `file` of heal -o json")
	flags.StringVar(&do.journal, "journal", heal.DefaultJournal, "`file` in which every act is written down")
	cmd.MarkFlagFilename("plan", "json")
	cmd.RegisterFlagCompletionFunc("max-risk", cobra.FixedCompletions(plan.Risks, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// steady has a terminal that is closed interrupt a heal, and a pipe that nobody reads not
// even that: else it would be ended between an act and the act's end in the journal.
func steady(ctx context.Context) (context.Context, context.CancelFunc) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // a write fails from now on, and that is all
	ctx, stop := interruptible(ctx)
	hungUp := stop
	if !signal.Ignored(syscall.SIGHUP) { // as by nohup
		ctx, hungUp = signal.NotifyContext(ctx, syscall.SIGHUP)
	}
	return ctx, func() { hungUp(); stop() }
}

func (f *healFlags) check(args []string, host *hostFlags) error {
	switch {
	case !slices.Contains(plan.Risks, f.maxRisk):
		return withHint(wrongUse{fmt.Errorf("--max-risk %q", f.maxRisk)}, "--max-risk "+strings.Join(plan.Risks, ", "))
	case f.yes && !f.apply:
		return withHint(wrongUse{errors.New("--yes without --apply")}, "sexton heal --apply --yes")
	case f.resume && (f.apply || f.file != "" || len(args) > 0):
		return wrongUse{errors.New("--resume goes alone: it makes no plan")}
	case f.file != "" && len(args) > 0:
		return withHint(wrongUse{errors.New("a plan's file names its targets: --plan goes without any")}, "sexton heal --plan "+f.file)
	case (f.apply || f.resume) && host.from != "":
		return withHint(wrongUse{errors.New("a recording cannot be healed")}, "without --apply: the plan for it")
	case (f.apply || f.resume) && (host.root != "/" || host.proc != ""):
		return withHint(wrongUse{errors.New("a host is healed from its own namespaces, not through --root or --proc")}, "nsenter -t 1 -a sexton heal --apply, or without --apply: the plan for it")
	}
	return nil
}

// healPlan is what heal prints.
type healPlan struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	plan.Plan
	Unplanned []unplanned     `json:"unplanned,omitempty"`
	Unknown   []check.Unknown `json:"unknown"` // what could not be read when it was planned

	blind bool // there may be more than was seen
}

// unplanned is a finding for which there is no act.
type unplanned struct {
	Finding string   `json:"finding"`
	Title   string   `json:"title"`
	Advice  []string `json:"advice,omitempty"`
}

func (s *session) heal(ctx context.Context, host *hostFlags, out outputFlags, do healFlags, words []string) error {
	var old plan.Plan
	if do.file != "" {
		var err error
		if old, err = readPlan(do.file); err != nil {
			s.code = Unhealed
			return withHint(fmt.Errorf("--plan %s: %w", do.file, err), "sexton heal -o json > plan.json")
		}
	}
	v, err := s.see(ctx, host, snapshot.MountTables, snapshot.References)
	if err != nil {
		return err
	}
	found, err := v.named(words)
	if err != nil {
		return err
	}
	p := healPlan{APIVersion: apiVersion, Kind: "Plan", Plan: plan.Make(v.now, found), Unknown: v.unknown()}
	if do.file != "" {
		p.Plan = plan.Again(old, p.Plan)
		if !do.apply { // else each step's own look tells
			v.sight().Foretell(p.Steps)
		}
	} else {
		p.Unplanned = without(v.now, found, p.Steps)
	}
	if err := heal.Nested(v.now); err != nil && do.apply && !host.nested { // before anybody is asked
		s.code = Unhealed
		return err
	}
	if do.apply {
		if err := s.healApply(ctx, host, do, &p); err != nil {
			return errors.Join(err, s.printPlan(out, p))
		}
	}
	if v.CannotTell() && len(p.Steps) == 0 {
		p.blind = true
		s.code = CantTell
	}
	s.code = max(s.code, p.code(do.apply))
	return s.printPlan(out, p)
}

// named returns the findings that concern one of the words; all, if there is none.
func (v *sight) named(words []string) ([]check.Finding, error) {
	if len(words) == 0 {
		return v.Findings, nil
	}
	var out []check.Finding
	for _, word := range words {
		t, err := v.resolve(word)
		if err != nil {
			return nil, err
		}
		for _, f := range v.Findings {
			if v.concerns(t, f) && !slices.ContainsFunc(out, func(o check.Finding) bool { return o.ID == f.ID }) {
				out = append(out, f)
			}
		}
	}
	return out, nil
}

// without gives the findings for which nothing is planned. What two of them want
// done is one step, which names the first.
func without(h *snapshot.Host, found []check.Finding, steps []plan.Step) (out []unplanned) {
	for _, f := range found {
		named := slices.ContainsFunc(steps, func(s plan.Step) bool { return s.Finding == f.ID })
		if !named && len(plan.Make(h, []check.Finding{f}).Steps) == 0 {
			out = append(out, unplanned{f.ID, f.Title, f.Advice})
		}
	}
	return out
}

// code is the exit code: that of a plan is 0 whatever it plans.
func (p healPlan) code(applied bool) int {
	code := Clean
	for _, s := range p.Steps {
		switch {
		case !applied:
		case s.Status == plan.Failed:
			return Failed
		case s.Status == plan.Refused || s.Status == plan.Unverified || s.Status == plan.Planned:
			code = Unhealed
		}
	}
	return code
}

// healApply carries a plan out, after asking.
func (s *session) healApply(ctx context.Context, host *hostFlags, do healFlags, p *healPlan) error {
	if len(p.Steps) == 0 {
		return nil
	}
	if !do.yes {
		if err := s.ask(p, do.maxRisk); err != nil {
			s.code = Unhealed
			return err
		}
	}
	release, err := s.healLock()
	if err != nil {
		return err
	}
	defer release()
	journal, err := heal.OpenJournal(do.journal)
	if err != nil {
		s.code = Unhealed
		return err
	}
	defer journal.Close()
	done, err := heal.Apply(ctx, p.Plan, heal.Options{
		Journal: journal, MaxRisk: do.maxRisk, Nested: host.nested, Told: s.told, Look: s.lookAgain(host), Glance: s.glance(host),
		Wait: func(why string) { fmt.Fprintln(s.Stderr, printable(why)) },
	})
	p.Plan = done
	if err != nil {
		s.code = Unhealed
	}
	return err
}

// healLock keeps other healers away until it is released.
func (s *session) healLock() (release func(), err error) {
	release, err = heal.Lock(heal.LockPath())
	if err != nil {
		s.code = Unhealed
	}
	if errors.Is(err, os.ErrPermission) {
		err = withHint(err, "run it as root on the host")
	}
	return release, err
}

// lookAgain is the look that heal takes between its acts: the same as before it.
func (s *session) lookAgain(host *hostFlags) func(context.Context) (heal.Sight, error) {
	return func(ctx context.Context) (heal.Sight, error) {
		quiet := *s
		quiet.Stderr = io.Discard
		v, err := quiet.see(ctx, host, snapshot.MountTables, snapshot.References)
		if err != nil {
			return heal.Sight{}, err
		}
		return v.sight(), nil
	}
}

func (v *sight) sight() heal.Sight {
	return heal.Sight{Host: v.now, Findings: v.Findings, Unknown: v.Unknown}
}

// glance is the look that heal takes right before an act on mounts: what tells who
// would miss one, once, and no runtime is asked.
func (s *session) glance(host *hostFlags) func(context.Context) (*snapshot.Host, error) {
	once := *host
	once.interval = 0
	return func(ctx context.Context) (*snapshot.Host, error) {
		_, now, err := s.look(ctx, &once, []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.MountTables, snapshot.References})
		return now, err
	}
}

// told says how a step ended, while others go on.
func (s *session) told(st plan.Step) {
	fmt.Fprintf(s.Stderr, "%s: %s: %s\n", printable(st.Does), st.Status, printable(st.Why))
}

// ask shows the plan to whoever sits at the terminal and asks.
func (s *session) ask(p *healPlan, maxRisk string) error {
	f, ok := s.Stdin.(*os.File)
	if !ok || !isTerminal(f) {
		return withHint(errors.New("nobody is asked: standard input is no terminal"), "--yes, after a look at the plan: sexton heal")
	}
	n := 0
	for _, st := range p.Steps {
		if st.Status == plan.Planned && st.Refused == "" && !plan.Above(st.Risk, maxRisk) {
			n++
			fmt.Fprintf(s.Stderr, "%3d  %s (%s)\n", n, printable(st.Does), st.Risk)
			for _, a := range st.Affects {
				fmt.Fprintf(s.Stderr, "     affects: %s\n", printable(a))
			}
		}
	}
	if n == 0 {
		return nil // each is refused, which the outcome tells
	}
	fmt.Fprintf(s.Stderr, "Carry out %s? [y/N] ", check.Count(n, "step"))
	answer, _ := bufio.NewReader(f).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return withHint(errors.New("not confirmed: nothing was done"), "answer y, or --yes")
	}
	return nil
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

const maxPlan = 16 << 20

// readPlan reads a plan's file. Who could have written it could have chosen the
// acts, so it must be root's or the caller's, and nobody else's to write.
func readPlan(path string) (plan.Plan, error) {
	f, err := heal.OpenTrusted(path)
	if err != nil {
		return plan.Plan{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return plan.Plan{}, err
	}
	if info.Size() > maxPlan {
		return plan.Plan{}, fmt.Errorf("it is larger than a plan can be (%d MiB)", maxPlan>>20)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPlan))
	if err != nil {
		return plan.Plan{}, err
	}
	var p healPlan
	if err := exactjson.Unmarshal(text, &p); err != nil {
		return plan.Plan{}, fmt.Errorf("it is no plan: %w", err)
	}
	if p.APIVersion != apiVersion || p.Kind != "Plan" {
		return plan.Plan{}, fmt.Errorf("it is no plan of %s: kind %q, apiVersion %q", apiVersion, p.Kind, p.APIVersion)
	}
	return p.Plan, nil
}
