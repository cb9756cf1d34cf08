package archtest

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// Each rule fails when it is broken, names the file and says why; and it leaves alone what is allowed.
func TestRules(t *testing.T) {
	for _, tt := range []struct {
		name, file, code string
		want             string // part of the one problem; "" for none
	}{
		{"a check of a check's needs", "checks/x/x.go", `import ("sexton.dev/check"; "sexton.dev/snapshot"; "sexton.dev/propagation"; "time"; _ "embed")
			var d = time.Second`, ""},
		{"a check that collects", "checks/x/x.go", `import "sexton.dev/collect"`, `checks/x/x.go imports sexton.dev/collect: of ours, checks/* may import "check snapshot propagation propagation/* holding settings" alone: it judges`},
		{"a check of another check", "checks/x/x.go", `import "sexton.dev/checks/y"`, "may import \"check snapshot propagation propagation/* holding settings\""},
		{"a check of the list", "checks/x/x.go", `import "sexton.dev/checks"`, "may import \"check snapshot propagation propagation/* holding settings\""},
		{"a check's test, with its harness", "checks/x/x_test.go", `import ("sexton.dev/check/checktest"; "sexton.dev/internal/hosttest"; "os")`, ""},
		{"an outside test of its own package", "checks/x/x_test.go", `import "sexton.dev/checks/x"`, ""},
		{"a check's test that collects", "checks/x/x_test.go", `import "sexton.dev/collect"`, "imports sexton.dev/collect"},
		{"a harness in the product", "checks/x/x.go", `import "sexton.dev/check/checktest"`, "imports sexton.dev/check/checktest"},
		{"a harness in cli, which may import all", "cli/x.go", `import "sexton.dev/runtimes/runtimestest"`, "imports sexton.dev/runtimes/runtimestest"},
		{"a check with a library", "checks/x/x.go", `import "github.com/spf13/cobra"`, "besides the standard library, checks/* may use nothing"},
		{"the snapshot", "snapshot/x.go", `import "sexton.dev/check"`, "it is plain data"},
		{"check", "check/x.go", `import "sexton.dev/checks"`, `may import "snapshot" alone`},
		{"a parser that imports another", "linux/procfs/x.go", `import "sexton.dev/linux/mounts"`, "imports sexton.dev/linux/mounts"},
		{"mounts with x/sys", "linux/mounts/x.go", `import ("golang.org/x/sys/unix"; "os")`, ""},
		{"mounts with a library", "linux/mounts/x.go", `import "golang.org/x/system"`, `may use "golang.org/x/sys" alone`},
		{"another kernel interface", "linux/bpfiter/x.go", `import "github.com/cilium/ebpf"`, ""},
		{"a runtime with its kin", "runtimes/docker/x.go", `import ("sexton.dev/runtimes"; "sexton.dev/runtimes/dial"; "net/http"; "time"); var now = time.Now`, ""},
		{"a runtime with a snapshot", "runtimes/docker/x.go", `import "sexton.dev/snapshot"`, "imports sexton.dev/snapshot"},
		{"the runtimes' words", "runtimes/x.go", `import "sexton.dev/runtimes/docker"`, "vocabulary"},
		{"a harness with the needs of tests", "runtimes/runtimestest/x.go", `import "sexton.dev/internal/hosttest"`, ""},
		{"a reader of dumps", "runtimes/godump/x.go", `import "sexton.dev/runtimes"`, "imports sexton.dev/runtimes"},
		{"a reader of dumps that opens", "runtimes/godump/stacks/x.go", `import ("sexton.dev/runtimes/godump"; "os")`, "imports os"},
		{"collect", "collect/x.go", `import ("sexton.dev/snapshot"; "sexton.dev/linux/procfs"; "sexton.dev/collect/door"; "sexton.dev/runtimes")`, ""},
		{"collect that judges", "collect/x.go", `import "sexton.dev/check"`, "not what is wrong"},
		{"the door", "collect/door/x.go", `import "sexton.dev/snapshot"`, "moves bytes"},
		{"heal that collects", "heal/x.go", `import "sexton.dev/collect"`, "never collects"},
		{"the lab that finds", "lab/x.go", `import "sexton.dev/collect"`, "without the code that must find it"},
		{"cli", "cli/x.go", `import ("sexton.dev/collect"; "sexton.dev/lab"; "sexton.dev/checks/x"; "github.com/spf13/cobra")`, ""},
		{"cli with the init", "cli/x.go", `import "sexton.dev/pid1"`, "an init is a program of its own"},
		{"main that does work", "cmd/sexton/main.go", `import "sexton.dev/collect"`, "main is a few lines"},
		{"the init", "cmd/sexton-init/main.go", `import "sexton.dev/pid1"`, ""},
		{"a package without a rule", "util/x.go", "", "package util has no rule"},
		{"a package one deeper", "linux/procfs/deep/x.go", "", "package linux/procfs/deep has no rule"},

		{"a parser that opens", "linux/procfs/x.go", `import "os"`, "linux/procfs/x.go imports os: linux/procfs reaches no host"},
		{"a check that runs a program", "checks/x/x.go", `import "os/exec"`, "imports os/exec"},
		{"a check with a system call", "checks/x/x.go", `import "syscall"`, "imports syscall"},
		{"a check on the network", "checks/x/x.go", `import "net/http"`, "imports net/http"},
		{"a check that walks", "checks/x/x.go", `import "path/filepath"`, "imports path/filepath"},
		{"addresses and words like os", "checks/x/x.go", `import ("net/netip"; "net/url"; "path"; "sort")`, ""},
		{"the list of checks that opens", "checks/x.go", `import "os"`, "imports os"},
		{"a check with a clock", "checks/x/x.go", `import "time"; var t = time.Now()`, "uses time.Now: checks/x has no clock"},
		{"by another name", "checks/x/x.go", `import clock "time"; var t = clock.Since`, "uses time.Since"},
		{"by none", "checks/x/x.go", `import . "time"; var t = Now()`, "dot import"},
		{"a parser of a kernel interface that waits", "linux/kmsg/x.go", `import ("time"; "os"); func f() { time.Sleep(1) }`, "uses time.Sleep: linux/kmsg has no clock"},
		{"the one that stops a process for a time", "linux/ptrace/x.go", `import "time"; var t = time.Now()`, ""},
		{"the same with one of ours", "linux/ptrace/x.go", `import "sexton.dev/linux/procfs"`, "inside of other people's processes"},
		{"a field that is named so", "checks/x/x.go", `import "time"; type host struct{ Now time.Time }; func f(h host) time.Time { return h.Now }`, ""},
		{"a pattern at the start", "heal/x.go", `import "regexp"; var p = regexp.MustCompile("x")`, "heal/x.go compiles a pattern at each start"},
		{"a pattern in a table", "lint/x.go", `import "regexp"; var all = []struct{ p *regexp.Regexp }{{regexp.MustCompilePOSIX("x")}}`, "lint/x.go compiles"},
		{"a pattern when it is used", "lint/x.go", `import ("regexp"; "sync"); var p = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("x") })`, ""},
		{"a pattern of a test", "lint/x_test.go", `import "regexp"; var p = regexp.MustCompile("x")`, ""},
		{"a test with a clock", "checks/x/x_test.go", `import "time"; var t = time.Now()`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, _, _ := strings.Cut(tt.file, "/")
			tree := fstest.MapFS{tt.file: {Data: []byte("package x\n" + tt.code)}, dir + "/testdata/broken.go": {Data: []byte("import \"os\"")}, ".git/x.go": {Data: []byte("{")}}
			files, err := load(tree)
			if err != nil || len(files) != 1 {
				t.Fatalf("%v: %d files", err, len(files))
			}
			problems := slices.Concat(imports(files), purity(files), patterns(files))
			if tt.want == "" && len(problems) != 0 || tt.want != "" && !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, tt.want) }) {
				t.Errorf("got %q, want %q", problems, tt.want)
			}
		})
	}
}

