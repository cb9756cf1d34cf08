package propagation_test

import (
	"math/rand/v2"
	"slices"
)

// A generator draws topologies.
type generator struct {
	*rand.Rand
	flavour    string
	spaces     []string // by name
	containers []string // those with a root of their own, which are left alone once made
	steps      []step
}

// flavours of topologies: what is frequent in them.
var flavours = []string{"plain", "stacks", "containers", "users"}

// dirs below /x; few, so that they meet.
var dirs = []string{".", "p", "p/v", "p/v/s", "b", "b/v", "b/v/s", "c", "c/v", "b/p", "p/v/s/q"}

func pick[T any](g *generator, of []T) T { return of[g.IntN(len(of))] }

func (g *generator) add(space, verb string, args ...string) {
	g.steps = append(g.steps, step{space, verb, args})
}

// any is a namespace that is no container.
func (g *generator) any() string {
	for {
		if s := pick(g, g.spaces); !slices.Contains(g.containers, s) {
			return s
		}
	}
}

// clone adds a namespace and returns its name.
func (g *generator) clone(from string, user bool) string {
	name := string(rune('A' + len(g.spaces)))
	g.spaces = append(g.spaces, name)
	args := []string{from}
	if user {
		args = append(args, "user")
	}
	g.add(name, "=", args...)
	return name
}

func (g *generator) user() bool { return g.flavour == "users" && g.IntN(2) == 0 }

// grow adds one random change, which may be a few steps.
func (g *generator) grow(most int) {
	s, d := g.any(), pick(g, dirs)
	switch {
	case g.flavour == "containers" && g.IntN(6) == 0 && len(g.spaces) <= most:
		g.container(s, d)
		return
	case g.flavour == "stacks" && g.IntN(4) == 0: // an overmount that one copy alone has
		d = pick(g, []string{"p", "p/v", "p/v/s", "b", "b/v"})
		g.add(s, "private", d)
		g.add(s, "tmpfs", d)
		return
	}
	switch k := g.IntN(20); {
	case k < 5:
		g.add(s, "tmpfs", d)
	case k < 8:
		g.add(s, pick(g, []string{"bind", "rbind"}), pick(g, dirs), d)
	case k < 13:
		g.add(s, g.kind(), d)
	case k < 15:
		g.add(s, "move", pick(g, dirs), d)
	case k < 16:
		g.add(s, "umount-l", d)
	case len(g.spaces) < most:
		name := g.clone(s, g.user())
		if how := pick(g, []string{"", "", "rslave", "rprivate"}); how != "" {
			g.add(name, how, ".")
		}
		if g.IntN(2) == 0 {
			g.add(name, "rshared", ".")
		}
	}
}

func (g *generator) kind() string {
	kind := pick(g, []string{"shared", "shared", "shared", "slave", "slave", "slave", "private", "private", "unbindable"})
	if g.IntN(3) == 0 {
		kind = "r" + kind
	}
	return kind
}

// container adds a namespace with a root of its own, made as container runtimes do.
func (g *generator) container(from, d string) {
	name := g.clone(from, g.user())
	g.containers = append(g.containers, name)
	g.add(name, pick(g, []string{"rslave", "rslave", "rprivate"}), "/")
	g.add(name, pick(g, []string{"bind", "rbind"}), d, d)
	if g.IntN(2) == 0 {
		g.add(name, "rbind", ".", d+"/host")
	}
	g.add(name, "pivot", d)
	g.add(name, "umount-l", "/old")
	if g.IntN(3) == 0 {
		g.add(name, "rshared", "/")
	}
}

// draw makes a topology of n changes in at most so many namespaces and a container more.
func draw(r *rand.Rand, flavour string, n, most int) *generator {
	g := &generator{Rand: r, flavour: flavour, spaces: []string{"A"}}
	for range n {
		g.grow(most)
	}
	return g
}

// holders adds uses of mounts.
func (g *generator) holders(n int) {
	for range n {
		s, where := pick(g, g.spaces), pick(g, dirs)
		if slices.Contains(g.containers, s) {
			where = pick(g, []string{"/", "/v", "/s", "/p", "/host", "/host/p", "/host/b", "/host/p/v"})
		}
		g.add(s, pick(g, []string{"hold", "hold", "open", "open", "map", "send", "cwd", "root"}), where)
	}
}
