package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/spf13/cobra"

	"sexton.dev/collect"
	"sexton.dev/holding"
	"sexton.dev/propagation"
	"sexton.dev/propagation/verdict"
	"sexton.dev/snapshot"
)

// probeFlags ask for more than looking: off unless given.
type probeFlags struct{ locks, rule bool }

func (f *probeFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.locks, "probe-locks", false, "ask the kernel which mounts are locked: enter each mount namespace of another user namespace and try an unmount there that cannot succeed")
	cmd.Flags().BoolVar(&f.rule, "self-test", false, "find out which rule this kernel unmounts by, with a few mounts in a mount namespace made for that (default: what its release suggests); TARGET may be left out")
}

// geteuid is for the tests.
var geteuid = os.Geteuid

// check refuses what cannot be asked: there must be a live kernel, and root.
func (f *probeFlags) check(from string, tables []string, kernel string) error {
	for _, p := range []struct {
		on            bool
		flag, without string
	}{
		{f.locks, "--probe-locks", "without it the owners of the namespaces suggest which mounts are locked"},
		{f.rule, "--self-test", "without it the kernel's release suggests the rule"},
	} {
		switch {
		case !p.on:
		case from != "":
			return withHint(wrongUse{fmt.Errorf("%s asks a running kernel, and --from is a recording", p.flag)}, p.flag+" on the host itself; "+p.without)
		case len(tables) > 0:
			return withHint(wrongUse{fmt.Errorf("%s asks a running kernel, and --mountinfo is an excerpt", p.flag)}, p.flag+" on the host itself; "+p.without)
		case p.flag == "--self-test" && kernel != "":
			return withHint(wrongUse{errors.New("--self-test and --kernel exclude each other")}, "one of the two")
		case geteuid() != 0:
			return withHint(fmt.Errorf("%s needs root", p.flag), "run it as root; "+p.without)
		}
	}
	return nil
}

// A propagationRule is how a kernel unmounts, and who says so.
type propagationRule struct {
	Kernel  string `json:"kernel"`            // "before 6.17", "6.17 and later"
	By      string `json:"by"`                // release, self-test, flag, default
	Against bool   `json:"against,omitempty"` // the release suggests the other: somebody ported the change
}

const ruleBefore, ruleSince = "before 6.17", "6.17 and later"

func ruleOf(older bool, by string) *propagationRule {
	return &propagationRule{Kernel: map[bool]string{true: ruleBefore, false: ruleSince}[older], By: by}
}

func (r *propagationRule) older() bool { return r.Kernel == ruleBefore }

// selfTest finds the rule of the running kernel.
func (s *session) selfTest(ctx context.Context, host *hostFlags) (*propagationRule, error) {
	ctx, cancel := context.WithTimeout(ctx, host.timeout)
	defer cancel()
	proc := host.procPath()
	older, err := collect.AskRule(ctx, collect.Self, proc)
	if err != nil {
		return nil, withHint(fmt.Errorf("--self-test: %w", err), "as root with CAP_SYS_ADMIN on the host; or --kernel before-6.17 or 6.17")
	}
	r := ruleOf(older, "self-test")
	release, err := os.ReadFile(path.Join(proc, "sys/kernel/osrelease"))
	r.Against = err == nil && holding.Older(string(release)) != older
	return r, nil
}

// procPath is where the host's /proc is.
func (f *hostFlags) procPath() string { return cmp.Or(f.proc, path.Join(f.root, "proc")) }

// probeLocks asks for the locks of the target and of what is below it, in each
// namespace where they are not known, and returns a table that has the answers.
func probeLocks(ctx context.Context, host *hostFlags, all *snapshot.Mounts, t *propagation.Table, q *verdict.Question) (*propagation.Table, []snapshot.Unread) {
	ctx, cancel := context.WithTimeout(ctx, host.timeout)
	defer cancel()
	q.Asked = map[uint64]bool{}
	known := map[uint64]bool{}
	var lacks []snapshot.Unread
	for _, side := range q.Sides {
		i := slices.IndexFunc(all.Namespaces, func(ns snapshot.MountNamespace) bool { return ns.Inode == side.Namespace })
		ns := &all.Namespaces[i]
		asked := slices.DeleteFunc(below(ns, side.Targets), func(m *snapshot.Mount) bool { return !q.Unsure[m.ID] })
		if len(asked) == 0 {
			continue
		}
		locked, missing := collect.AskLocks(ctx, collect.Self, host.procPath(), ns, asked)
		maps.Copy(known, locked)
		lacks = append(lacks, missing...)
	}
	for id := range known {
		q.Asked[id] = true
		delete(q.Unsure, id)
	}
	return t.Relock(known), lacks
}

// below are mounts of a namespace and all that is mounted on them.
func below(ns *snapshot.MountNamespace, ids []uint64) (out []*snapshot.Mount) {
	kids := map[uint64][]*snapshot.Mount{}
	for i := range ns.Mounts {
		m := &ns.Mounts[i]
		kids[m.Parent] = append(kids[m.Parent], m)
		if slices.Contains(ids, m.ID) {
			out = append(out, m)
		}
	}
	seen := map[uint64]bool{}
	for i := 0; i < len(out); i++ {
		if m := out[i]; !seen[m.ID] {
			seen[m.ID] = true
			out = append(out, kids[m.ID]...)
		}
	}
	return slices.CompactFunc(slices.SortedFunc(slices.Values(out), func(a, b *snapshot.Mount) int { return cmp.Compare(a.ID, b.ID) }), func(a, b *snapshot.Mount) bool { return a.ID == b.ID })
}
