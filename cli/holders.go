package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sexton.dev/check"
	"sexton.dev/collect"
	"sexton.dev/holding"
	"sexton.dev/linux/cgroupfs"
	"sexton.dev/snapshot"
)

// A holdersReport is what holders prints of one target.
type holdersReport struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Target     heldTarget      `json:"target"`
	Mounts     []heldMount     `json:"mounts"`
	Holders    []check.Holder  `json:"holders"`
	Unknown    []check.Unknown `json:"unknown"`
	Looked     *way            `json:"looked,omitempty"`
	host       *snapshot.Host
}

type heldTarget struct {
	Name    string   `json:"name"`
	Devices []string `json:"devices"`
}

type heldMount struct {
	MountNamespace   uint64 `json:"mountNamespace"`
	MountNamespaceID uint64 `json:"mountNamespaceID"`
	MountID          uint64 `json:"mountID"`
	Device           string `json:"device"`
	Root             string `json:"root"`
	Path             string `json:"path"`
	Type             string `json:"type"`
	Source           string `json:"source"`
	Shared           uint64 `json:"shared"`
	Master           uint64 `json:"master"`
}

func (s *session) holdersCommand() *cobra.Command {
	var host hostFlags
	var out outputFlags
	var bare bool
	cmd := &cobra.Command{
		Use:   "holders TARGET...",
		Short: "say who keeps a mount, a device or a volume, in every mount namespace",
		Long: `holders lists everybody who keeps TARGET: mount namespaces that still have it
mounted and what keeps those (a process, a single thread, a bound file, an open
file, a descriptor in flight), detached mounts, open files, directories and
mappings, what is mounted on it, overlays, loop devices and swap files.

TARGET is a path, a container's id or name, a pod, a volume's name, a device
(/dev/rbd0, 8:16, a device mapper's name), a superblock (0:50) or a mount id. Any
text that is in a mount's path, root, source or options is found. A path that no
mount has is looked for where its symbolic links lead.

It exits with 0 if nothing holds it, 3 if something does, 4 if it cannot tell:
without root, or in a PID namespace whose /proc does not show all processes.`,
		Example: `  sexton holders /var/lib/kubelet/pods/1b2c/volumes/kubernetes.io~csi/pv/mount
  sexton holders 4e09fa6803fe
  sexton holders /dev/rbd0 -o json`,
		Args: atLeastTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			host.interval = 0
			return s.runHolders(cmd, &host, out, args, bare)
		},
	}
	host.add(cmd)
	out.add(cmd)
	cmd.Flags().MarkHidden("interval")
	cmd.Flags().BoolVar(&bare, "no-references", false, "leave out open files, directories and mappings")
	return cmd
}

func atLeastTarget(cmd *cobra.Command, args []string) error {
	if len(args) == 0 || slices.Contains(args, "") {
		return withHint(wrongUse{fmt.Errorf("wants at least one TARGET")}, cmd.CommandPath()+" --help")
	}
	return nil
}

func (s *session) runHolders(cmd *cobra.Command, host *hostFlags, out outputFlags, args []string, bare bool) error {
	parts := []snapshot.Part{snapshot.MountTables}
	if !bare {
		parts = append(parts, snapshot.References)
	}
	parts = append(parts, snapshot.Processes, snapshot.Places)
	if !slices.ContainsFunc(args, holding.IsDevice) || len(args) > 1 {
		parts = append(parts, snapshot.Names)
	}
	found := finder{host.follow, map[string]holding.Parts{}}
	host.narrow = found.narrowTo(args)
	host.layers = func(h *snapshot.Host) []collect.Layer {
		var dirs []collect.Layer
		for _, word := range args {
			for _, l := range holding.Layers(h, found.parts(h, word).Word) {
				dirs = append(dirs, collect.Layer(l))
			}
		}
		return dirs
	}
	_, now, err := s.look(cmd.Context(), host, parts)
	if err != nil {
		return err
	}
	var all []*holdersReport
	for _, word := range args {
		all = append(all, newHoldersReport(now, found.parts(now, word).In(now), word, parts))
	}
	if err := s.printHolders(out, all); err != nil {
		return err
	}
	for _, r := range all {
		switch {
		case len(r.Holders) > 0:
			s.code = Findings
		case s.code == 0 && slices.ContainsFunc(r.Unknown, func(u check.Unknown) bool { return u.Whole }):
			s.code = CantTell
		}
	}
	return nil
}

// A finder searches the tables of one look once for each word.
type finder struct {
	follow func(string) string // see hostFlags
	known  map[string]holding.Parts
}

func (f finder) parts(h *snapshot.Host, word string) holding.Parts {
	id := idOf(h, word)
	parts, known := f.known[id]
	if !known {
		parts = search(h, word, f.follow)
		f.known[id] = parts
	}
	return parts
}

// narrowTo says what a question about these targets can do without.
func (f finder) narrowTo(words []string) *collect.Narrow {
	if !slices.ContainsFunc(words, func(w string) bool { return !holding.IsDevice(w) }) {
		return &collect.Narrow{Devices: words}
	}
	return &collect.Narrow{
		Means: func(stand *snapshot.Mounts) collect.Meaning { return f.meaning(stand, words) },
		Named: slices.ContainsFunc(words, mayBeName),
		Asked: func(h *snapshot.Host) collect.Asked {
			var a collect.Asked
			for _, word := range words {
				t := f.parts(h, word).In(h)
				a.Namespaces, a.Devices, a.Mounts = append(a.Namespaces, t.Namespaces()...), append(a.Devices, t.Devices...), append(a.Mounts, t.IDs()...)
			}
			return a
		},
	}
}

