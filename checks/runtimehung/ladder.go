package runtimehung

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// maxPrograms is of how many containers beside a pod's sandbox a ladder has the program.
const maxPrograms = 8

// ladder draws the rungs that a request for the culprit's container passes, from
// the client down, with what each last said.
func (j *judge) ladder(c culprit) []check.Rung {
	var out []check.Rung
	add := func(r snapshot.Rung, p *snapshot.Process, text string) {
		rung := check.Rung{Layer: string(r), Said: text}
		if p != nil {
			rung.Name, rung.PID = p.Comm, p.PID
		}
		if r == c.rung && (p == nil || p == c.process || c.kernel || r == snapshot.RungClient) {
			rung.Silent, rung.Wait = true, c.wait
		}
		out = append(out, rung)
	}
	shim := j.shim(c)
	daemons := j.daemons(c, shim)
	kubelet := j.kubelet(c)
	text := j.client(daemons)
	if kubelet != nil {
		text = "state " + string(kubelet.State) + ", asks by CRI; " + text
	}
	add(snapshot.RungClient, kubelet, text)
	for _, d := range daemons {
		if p := j.now.Same(d.ID()); p != nil {
			add(d.Rung, p, j.daemonSaid(d, p))
		}
	}
	if shim != nil {
		if p := j.now.Same(shim.ID()); p != nil {
			add(shim.Rung, p, j.shimSaid(shim, p))
		}
	}
	j.below(c, shim, add)
	if c.kernel {
		text := "holds " + c.process.Comm + fmt.Sprintf(" (pid %d)", c.process.PID)
		add(snapshot.RungKernel, nil, text)
		if c.rung != snapshot.RungKernel { // the layer is the daemon's, its wait the kernel's
			out[len(out)-1].Wait = c.wait
		}
	}
	return out
}

// below adds what is under the shim: runc, its init and the program.
func (j *judge) below(c culprit, shim *snapshot.Layer, add func(snapshot.Rung, *snapshot.Process, string)) {
	if c.container == "" {
		return
	}
	for _, r := range []snapshot.Rung{snapshot.RungChild, snapshot.RungInit} {
		for _, x := range j.now.Ladder.Of(r) {
			p := j.now.Same(x.ID())
			if p == nil || x.Container != c.container && p != c.process {
				continue
			}
			text := "state " + string(p.State)
			if r == snapshot.RungChild {
				text = strings.TrimSpace(fmt.Sprintf("%s, for %s, %s", cmp.Or(x.Operation, "an operation"), check.Age(j.age(p)), text))
			}
			if x.Wait != nil && p != c.process {
				text += ", " + where(*x.Wait)
			}
			add(r, p, text)
			break
		}
	}
	beside := j.beside(c)
	for _, id := range append([]string{c.container}, beside[:min(len(beside), maxPrograms)]...) {
		j.addProgram(j.program(id, shim), add)
	}
}

// addProgram adds a container's program, if it has one.
func (j *judge) addProgram(p *snapshot.Process, add func(snapshot.Rung, *snapshot.Process, string)) {
	if p == nil {
		return
	}
	text := "state " + string(p.State)
	if j.now.Frozen(p) != nil {
		text += ", frozen"
	}
	if x := j.now.Ladder.Layer(p.ID()); x != nil && x.Rung == snapshot.RungProgram && x.Wait != nil {
		text += ", waits for a reader: " + where(*x.Wait)
	}
	add(snapshot.RungProgram, p, text)
}

// program returns a container's first process once it is past runc's init: as the
// runtime knows it or, where a silent shim does not tell, the shim's own child.
func (j *judge) program(container string, shim *snapshot.Layer) *snapshot.Process {
	if box := j.now.Container(container); box != nil {
		if p := j.now.Process(box.Init); p != nil {
			if snapshot.RuncInit(p.Comm) {
				return nil
			}
			return p
		}
	}
	if shim == nil || shim.Container != container {
		return nil
	}
	for _, p := range j.now.Children(shim.PID) {
		if j.now.Ladder.Layer(p.ID()) == nil && p.State != snapshot.Dead {
			return p
		}
	}
	return nil
}

// shim returns the shim or conmon of the culprit's container, or the culprit itself.
func (j *judge) shim(c culprit) *snapshot.Layer {
	is := func(x *snapshot.Layer) bool {
		return x != nil && (x.Rung == snapshot.RungShim || x.Rung == snapshot.RungConmon)
	}
	if own := j.now.Ladder.Layer(c.process.ID()); is(own) {
		return own
	}
	for _, r := range []snapshot.Rung{snapshot.RungShim, snapshot.RungConmon} {
		for _, x := range j.now.Ladder.Of(r) {
			if x.Container == c.container && c.container != "" {
				return x
			}
		}
	}
	start := c.process
	if box := j.now.Container(c.container); box != nil && j.now.Process(box.Init) != nil {
		start = j.now.Process(box.Init)
	}
	for up, n := start, 0; up != nil && n < 64; up, n = j.now.Process(up.PPID), n+1 { // a container of a pod whose shim has the sandbox's id
		if x := j.now.Ladder.Layer(up.ID()); is(x) && c.container != "" {
			return x
		}
	}
	return nil
}

