// Package archtest keeps the arrows between packages pointing one way, the pure
// packages pure, and every package explained.
//
// It has no code but tests. They parse the tree in this process: go test reuses
// a cached pass when only a child, such as go list, read the file that changed.
package archtest

import (
	"path"
	"slices"
	"strings"
)

const module = "sexton.dev/"

// A rule is what the non-test files of a package may import of ours, and why no
// more. Test files may import their own package and the packages for tests too,
// whose names end in "test"; and so may those.
type rule struct {
	mayImport string // packages; "dir/*" is each package in dir, "*" any
	but       string // not these
	outside   string // modules besides the standard library; "*" any
	why       string
}

const (
	parses = "it turns bytes into values and is read on its own"
	pure   = "it judges what was seen, from a file as from a host"
)

// rules has the packages of docs/ARCHITECTURE.md, "Who may import whom". A
// package that has no rule of its own has that of "dir/*".
var rules = map[string]rule{
	"snapshot":      {why: "it is plain data that everybody shares"},
	"propagation":   {why: "it is arithmetic on mounts"},
	"propagation/*": {mayImport: "propagation", why: "it is arithmetic on mounts"},
	"errtext":       {why: parses},
	"exactjson":     {why: parses},
	"pid1":          {mayImport: "pid1/*", outside: "golang.org/x/sys", why: "it runs in other people's images and stays under 2 MB"},
	"pid1/*":        {mayImport: "pid1/*", why: "it runs in other people's images and stays under 2 MB"},

	"linux/procfs":     {why: parses},
	"linux/cgroupfs":   {why: parses},
	"linux/mounts":     {outside: "golang.org/x/sys", why: parses},
	"linux/mounts/*":   {mayImport: "linux/mounts linux/mounts/*", outside: "golang.org/x/sys", why: "each kernel interface is read on its own"},
	"linux/mounts/bpf": {mayImport: "linux/btf linux/seccomp linux/mounts linux/mounts/*", outside: "golang.org/x/sys github.com/cilium/ebpf", why: "it tells what the kernel has, and is read on its own"},
	"linux/pidfd":      {mayImport: "linux/procfs", outside: "golang.org/x/sys", why: "it compares what procfs tells of a process before it signals it"},
	"linux/kmsg":       {mayImport: "linux/cgroupfs", outside: "golang.org/x/sys", why: "it parses messages, which name containers by cgroup paths"},
	"linux/freezer":    {outside: "golang.org/x/sys", why: "each kernel interface is used on its own"},
	"linux/devmapper":  {outside: "golang.org/x/sys", why: "each kernel interface is used on its own"},
	"linux/lvm":        {why: parses},
	"linux/capability": {outside: "golang.org/x/sys", why: "each kernel interface is used on its own"},
	"linux/inroot":     {outside: "golang.org/x/sys", why: "each kernel interface is used on its own"},
	"linux/systemd":    {mayImport: "linux/inroot", outside: "*", why: "it reads what systemd says of itself"},
	"linux/self":       {why: "it is for collect and heal alike"},
	"linux/fusectl":    {outside: "golang.org/x/sys", why: "each kernel interface is used on its own"},
	"linux/ptrace":     {mayImport: "linux/capability", outside: "golang.org/x/sys", why: "it works inside of other people's processes: the less there is, the better"},
	"linux/seccomp":    {outside: "golang.org/x/sys", why: "each kernel interface is used on its own"},
	"linux/btf":        {outside: "golang.org/x/sys", why: parses},
	"linux/bpfiter":    {mayImport: "linux/btf linux/seccomp", outside: "github.com/cilium/ebpf golang.org/x/sys", why: "each kernel interface is read on its own"},
	"linux/bpfiter/*":  {outside: "golang.org/x/sys", why: "it plays the processes for the tests"},
	"linux/*":          {outside: "*", why: "each kernel interface is read on its own"},

	"runtimes":              {outside: "golang.org/x/sys", why: "it is the vocabulary of all runtimes and finds their sockets"},
	"runtimes/*":            {mayImport: "runtimes runtimes/*", outside: "golang.org/x/sys google.golang.org/protobuf/encoding/protowire", why: "a runtime's API knows nothing of hosts and findings, and client libraries cost every start a millisecond"},
	"runtimes/dockerd":      {why: parses},
	"runtimes/godump":       {why: parses},
	"runtimes/godump/*":     {mayImport: "runtimes/godump", why: "it judges a text, and knows nothing of hosts"},
	"runtimes/runc":         {mayImport: "linux/inroot runtimes runtimes/*", outside: "golang.org/x/sys", why: "it finds what runc waits for, below a container's root"},
	"runtimes/stackdump":    {mayImport: "linux/capability linux/inroot linux/pidfd linux/procfs linux/self runtimes/dockerd", outside: "golang.org/x/sys", why: "it asks one process and finds a file"},
	"runtimes/runtimestest": {mayImport: "runtimes runtimes/*", outside: "*", why: "it plays the runtimes for the tests"},

	"collect/door": {mayImport: "linux/inroot", outside: "*", why: "it moves bytes and does not know what they mean"},
	"collect":      {mayImport: "snapshot linux/* linux/mounts/* runtimes runtimes/* collect/door", outside: "*", why: "it says what is there, not what is wrong"},

	"holding":         {mayImport: "check snapshot propagation linux/mounts", why: pure},
	"check":           {mayImport: "snapshot", why: pure},
	"check/checktest": {mayImport: "check snapshot", outside: "*", why: "it runs any check"},
	"checks":          {mayImport: "check checks/* snapshot", why: "it is a list, and its tests run it over any snapshot"},
	"checks/*":        {mayImport: "check snapshot propagation propagation/* holding settings", why: pure},
	"settings":        {mayImport: "check snapshot holding", why: pure},
	"lint":            {mayImport: "settings check snapshot linux/systemd runtimes/dockerd", outside: "go.yaml.in/yaml/v3 github.com/docker/go-units", why: "it reads files that people write, as bytes"},

	"plan": {mayImport: "check snapshot propagation propagation/* holding exactjson", why: "it orders what was found and touches nothing"},
	"heal": {mayImport: "exactjson plan check snapshot propagation linux/* linux/mounts/* runtimes runtimes/*", outside: "*", why: "it is handed the look as a function and never collects"},
	"lab":  {mayImport: "linux/* runtimes runtimes/*", outside: "*", why: "a fault is made without the code that must find it"},

	"cli":             {mayImport: "*", but: "pid1 cmd/*", outside: "*", why: "an init is a program of its own"},
	"cmd/sexton":      {mayImport: "cli", why: "main is a few lines"},
	"cmd/sexton-init": {mayImport: "pid1", why: "main is a few lines, and the init stays small"},

	"internal/hosttest": {outside: "*", why: "any test may need it"},
	"internal/bench":    {mayImport: "check linux/mounts linux/mounts/*", outside: "*", why: "it times the programs as people run them"},
	"internal/e2e":      {mayImport: "runtimes runtimes/* linux/systemd", outside: "*", why: "it runs the program as people do; of its packages it knows those that act on a real runtime or systemd, to try each act alone"},
	"internal/harm":     {mayImport: "*", but: "pid1 cli cmd/*", outside: "*", why: "it holds what heal does to the kernel, from the look to the act"},
	"internal/e2e/*":    {outside: "*", why: "it runs the program as people do, and knows none of its packages"},
	"internal/vm":       {outside: "*", why: "it runs the program on an older kernel, and knows none of its packages"},
	"internal/archtest": {outside: "*", why: "it reads the tree as text"},
}

