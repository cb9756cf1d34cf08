package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/snapshot"
)

// askWithin bounds the question to one runtime. It is asked while the scan
// waits for its second look, so it costs no time unless the runtime is silent.
const askWithin = 1500 * time.Millisecond

// A reply is what the child says of one socket.
type reply struct {
	Answer runtimes.Answer `json:"answer"`
	Err    string          `json:"err,omitempty"`
	Silent bool            `json:"silent,omitempty"`
	Ran    bool            `json:"ran,omitempty"`    // the daemon, or containerd below it, was at work meanwhile
	Other  bool            `json:"other,omitempty"`  // it speaks, but not the API that it was asked by
	Asleep bool            `json:"asleep,omitempty"` // systemd listens for a service that does not run: there is nobody to ask
}

// daemons names the processes that answer on each kind of socket.
var daemons = map[runtimes.Kind][]string{
	runtimes.Docker:     {"dockerd"},
	runtimes.Containerd: {"containerd"},
	runtimes.CRI:        {"containerd", "crio", "cri-dockerd"},
	runtimes.Podman:     {"podman"},
}

// askRuntimes asks every runtime on the host for its containers, all at once,
// and returns a function that waits for the answers. A daemon that is stopped
// is not asked, nor one that was silent before and has not changed since.
func (l *looker) askRuntimes(ctx context.Context) func() []reply {
	if !l.wants(snapshot.Names) {
		return func() []reply { return nil }
	}
	sockets, err := askFor[[]runtimes.Socket](l, "sockets", func() ([]byte, error) { return json.Marshal(runtimes.Sockets(l.Root, os.Getenv)) })
	l.unread(snapshot.Names, "runtime sockets", err)
	l.layers()
	sockets = append(sockets, l.ownSockets(sockets)...)
	replies := make([]reply, len(sockets))
	quiet := l.quiet()
	// Only called on a live host: a recording has the reasons in its answers.
	asleep := sync.OnceValues(func() (map[string]bool, error) { return runtimes.Dormant(l.Root, sockets) })
	var wait sync.WaitGroup
	for i, s := range sockets {
		q := question{s, l.serving(s.Path), l.behind(s)} // now: the ladder is made anew while they are asked
		wait.Go(func() { replies[i] = l.askOne(ctx, q, quiet, asleep) })
	}
	return func() []reply { wait.Wait(); return replies }
}

// A question is a socket to ask, with the pids of who answers there, and of who is at
// work for it.
type question struct {
	runtimes.Socket
	serving, behind []int
}

func (l *looker) askOne(ctx context.Context, s question, quiet *silentSockets, asleep func() (map[string]bool, error)) reply {
	fail := func(why string) reply {
		return reply{Answer: runtimes.Answer{Kind: s.Kind, Socket: s.Path}, Err: why}
	}
	r, err := askFor[reply](l, "runtime/"+string(s.Kind)+s.Path, func() ([]byte, error) {
		if why := l.notAsked(s, quiet); why != "" {
			return json.Marshal(fail(why))
		}
		if dormant, err := asleep(); dormant[s.Path] {
			return json.Marshal(reply{Answer: runtimes.Answer{Kind: s.Kind, Socket: s.Path}, Asleep: true})
		} else if err != nil && !l.h.Root {
			return json.Marshal(fail("not asked: without root it cannot be told whether that would start the service: " + err.Error()))
		}
		s.Brief = s.Brief || s.Kind == runtimes.Docker && l.stopped("containerd")
		r := l.askLive(ctx, s)
		if r.Answer.Kind == "" {
			r.Answer.Kind, r.Answer.Socket = s.Kind, s.Path
		}
		if r.Silent && !r.Ran { // one that was at work does answer, late, and nothing of the question stays
			quiet.add(s.Socket)
		}
		return json.Marshal(r)
	})
	if err != nil {
		return fail(cause(err))
	}
	return r
}