// kubelet returns who asks for the containers of pods, where it is a process of the
// host's own; nil if no pod waits for the culprit, as far as is known.
//
// Source: k3s v1.30 and microk8s, whose servers are the kubelet too.
func (j *judge) kubelet(c culprit) *snapshot.Process {
	box := j.now.Container(c.container)
	if c.container == "" && c.rung == snapshot.RungDockerd || c.container != "" && (box == nil || box.Pod == "") {
		return nil
	}
	for i := range j.now.Processes {
		if p := &j.now.Processes[i]; p.Container == "" && slices.Contains([]string{"kubelet", "k3s-server", "k3s-agent", "kubelite"}, p.Comm) {
			return p
		}
	}
	return nil
}

// daemons returns those above a shim: dockerd for containerd's namespace moby, and
// containerd; above conmon what runs there.
func (j *judge) daemons(c culprit, shim *snapshot.Layer) (out []*snapshot.Layer) {
	want := []snapshot.Rung{snapshot.RungDockerd, snapshot.RungContainerd}
	switch {
	case shim != nil && shim.Rung == snapshot.RungConmon:
		want = []snapshot.Rung{snapshot.RungCRIO, snapshot.RungPodman}
	case shim != nil && shim.Namespace != "moby" && shim.Namespace != "":
		want = want[1:]
	case c.rung == snapshot.RungCRIO || c.rung == snapshot.RungPodman:
		want = []snapshot.Rung{c.rung}
	case c.rung == snapshot.RungCRIDockerd:
		want = []snapshot.Rung{c.rung, snapshot.RungDockerd, snapshot.RungContainerd}
	}
	near := c.process // the layer below the next one
	for _, r := range slices.Backward(want) {
		all := j.now.Ladder.Of(r)
		if len(all) == 0 {
			continue
		}
		chosen := slices.MaxFunc(all, func(a, b *snapshot.Layer) int { return cmp.Compare(j.belongs(a, c, near), j.belongs(b, c, near)) })
		out = append(out, chosen)
		if p := j.now.Same(chosen.ID()); p != nil {
			near = p
		}
	}
	slices.Reverse(out)
	return out
}

// belongs says how sure it is that a daemon is the one above a process.
func (j *judge) belongs(d *snapshot.Layer, c culprit, below *snapshot.Process) int {
	p := j.now.Same(d.ID())
	switch {
	case d.PID == c.process.PID:
		return 5
	case p == nil:
		return 0
	}
	if sure := j.now.Above(p, below); sure > 0 {
		return 1 + sure
	}
	if j.down[d.PID] {
		return 1
	}
	return 0
}

// client says what sexton, as a client, met.
func (j *judge) client(daemons []*snapshot.Layer) string {
	for _, d := range daemons {
		for _, r := range j.now.Runtimes {
			if p := j.server(r); p != nil && p.PID == d.PID && len(r.Said) > 0 {
				if r.Said[0].Full {
					return "sexton, could not connect to " + r.Socket
				}
				return "sexton, connected to " + r.Socket
			}
		}
	}
	return "sexton, asked none of the daemons"
}

// daemonSaid tells a daemon's answers, the last of them first unanswered.
func (j *judge) daemonSaid(d *snapshot.Layer, p *snapshot.Process) string {
	if p.State == snapshot.Stopped {
		return "stopped (state T), not asked"
	}
	var all []string
	for _, r := range j.now.Runtimes {
		if server := j.server(r); server == nil || server.PID != d.PID {
			continue
		}
		text := answers(r.Said)
		if len(r.Said) == 0 {
			text = cmp.Or(r.Err, "not asked")
		}
		if len(all) > 0 { // containerd is asked by its own API first
			text = "by " + r.Kind + " " + text
		}
		all = append(all, text)
	}
	if len(all) > 0 {
		return strings.Join(all, "; ")
	}
	return "not asked; state " + string(p.State)
}

func (j *judge) shimSaid(x *snapshot.Layer, p *snapshot.Process) string {
	switch {
	case p.State == snapshot.Stopped:
		return "stopped (state T), not asked"
	case len(x.Said) == 0:
		return "not asked; state " + string(p.State)
	}
	return answers(x.Said)
}

func answers(all []snapshot.Said) string {
	var parts []string
	for _, s := range all {
		parts = append(parts, said(s))
	}
	return strings.Join(parts, ", ")
}
