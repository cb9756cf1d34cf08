package propagation_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A step is one act in the notation of the tests:
//
//	A tmpfs p       in namespace A, mount a new tmpfs on p; also mkdir, hold (open it), umount,
//	                umount-l (lazy), rmdir, beneath, shared, slave, private, unbindable and rshared, ...
//	A bind p q      also rbind, move, rename, tree (open_tree and move_mount), rtree
//	B=A             B is a clone of A by the first user namespace
//	U=A user        the same, in a new user namespace
//
// A path is below /x, a shared tmpfs that A begins with, and "." is /x; with a slash in front it is
// the whole path. What a mount needs to stand on is made first.
type step struct {
	space string // the namespace that acts, or the new one
	verb  string // "=" for a clone
	args  []string
}

func (s step) String() string {
	if s.verb == "=" {
		return s.space + "=" + strings.Join(s.args, " ")
	}
	return strings.Join(append([]string{s.space, s.verb}, s.args...), " ")
}

// full is the whole path of an argument.
func (s step) full(n int) string {
	if n >= len(s.args) {
		return ""
	}
	return full(s.args[n])
}

func full(p string) string {
	if strings.HasPrefix(p, "/") {
		return path.Clean(p)
	}
	return path.Join("/x", p)
}

// short is the path as the notation has it.
func short(p string) string {
	if p == "/x" {
		return "."
	}
	return strings.TrimPrefix(p, "/x/")
}

func parseSteps(text string) ([]step, error) {
	var out []step
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		if space, from, clone := strings.Cut(part, "="); clone {
			out = append(out, step{strings.TrimSpace(space), "=", strings.Fields(from)})
			continue
		}
		f := strings.Fields(part)
		if len(f) < 3 {
			return nil, fmt.Errorf("step %q: want a namespace, a verb and a path", part)
		}
		out = append(out, step{f[0], f[1], f[2:]})
	}
	return out, nil
}

// isType says whether a verb changes how a mount propagates.
func isType(verb string) bool {
	return slices.Contains([]string{"shared", "slave", "private", "unbindable"}, strings.TrimPrefix(verb, "r"))
}