// ruleOf finds the rule of a package, by its folder.
func ruleOf(dir string) (name string, r rule, ok bool) {
	for _, name := range []string{dir, path.Dir(dir) + "/*"} {
		if r, ok := rules[name]; ok {
			return name, r, true
		}
	}
	return "", rule{}, false
}

// in reports whether a package is one of a list of patterns.
func in(dir, patterns string) bool {
	return slices.ContainsFunc(strings.Fields(patterns), func(p string) bool {
		return p == "*" || p == dir || p == path.Dir(dir)+"/*"
	})
}

// forTests reports whether a package is there for tests alone.
func forTests(dir string) bool { return strings.HasSuffix(dir, "test") }

const (
	// clockless packages get the time in what they judge. The clock is for agent and the mains, and for what waits: collect, heal, lab, runtimes.
	clockless = "snapshot propagation errtext exactjson runtimes/godump runtimes/godump/* linux/* check checks checks/* plan runtimes/dockerd settings lint"
	// waiting packages are of those and may read it all the same.
	waiting = "linux/ptrace" // it bounds the time for which a process is stopped
	// hostless packages see a host only as a snapshot or as bytes.
	hostless = "snapshot propagation errtext exactjson runtimes/godump runtimes/godump/* linux/procfs linux/cgroupfs linux/lvm check checks checks/* plan runtimes/dockerd settings lint"
)

// clock has the functions of package time that read the clock or wait for it.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

// touches are the imports that reach a host.
func touches(imported string) bool {
	for _, ban := range []string{"os", "syscall", "net", "golang.org/x/sys", "io/ioutil", "path/filepath"} {
		if imported == ban || strings.HasPrefix(imported, ban+"/") {
			return imported != "net/netip" && imported != "net/url"
		}
	}
	return false
}