func TestCommentRule(t *testing.T) {
	const comment, none = "// Package x finds.\npackage x\n", "package x\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  bool // a problem
	}{
		{"one of two files", map[string]string{"x/a.go": none, "x/b.go": comment}, false},
		{"none", map[string]string{"x/a.go": none}, true},
		{"of another name", map[string]string{"x/a.go": "// Package y finds.\npackage x\n"}, true},
		{"a comment that is far", map[string]string{"x/a.go": "// Package x finds.\n\npackage x\n"}, true},
		{"in a test alone", map[string]string{"x/a.go": none, "x/a_test.go": comment}, true},
		{"tests alone", map[string]string{"x/a_test.go": comment}, false},
		{"tests alone, none", map[string]string{"x/a_test.go": none}, true},
		{"a program", map[string]string{"cmd/x/main.go": "// Sexton finds.\npackage main\n"}, false},
		{"a program, none", map[string]string{"cmd/x/main.go": "package main\n"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for name, code := range tt.files {
				tree[name] = &fstest.MapFile{Data: []byte(code)}
			}
			files, err := load(tree)
			if err != nil {
				t.Fatal(err)
			}
			if got := comments(files); (len(got) == 1) != tt.want || len(got) > 1 {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestMentions(t *testing.T) {
	tree := fstest.MapFS{
		"docs/x.md":     {Data: []byte("see\n/build/tree/docs and /build\n")},
		"Makefile":      {Data: []byte("all:\n\tcd /build/tree\n")},
		"x/x.go":        {Data: []byte("package x\n")},
		"x/testdata/x":  {Data: []byte("/build/tree")},
		"x/picture.png": {Data: []byte("/build/tree")},
	}
	got, err := mentions(tree, []string{"/build/tree"})
	if err != nil || len(got) != 2 || !strings.HasPrefix(got[0], "Makefile:2 names /build/tree") || !strings.HasPrefix(got[1], "docs/x.md:2 ") {
		t.Errorf("%v: %q", err, got)
	}
}
