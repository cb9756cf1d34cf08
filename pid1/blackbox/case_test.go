package blackbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The dialects, as the names that an init is called by.
const (
	own       = "sexton-init"
	tini      = "tini"
	dumb      = "dumb-init"
	catatonit = "catatonit"
	myInit    = "my_init"
)

var (
	everyone = []string{own, tini, dumb, catatonit, myInit}
	peers    = []string{tini, dumb, catatonit} // the programs of which Debian has packages
)

// A behaviour is one thing that an init must do.
type behaviour struct {
	name    string
	in      []string            // dialects
	flags   map[string][]string // the init's arguments by dialect; "" for all
	env     []string
	sh      string   // the main child: a script for sh
	command []string // instead of sh
	around  string   // instead of all: a script as process 1, in which $INIT is the init and its flags
	with    launch   // what the init finds
	prepare func(dir string) error
	do      func(r *run) error // what happens while it runs
	code    int
	codes   map[string]int // exit codes of dialects that have another
	want    []string       // regular expressions that the output must match
	never   []string       // and must not
	check   func(r *run) error
	broken  []string          // mutants that must fail
	differs map[string]string // peers that do not do it, and why
}

// An init is a program to be judged.
type initProgram struct {
	name string
	path string // of the file
	arm  bool   // for arm64, on amd64

	mutant bool // it is broken, or known not to do it
}

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// argv is the command line of a behaviour in a dialect; link is the program's name.
func (b *behaviour) argv(link, dialect string) []string {
	argv := []string{link}
	flags, ok := b.flags[dialect]
	if !ok {
		flags = b.flags[""]
	}
	if dialect == myInit {
		argv = append(argv, "--skip-runit", "--skip-startup-files", "--quiet")
	}
	argv = append(argv, flags...)
	command := b.command
	if command == nil && b.sh != "" {
		command = []string{"/bin/sh", "-c", b.sh}
	}
	if command == nil {
		return argv
	}
	return append(append(argv, "--"), command...)
}

// judge runs an init in a dialect and says what it does wrong.
func (b *behaviour) judge(t *testing.T, p initProgram, dialect string) error {
	dir, err := os.MkdirTemp("", "blackbox") // not below a folder that is root's alone
	if err != nil {
		return err
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		return err
	}
	link := filepath.Join(dir, dialect)
	if err := copyFile(p.path, link); err != nil {
		return err
	}
	if b.prepare != nil {
		if err := b.prepare(dir); err != nil {
			return err
		}
	}
	l := b.with
	l.Emulated, l.Mutant = p.arm, p.mutant
	l.Argv, l.Dir = b.argv(link, dialect), dir
	l.Env = slices.Clone(b.env)
	if !slices.ContainsFunc(b.env, isPath) { // a behaviour may want another, or none
		l.Env = append(l.Env, path)
	}
	l.Env = append(l.Env, "DIR="+dir)
	for i := range l.Argv {
		l.Argv[i] = strings.ReplaceAll(l.Argv[i], "$DIR", dir)
	}
	if b.around != "" {
		l.Env = append(l.Env, "INIT="+strings.Join(l.Argv, " "))
		l.Argv = []string{"/bin/sh", "-c", b.around}
	}
	if l.Root != "" {
		l.Root, l.Dir, l.Argv[0] = dir, "/", "/"+dialect
	}
	r, err := start(t, l)
	if err != nil {
		return err
	}
	r.dir = dir
	if b.do != nil {
		if err := b.do(r); err != nil {
			return err
		}
	}
	code, err := r.code()
	if err != nil {
		return err
	}
	return b.compare(r, dialect, code)
}

func (b *behaviour) compare(r *run, dialect string, code int) error {
	want, ok := b.codes[dialect]
	if !ok {
		want = b.code
	}
	out := r.output()
	if code != want {
		return fmt.Errorf("exit code %d, want %d; output:\n%s", code, want, out)
	}
	for _, w := range b.want {
		if !regexp.MustCompile(w).MatchString(out) {
			return fmt.Errorf("no %q in the output:\n%s", w, out)
		}
	}
	for _, n := range b.never {
		if regexp.MustCompile(n).MatchString(out) {
			return fmt.Errorf("%q in the output:\n%s", n, out)
		}
	}
	if b.check != nil {
		return b.check(r)
	}
	return nil
}

func isPath(variable string) bool {
	return variable == "PATH" || strings.HasPrefix(variable, "PATH=")
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// build builds the init, with a part of its source replaced if that is wanted.
func build(t *testing.T, name, ldflags string, overlay string) string {
	t.Helper()
	return buildFor(t, runtime.GOARCH, name, ldflags, overlay)
}

// building is held by the one build that runs: the machine has others to do.
var building sync.Mutex

func buildFor(t *testing.T, arch, name, ldflags, overlay string) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	out := filepath.Join(t.TempDir(), name)
	args := []string{"build", "-trimpath", "-o", out, "-ldflags", "-s -w " + ldflags}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.Command("go", append(args, "sexton.dev/cmd/sexton-init")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, text)
	}
	return out
}

// entryFlag links the program with its entry, where there is one.
func entryFlag() string {
	if runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" {
		return "-E sexton_entry"
	}
	return ""
}
