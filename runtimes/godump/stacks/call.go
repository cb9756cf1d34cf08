package stacks

import (
	"slices"
	"strings"

	"sexton.dev/runtimes/godump"
)

// A Call is a question to another layer that is not answered, of all goroutines that ask it.
type Call struct {
	From       string `json:"from"`
	To         string `json:"to"`
	Operation  string `json:"operation"` // "tasks.Kill", "runc exec"
	Goroutines int    `json:"goroutines"`
	Minutes    int    `json:"minutes"`  // of the longest wait; -1: the text does not say
	Function   string `json:"function"` // that of the longest wait
	ID         uint64 `json:"id"`
	Dump       int    `json:"dump"`
}

type call struct {
	to, operation string
	normal        bool // it may be a question that is answered late by design
}

// callOf finds the call that a stack waits for: a generated client above a
// transport, or go-runc above a wait for its child. Streams and Wait are no
// finding: they are open as long as a container lives.
func callOf(g *godump.Goroutine) (call, bool) {
	transport := ""
	for i := range g.Frames {
		f := g.Frames[i].Func
		switch {
		case strings.HasSuffix(f, "ttrpc.(*Client).dispatch") || strings.HasSuffix(f, "ttrpc.(*Client).Call"):
			transport = "ttrpc"
		case strings.HasSuffix(f, "grpc.invoke") || strings.HasSuffix(f, "grpc.Invoke") || strings.HasSuffix(f, "grpc.(*ClientConn).Invoke"):
			transport = "grpc"
		case strings.Contains(f, "reaper.(*Monitor).Wait") || strings.HasSuffix(f, "os/exec.(*Cmd).Wait") || strings.HasSuffix(f, "os.(*Process).Wait"):
			transport = "exec"
		case transport == "exec" && strings.Contains(f, "go-runc.(*Runc).") && isPublic(method(f)): // runOrError is below many
			return call{to: "runc", operation: "runc " + strings.ToLower(method(f))}, true
		case transport == "grpc" || transport == "ttrpc":
			if service, m, ok := stub(f); ok {
				c := call{to: calledBy(transport, f, service), operation: service + "." + m}
				return c, !strings.HasPrefix(m, "Wait") && !contains(m, "Subscribe", "Watch", "Connect")
			}
		}
	}
	if transport == "ttrpc" { // cut before the stub
		return byLength(g), true
	}
	return call{to: "a gRPC server"}, transport == "grpc"
}

// stub reads "path/v1.(*tasksClient).Kill".
func stub(f string) (service, m string, ok bool) {
	open := strings.LastIndex(f, "(*")
	if open < 0 {
		return "", "", false
	}
	receiver, m, ok := strings.Cut(f[open+2:], ").")
	service, isClient := strings.CutSuffix(receiver, "Client")
	if !ok || !isClient || service == "" || strings.Contains(m, ".") {
		return "", "", false
	}
	return strings.TrimPrefix(strings.TrimPrefix(service, "ttrpc"), "tTRPC"), m, true
}

func isPublic(name string) bool { return name != "" && 'A' <= name[0] && name[0] <= 'Z' }

func method(f string) string { return f[strings.LastIndexByte(f, '.')+1:] }

func calledBy(transport, f, service string) string {
	switch {
	case contains(service, "runtimeService", "imageService"):
		return "the container runtime (CRI)"
	case transport == "ttrpc" && contains(service, "task", "Task", "shim", "sandbox", "Sandbox"):
		return "shim"
	case strings.Contains(f, "containerd"):
		return "containerd"
	case strings.Contains(f, "/csi"):
		return "a CSI driver"
	case strings.Contains(f, "buildkit"):
		return "buildkitd"
	}
	return "a gRPC server"
}

// operations of a shim's API, containerd.task.v2.Task and its predecessor.
var operations = []string{"Checkpoint", "CloseIO", "Connect", "Create", "Delete", "Exec", "Kill", "Pause", "Pids", "ResizePty", "Resume", "Shutdown", "Start", "State", "Stats", "Update", "Wait"}

// byLength tells a ttrpc operation from the lengths of the two strings that
// (*Client).Call gets: its service and its method.
func byLength(g *godump.Goroutine) call {
	for i := range g.Frames {
		args := g.Frames[i].Args
		if !strings.HasSuffix(g.Frames[i].Func, "ttrpc.(*Client).Call") || len(args) < 7 {
			continue
		}
		if n := int(args[4].Value); !args[4].Sure || n != len("containerd.task.v2.Task") && n != len("containerd.runtime.linux.shim.v1.Shim") {
			break
		}
		names := slices.DeleteFunc(slices.Clone(operations), func(o string) bool { return uint64(len(o)) != args[6].Value })
		if len(names) > 0 {
			return call{to: "shim", operation: "task." + strings.Join(names, "|"), normal: slices.Contains(names, "Wait")}
		}
	}
	return call{to: "shim"}
}

// calls lists what is asked of other layers, the longest wait first.
func (f *Folder) calls() []Call {
	type asked struct {
		dump      int
		operation string
		to        string
	}
	at := map[asked]int{}
	var out []Call
	for _, n := range f.order {
		if n.Why != Called {
			continue
		}
		k := asked{n.Dump, n.call.operation, n.call.to}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, Call{From: f.dumps[n.Dump].Layer, To: n.call.to, Operation: n.call.operation, Minutes: godump.Unknown - 1, Dump: n.Dump})
		}
		c := &out[i]
		c.Goroutines += n.Goroutines
		if n.Minutes > c.Minutes {
			c.Minutes, c.Function, c.ID = n.Minutes, n.Function, n.oldest().id
		}
	}
	slices.SortStableFunc(out, func(a, b Call) int { return b.Minutes - a.Minutes })
	return out
}

// oldest is the member that has waited longest, of those that are kept.
func (n *group) oldest() member {
	var best member
	for i, m := range n.members {
		if i == 0 || m.minutes > best.minutes {
			best = m
		}
	}
	return best
}