// meaning chooses what [search] and [holding.Layers] need for one of the words. Links
// are followed as late as here, where the look's time is limited.
func (f finder) meaning(stand *snapshot.Mounts, words []string) (out collect.Meaning) {
	var asked, near []func(*snapshot.Mount) bool
	for _, word := range f.ways(words) {
		asked, near = append(asked, holding.Means(stand, word)), append(near, holding.Near(word))
		if strings.HasPrefix(word, "/") {
			out.Below = append(out.Below, word)
		}
	}
	out.Asked, out.Near = anyOf(asked), anyOf(near)
	return out
}

func anyOf(all []func(*snapshot.Mount) bool) func(*snapshot.Mount) bool {
	return func(m *snapshot.Mount) bool {
		return slices.ContainsFunc(all, func(is func(*snapshot.Mount) bool) bool { return is(m) })
	}
}

// ways are the words, and where the symbolic links of those that are paths lead: see search.
func (f finder) ways(words []string) []string {
	out := slices.Clone(words)
	for _, word := range words {
		if at := f.follow(word); at != word {
			out = append(out, at)
		}
	}
	return out
}

// mayBeName reports whether a word may be one that only a runtime or kubelet knows:
// it is no path, device or full id.
func mayBeName(word string) bool {
	return !holding.IsDevice(word) && !strings.HasPrefix(word, "/") && !cgroupfs.IsID(word)
}

func newHoldersReport(h *snapshot.Host, t holding.Target, word string, parts []snapshot.Part) *holdersReport {
	r := &holdersReport{APIVersion: apiVersion, Kind: "Holders", Target: heldTarget{Name: word, Devices: append([]string{}, t.Devices...)},
		Mounts: []heldMount{}, Holders: []check.Holder{}, Unknown: []check.Unknown{}, Looked: wayOf(h), host: h}
	for _, p := range t.Mounts {
		m := p.Mount
		r.Mounts = append(r.Mounts, heldMount{p.Namespace.Inode, p.Namespace.ID, m.ID, m.Device, m.Root, m.Point, m.Type, m.Source, m.Shared, m.Master})
	}
	r.Holders = append(r.Holders, holding.Of(h, t)...)
	if len(r.Holders) == 0 && holding.Alive(h, t) {
		r.Holders = append(r.Holders, check.Holder{Kind: "unknown"})
	}
	for _, u := range h.Unread {
		if slices.Contains(parts, u.Part) && u.Part != snapshot.Names {
			r.Unknown = append(r.Unknown, check.Unknown{Check: "holders", What: u.Path, Why: u.Err, Whole: u.Whole})
		}
	}
	return r
}

// idOf is the id of the container that a word names, or the pod's UID, or the word. A
// full id is what it says, though somebody may give a container that name.
func idOf(h *snapshot.Host, word string) string {
	if !mayBeName(word) {
		return word
	}
	for i := range h.Containers {
		switch c := &h.Containers[i]; {
		case c.Name == word && c.Name != "":
			return c.ID
		case c.Pod == word && c.PodUID != "":
			return c.PodUID
		}
	}
	return word
}

func (s *session) printHolders(out outputFlags, all []*holdersReport) error {
	items := itemsOf(all)
	var whole any = items
	if len(all) == 1 {
		whole = all[0]
	}
	return s.print(out, whole, items, func(p *page, wide bool) {
		for i, r := range all {
			if i > 0 {
				p.line("")
			}
			r.draw(p, wide)
		}
	})
}

func (r *holdersReport) draw(p *page, wide bool) {
	spaces := map[uint64]bool{}
	for _, m := range r.Mounts {
		spaces[m.MountNamespace] = true
	}
	p.line("%s", styled{bold, r.Target.Name})
	if len(r.Mounts) > 0 {
		m := r.Mounts[0]
		p.line("  %s %s on %s, in %s of %s", m.Type, m.Device, m.Path, check.Count(len(r.Mounts), "mount"), check.Count(len(spaces), "mount namespace"))
	}
	if len(r.Holders) == 0 {
		p.line("  %s", r.nobody())
	}
	const most = 20
	shown := len(r.Holders)
	if !wide {
		shown = min(shown, most)
	}
	var rows [][]string
	for _, h := range r.Holders[:shown] {
		rows = append(rows, r.row(h))
	}
	if len(rows) > 0 {
		p.table([]string{"HELD BY", "WHO", "WHERE", "NAMESPACE"}, rows)
	}
	if left := len(r.Holders) - shown; left > 0 {
		p.line("  and %d more: -o wide", left)
	}
	for _, u := range r.Unknown {
		p.line("%s  %s: %s", styled{dim, "unknown"}, u.What, u.Why)
	}
}

// nobody is the answer where no holder was found: it is a clear one only if all was read.
func (r *holdersReport) nobody() string {
	switch {
	case slices.ContainsFunc(r.Unknown, func(u check.Unknown) bool { return u.Whole }):
		return "cannot tell whether anything holds it"
	case len(r.Unknown) > 0:
		return "nothing that could be read holds it"
	}
	return "nothing holds it"
}

func (r *holdersReport) row(h check.Holder) []string {
	space := ""
	if h.MountNamespace != 0 {
		space = fmt.Sprintf("mnt:[%d]", h.MountNamespace)
	}
	return []string{h.Kind, holding.Who(r.host, h), h.Path, space}
}
