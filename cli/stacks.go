package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sexton.dev/runtimes/godump"
	"sexton.dev/runtimes/godump/stacks"
	"sexton.dev/runtimes/stackdump"
)

// A stacksReport is what stacks prints.
type stacksReport struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	stacks.Report
	Taken []stackdump.Dump `json:"taken,omitempty"` // of a process that was asked
}

func (s *session) stacksCommand() *cobra.Command {
	var out outputFlags
	var ask askFlags
	cmd := &cobra.Command{
		Use:   "stacks FILE | PID | -",
		Short: "say what goroutine dumps of dockerd, containerd, shims or any Go program mean",
		Long: `stacks reads goroutine dumps and says what is stuck: which call to another daemon is
not answered, who waits for which lock, who likely holds it and what that one waits for.

The text may be plain or as a log has it: with journald's prefixes, escaped into
one line, indented, cut, several dumps in one file. It is read as a stream, so it
may be of any size. Dumps of several layers together say most: the deepest one
that is blocked is the one to look at.

With a PID the process is asked for its dump by SIGUSR1, which is waited for and read
where it was written: dockerd's in its exec root (/run/docker/goroutine-stacks-*.log),
containerd's in /tmp/containerd.PID.stacks.log, a shim's in the log of its
containerd, a file or the journal. Only dockerd, containerd and containerd-shim-runc-v2
are asked, and only if they catch the signal: it would kill others. One that is stopped
(State T) is not asked. --twice asks again after --interval: Go prints ages in
whole minutes, and what is where it was a minute ago is no slow work. With pprof it is
/debug/pprof/goroutine?debug=2.

Go records neither who holds a mutex nor for which container a goroutine works:
holders are likely, and a container is named only where containerd's log says which
shim a dump is from.`,
		Example: `  sexton stacks /var/run/docker/goroutine-stacks-2026-11-20T220956Z.log
  journalctl -u containerd --since -5min | sexton stacks -
  cat dockerd.log containerd.stacks.log | sexton stacks - -o json
  sexton stacks dump.txt -o wide        # idle goroutines and whole stacks too
  sexton stacks --twice $(pidof dockerd)`,
		Args: exactly(1, "one FILE or PID, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			pid, isPID, err := ask.pid(cmd, args[0])
			if err != nil {
				return err
			}
			var r *stacksReport
			if isPID {
				r, err = s.askStacks(cmd.Context(), pid, &ask)
			} else {
				r, err = s.readStacks(args[0])
			}
			if r == nil {
				return err
			}
			return errors.Join(s.print(out, r, itemsOf(r.Groups), r.draw), err)
		},
	}
	out.add(cmd)
	ask.add(cmd)
	return cmd
}

func (s *session) readStacks(file string) (*stacksReport, error) {
	in, err := s.openText(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return stacksOf(in, file, func() string { return layerOfFile(filepath.Base(file)) })
}

// stacksOf reads a text with dumps. layer is asked at its end, for dumps that do not tell it.
func stacksOf(in io.Reader, file string, layer func() string) (*stacksReport, error) {
	all := stacks.New()
	lost, err := godump.Read(in, all.Add)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	r := all.Report(lost, layer())
	if r.Goroutines == 0 && len(r.Groups) == 0 {
		if lost.Counted {
			return nil, withHint(fmt.Errorf("%s counts goroutines and does not say what they wait for", file), "the same with ?debug=2")
		}
		return nil, withHint(errors.New("there is no goroutine dump in "+file), "sexton stacks PID of dockerd, containerd or a shim takes one")
	}
	return &stacksReport{APIVersion: apiVersion, Kind: "Stacks", Report: r}, nil
}

// layerOfFile tells a layer by a file's name, for a text that does not tell it.
func layerOfFile(name string) string {
	for _, layer := range []string{"dockerd", "kubelet", "shim", "containerd", "runc"} {
		if strings.Contains(name, layer) {
			return layer
		}
	}
	return ""
}

// draw prints the conclusion and what it stands on.
func (r *stacksReport) draw(p *page, wide bool) {
	var layers []string
	for _, d := range r.Dumps {
		layer := d.Layer
		if layer == "" {
			layer = "an unknown program"
		}
		layers = append(layers, fmt.Sprintf("%d of %s", d.Goroutines, layer))
	}
	p.line("%s", styled{bold, "goroutines: " + strings.Join(layers, ", ")})
	for _, text := range r.Sentences {
		p.para("  ", text)
	}
	r.drawCalls(p)
	r.drawLocks(p)
	r.drawGroups(p, wide)
	for _, text := range r.Lost {
		p.para("lost: ", text)
	}
}

func (r *stacksReport) drawCalls(p *page) {
	var rows [][]string
	for _, c := range r.Calls[:min(len(r.Calls), 20)] {
		from := c.From
		if from == "" {
			from = "?"
		}
		rows = append(rows, []string{from + " -> " + c.To, c.Operation, strconv.Itoa(c.Goroutines), minutes(c.Minutes), c.Function})
	}
	if len(rows) > 0 {
		p.line("")
		p.table([]string{"CALL", "OPERATION", "COUNT", "LONGEST", "IN"}, rows)
	}
}

func (r *stacksReport) drawLocks(p *page) {
	var rows [][]string
	for _, l := range r.Locks {
		holder := "not seen"
		if len(l.Holders) > 0 {
			h := l.Holders[0]
			holder = fmt.Sprintf("goroutine %d, %s: %s", h.ID, h.Function, h.Reason)
		}
		rows = append(rows, []string{l.Lock, strconv.Itoa(l.Waiters), minutes(l.Minutes), holder})
	}
	if len(rows) > 0 {
		p.line("")
		p.table([]string{"LOCK", "WAITERS", "LONGEST", "LIKELY HELD BY"}, rows)
	}
}

// drawGroups prints what is blocked, and of the rest the states, unless it may be wide.
func (r *stacksReport) drawGroups(p *page, wide bool) {
	var rows [][]string
	idle := map[string]int{}
	total := 0
	for _, g := range r.Groups {
		if !wide && (g.Why == stacks.Idle || len(rows) >= 20) {
			idle[g.State] += g.Goroutines
			total += g.Goroutines
			continue
		}
		what := g.Function
		if wide {
			what = strings.Join(g.Functions, " < ")
		}
		rows = append(rows, []string{strconv.Itoa(g.Goroutines), g.State, minutes(g.Minutes), string(g.Why), what})
	}
	p.line("")
	if len(rows) > 0 {
		p.table([]string{"COUNT", "STATE", "LONGEST", "WHY", "IN"}, rows)
	}
	if total == 0 {
		return
	}
	var states []string
	for state := range idle {
		states = append(states, state)
	}
	slices.SortFunc(states, func(a, b string) int {
		if idle[a] != idle[b] {
			return idle[b] - idle[a]
		}
		return strings.Compare(a, b)
	})
	for i, state := range states {
		states[i] = fmt.Sprintf("%d %s", idle[state], state)
	}
	p.para("others: ", strings.Join(states[:min(len(states), 12)], ", ")+" (-o wide)")
}

// minutes is an age as Go prints it.
func minutes(n int) string {
	switch {
	case n < 0:
		return "?"
	case n == 0:
		return "<1m"
	}
	return strconv.Itoa(n) + "m"
}
