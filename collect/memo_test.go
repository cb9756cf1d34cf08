package collect

import (
	"strings"
	"testing"

	"sexton.dev/snapshot"
)

// A numbered door counts the questions about processes.
type numbered struct {
	fake
	asked map[string]int
}

func (c numbered) count(question, path string) {
	if rest, ok := strings.CutPrefix(path, "/proc/"); ok && rest[0] >= '2' && rest[0] <= '9' {
		c.asked[question+path]++
	}
}

func (c numbered) ReadFile(path string) ([]byte, error) {
	c.count("read ", path)
	return c.fake.ReadFile(path)
}

func (c numbered) ReadLink(path string) (string, error) {
	c.count("link ", path)
	return c.fake.ReadLink(path)
}

func (c numbered) ReadDir(path string) ([]string, error) {
	c.count("dir ", path)
	return c.fake.ReadDir(path)
}

// Nothing is asked twice of one process in one look: a recorder would unpack all
// that it has for it.
func TestAskedOnce(t *testing.T) {
	f := ladderHost()
	f.process(82, 80, "T", "containerd-shim", map[string]any{"cwd": "-> " + bundle, "fd/3": "-> socket:[900]"}) // stopped: FUSE is looked for
	f["ask/cmdline/82"] = ""
	c := numbered{f, map[string]int{}}
	o := all()
	o.Parts = append(o.Parts, snapshot.Rungs, snapshot.Fifos)
	Looks(t.Context(), c, nil, o)
	if len(c.asked) < 30 {
		t.Fatalf("only %d questions", len(c.asked))
	}
	for question, n := range c.asked {
		if n > 1 {
			t.Errorf("%d times: %s", n, question)
		}
	}
}