func (l *looker) askLive(ctx context.Context, s question) reply {
	spec, err := json.Marshal(s.Socket)
	if err != nil {
		return reply{Err: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin+askWithin/5)
	defer cancel()
	text, err := l.Child(ctx, append([]string{"runtime", string(spec), l.Proc}, words(s.behind)...)...)
	var r reply
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		// The child keeps its own time: one that does not even say so is itself kept from running.
		return reply{Err: cause(err), Silent: ctx.Err() != nil, Ran: true}
	}
	return r
}

// quiet is the memory of who was silent.
func (l *looker) quiet() *silentSockets {
	return &silentSockets{file: silentFile, identity: l.identities()}
}

// ownSockets returns the sockets that no other list has: of a dockerd elsewhere than
// usual, and of the containerd that it started for itself, which is asked for no
// more than its version.
func (l *looker) ownSockets(known []runtimes.Socket) (own []runtimes.Socket) {
	if l.h.Ladder == nil {
		return nil
	}
	kinds := map[string]runtimes.Kind{"docker.sock": runtimes.Docker, "containerd.sock": runtimes.Containerd}
	for _, s := range l.h.Ladder.Listeners {
		kind := kinds[path.Base(s.Path)]
		is := func(k runtimes.Socket) bool { return samePath(l.Root, s.Path, k.Path) }
		if kind != "" && local(s.Path) && !slices.ContainsFunc(known, is) {
			own = append(own, runtimes.Socket{Kind: kind, Path: path.Join("/", l.Root, s.Path), From: "process", Brief: kind == runtimes.Containerd})
		}
	}
	return own
}

// behind returns the pids of who answers on a socket, and of docker's containerd,
// which it may wait for.
func (l *looker) behind(s runtimes.Socket) (pids []int) {
	pids = append(pids, l.serving(s.Path)...)
	if l.h.Ladder == nil || s.Kind != runtimes.Docker {
		return pids
	}
	for _, x := range l.h.Ladder.Of(snapshot.RungContainerd) {
		pids = append(pids, x.PID)
	}
	return pids
}

func words(pids []int) (out []string) {
	for _, pid := range pids {
		out = append(out, strconv.Itoa(pid))
	}
	return out
}

// notAsked says why a runtime is better left alone, "" if it may be asked:
// every question that hangs leaves a goroutine and maybe a lock behind in the daemon.
func (l *looker) notAsked(s question, quiet *silentSockets) string {
	var stopped []string
	awake := false
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		if !slices.Contains(daemons[s.Kind], p.Comm) || p.Container != "" || len(s.serving) > 0 && !slices.Contains(s.serving, p.PID) {
			continue
		}
		if p.State == snapshot.Stopped {
			stopped = append(stopped, fmt.Sprintf("%s (pid %d) is stopped", p.Comm, p.PID))
		} else {
			awake = true
		}
	}
	if len(stopped) > 0 && !awake {
		return "not asked: " + strings.Join(stopped, ", ")
	}
	if !l.AskAgain && quiet.has(s.Socket) {
		return "not asked: it was silent before and has not been restarted since; --ask-again asks all the same"
	}
	return ""
}

// stopped reports whether a process of the host's own with this name is stopped.
func (l *looker) stopped(comm string) bool {
	return slices.ContainsFunc(l.h.Processes, func(p snapshot.Process) bool {
		return p.Comm == comm && p.State == snapshot.Stopped && p.Container == ""
	})
}

// identities returns, for each kind of runtime, who may answer now.
func (l *looker) identities() map[runtimes.Kind]string {
	out := map[runtimes.Kind]string{}
	for kind, comms := range daemons {
		var who []string
		for i := range l.h.Processes {
			if p := &l.h.Processes[i]; slices.Contains(comms, p.Comm) {
				who = append(who, fmt.Sprintf("%d.%d", p.PID, p.Start))
			}
		}
		out[kind] = strings.Join(who, ",")
	}
	return out
}
