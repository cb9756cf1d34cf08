package heal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/capability"
	"sexton.dev/plan"
)

// An Outcome is how an act ended, where that is known without another look.
type Outcome struct {
	Status plan.Status `json:"status,omitempty"` // "": look again
	Why    string      `json:"why,omitempty"`
}

// An act changes one target, after it has looked at it again. It runs in a child
// process that holds needs and no other capability. What it must have written
// down before it changes something it gives to note.
type act struct {
	needs  []capability.Capability
	helps  []capability.Capability // it has a use for them and does without; it gives them up itself
	within time.Duration
	run    func(ctx context.Context, s plan.Step, note func(any) error) error
	whole  bool // it must not be cut off: SIGTERM ends it where nothing is half done
	lasts  bool // it is half done until it returns: no signal of a terminal ends it, and an interrupt waits for it

	// restore does what is left of one that a crash cut short, by its last note;
	// nil: there is nothing to do, and one that lasts goes on without its parent.
	restore func(ctx context.Context, s plan.Step, note json.RawMessage) error
}

// end is the signal that ends an act.
func (a act) end() syscall.Signal {
	if a.whole || a.lasts && a.restore == nil {
		return syscall.SIGTERM
	}
	return syscall.SIGKILL
}

const (
	soon  = 20 * time.Second // an unmount of a dead server's file system may never return
	later = time.Minute      // what a runtime does gives processes time to end
	last  = 90 * time.Second // and a restart, to start what it has stopped
)

// acts are all that heal can do. Each has its page in docs/actions.md.
var acts = map[string]act{
	"nudge-parent":   {needs: []capability.Capability{unix.CAP_KILL, unix.CAP_SYS_PTRACE}, within: soon, run: nudge},
	"resume-process": {needs: []capability.Capability{unix.CAP_KILL, unix.CAP_SYS_PTRACE}, within: soon, run: resume},
	"thaw":           {needs: []capability.Capability{unix.CAP_DAC_OVERRIDE}, within: soon, run: thaw},
	"reap-by-ptrace": {needs: []capability.Capability{unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_ADMIN},
		helps: []capability.Capability{unix.CAP_SYS_NICE, unix.CAP_SYS_RESOURCE}, within: soon, run: reap, whole: true},
	"unmount-in-namespace":      {needs: entering, within: soon, run: unmount},
	"make-private-then-unmount": {needs: entering, within: soon, run: unmountPrivate},
	"remove-mountpoint":         {needs: append(entering, unix.CAP_DAC_OVERRIDE, unix.CAP_CHOWN, unix.CAP_FOWNER, unix.CAP_FSETID), within: soon, run: removeMountpoint, lasts: true, restore: restoreMountpoint},
	"abort-fuse":                {needs: []capability.Capability{unix.CAP_SYS_ADMIN, unix.CAP_DAC_OVERRIDE}, within: soon, run: abort},
	"unblock-exec-fifo":         {needs: []capability.Capability{unix.CAP_DAC_OVERRIDE, unix.CAP_KILL, unix.CAP_SYS_PTRACE}, within: soon, run: unblock},
	"end-runtime-child":         {needs: []capability.Capability{unix.CAP_KILL, unix.CAP_SYS_PTRACE}, within: soon, run: endChild},
	"restart-holder":            {needs: []capability.Capability{unix.CAP_DAC_OVERRIDE, unix.CAP_SYS_PTRACE}, within: last, run: restart, lasts: true},
	"deferred-remove":           {needs: []capability.Capability{unix.CAP_SYS_ADMIN}, within: soon, run: removeMapped},
	"delete-thin":               {needs: []capability.Capability{unix.CAP_SYS_ADMIN}, within: soon, run: deleteThin},
	"retry-remove":              {needs: []capability.Capability{unix.CAP_DAC_OVERRIDE}, within: later, run: remove},
}

// entering is what it takes to open another mount namespace, enter it, walk there and unmount.
var entering = []capability.Capability{unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH}

// A refusal is why an act did not begin: nothing was changed. It says what to do instead.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// sorted says what an error means for a step: that nothing is needed, for those of
// what is gone, or that it must not be done.
func sorted(err error, gone, refused []error) error {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case slices.ContainsFunc(gone, is):
		return fmt.Errorf("%w: %w", errNotNeeded, err)
	case slices.ContainsFunc(refused, is):
		return refusal{err}
	}
	return err
}

// errNotNeeded is of what is gone already.
var errNotNeeded = errors.New("it is gone already")

// perform runs an act, or what is left of one, and says how it ended.
func perform(ctx context.Context, o order, note func(any) error) Outcome {
	s := o.Step
	a, ok := acts[s.Action]
	if !ok {
		return Outcome{plan.Refused, "this sexton has no action named " + s.Action}
	}
	if err := capability.Keep(a.needs, a.helps); err != nil {
		if lack, ok := errors.AsType[capability.Lack](err); ok {
			err = fmt.Errorf("it needs %s, which this process does not have: run it as root on the host, not in a container or user namespace without them", strings.Join(lack.Names(), " and "))
		}
		return Outcome{plan.Refused, err.Error()}
	}
	if o.Restore != nil {
		return outcomeOf(a.restore(ctx, s, o.Restore))
	}
	return outcomeOf(a.run(ctx, s, note))
}

func outcomeOf(err error) Outcome {
	var no refusal
	switch {
	case err == nil:
		return Outcome{}
	case errors.Is(err, errNotNeeded):
		return Outcome{plan.NotNeeded, err.Error()}
	case errors.As(err, &no):
		return Outcome{plan.Refused, err.Error()}
	}
	return Outcome{plan.Failed, err.Error()}
}
