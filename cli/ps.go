package cli

import (
	"cmp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// A processList is what ps prints: every process, nothing folded.
type processList struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Items      []processItem   `json:"items"`
	Unknown    []check.Unknown `json:"unknown,omitempty"`
}

type processItem struct {
	PID       int       `json:"pid"`
	PPID      int       `json:"ppid"`
	TIDs      []int     `json:"tids"`
	Comm      string    `json:"comm"`
	State     string    `json:"state"`
	Started   time.Time `json:"started"`
	Container string    `json:"container"`
	Pod       string    `json:"pod"`
	Zombies   int       `json:"zombies"` // dead children that it has not waited for
	SIGCHLD   string    `json:"sigchld"` // of parents of the dead: default, caught, ignored, blocked
	WaitsFor  string    `json:"waitsFor,omitempty"`
}

func (s *session) psCommand() *cobra.Command {
	var host hostFlags
	var out outputFlags
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "show the process tree by container, with the dead and who left them",
		Long: `ps shows every process under its container, as a tree. The dead are folded
under the parent that has not waited for them, which is marked with what it does
with SIGCHLD. Unlike ps(1) it does not hang on a process whose mmap_lock is held.`,
		Example: `  sexton ps
  sexton ps -o json | jq '.items[] | select(.zombies > 0)'`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			host.interval = 0
			_, now, err := s.look(cmd.Context(), &host, []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Threads,
				snapshot.TIDs, snapshot.Reaping, snapshot.Frozen, snapshot.Names})
			if err != nil {
				return err
			}
			list := processList{APIVersion: apiVersion, Kind: "Processes"}
			for i := range now.Processes {
				list.Items = append(list.Items, itemOf(now, &now.Processes[i]))
			}
			for _, u := range now.Unread {
				if u.Whole && u.Part == snapshot.Processes {
					list.Unknown = append(list.Unknown, check.Unknown{What: u.Path, Why: u.Err})
				}
			}
			return s.print(out, list, itemsOf(list.Items), func(p *page, wide bool) {
				drawTree(p, now, wide)
				drawUnknown(p, list.Unknown, wide)
			})
		},
	}
	host.add(cmd)
	out.add(cmd)
	cmd.Flags().MarkHidden("interval")
	return cmd
}

func itemOf(h *snapshot.Host, p *snapshot.Process) processItem {
	item := processItem{PID: p.PID, PPID: p.PPID, TIDs: p.TIDs, Comm: p.Comm, State: string(p.State),
		Started: h.Started(p).UTC(), Container: p.Container, Zombies: len(deadChildren(h, p)), WaitsFor: waitsFor(h, p)}
	if len(p.TIDs) == 0 {
		item.TIDs = []int{p.PID}
	}
	if c := h.Container(p.Container); c != nil {
		item.Pod = c.Pod
	}
	if item.Zombies > 0 {
		item.SIGCHLD = sigchld(p)
	}
	return item
}

func deadChildren(h *snapshot.Host, p *snapshot.Process) []*snapshot.Process {
	var dead []*snapshot.Process
	for _, child := range h.Children(p.PID) {
		if child.Zombie() {
			dead = append(dead, child)
		}
	}
	slices.SortFunc(dead, func(a, b *snapshot.Process) int { return cmp.Compare(a.Start, b.Start) })
	return dead
}

// sigchld says what a process does with the signal that a child's end sends.
func sigchld(p *snapshot.Process) string {
	const number = 17
	switch d := p.Detail; {
	case d == nil:
		return ""
	case d.Caught.Has(number):
		return "caught"
	case d.Ignored.Has(number):
		return "ignored"
	case d.Masked.Has(number):
		return "blocked"
	}
	return "default"
}
