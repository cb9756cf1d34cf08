package blackbox

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mutant is our init with one thing broken: a text of its source replaced by
// another. It is built with its entry, or as the Go loop.
type mutant struct {
	file     string
	old, new string
	loop     bool
}

// The assembly's mutants are of amd64; elsewhere the Go loop's stand in.
var mutants = map[string]mutant{
	"leaves-with-0":     {"entry_linux_amd64.s", "	MOVBLZX REMAP(CX*1), DI\nout:", "	XORL DI, DI\nout:", false},
	"no-128":            {"entry_linux_amd64.s", "LEAL 128(AX), CX", "LEAL 0(AX), CX", false},
	"no-forward":        {"entry_linux_amd64.s", "	SYS(kill)\n	JMP  reap                       // we", "	JMP  reap                       // we", false},
	"no-reap":           {"entry_linux_amd64.s", "	INCQ REAPED\n	CMPQ AX, MAIN\n	JNE  reap", "	INCQ REAPED\n	CMPQ AX, MAIN\n	JNE  wait", false},
	"reaps-main-only":   {"entry_linux_amd64.s", "	ORQ  $-1, DI\n	LEAQ WSTAT(SP), SI\n	MOVL $WNOHANG, DX", "	MOVQ MAIN, DI\n	LEAQ WSTAT(SP), SI\n	MOVL $WNOHANG, DX", false},
	"keeps-fds":         {"entry_linux_amd64.s", "	MOVL $3, DI                     // and", "	MOVL $3000, DI                     // and", false},
	"keeps-directory":   {"entry_linux_amd64.s", "	SYS(chdir)\n", "", false},
	"loses-directory":   {"script_linux.go", "add(true, \"\", syscall.SYS_FCHDIR, uintptr(b.here))", "_ = b.here", false},
	"keeps-pages":       {"entry_linux_amd64.s", "	SYS(munmap)\n	LEAQ sexton_end", "	LEAQ sexton_end", false},
	"no-subreaper":      {"entry_linux_amd64.s", "	MOVL $1, SI\n	SYS(prctl)", "	XORL SI, SI\n	SYS(prctl)", false},
	"forgets-adopts":    {"main.go", "o.Subreaper || j.adopts != 0", "o.Subreaper", false},
	"adopts-always":     {"loop.go", "adopt := uintptr(0)", "adopt := uintptr(1)", false},
	"chld-stays":        {"entry_linux_amd64.s", "	XORL DX, DX\n	SYS(rt_sigaction)", "", false},
	"forgets-ignored":   {"entry_linux_amd64.s", "	BTSQ CX, IGNORED", "", false},
	"no-death-signal":   {"entry_linux_amd64.s", "	MOVQ DEATH, SI\n	SYS(prctl)", "", false},
	"no-term-to-group":  {"entry_linux_amd64.s", "	ANDL $~const_askGo, SI\n	SYS(kill)", "", false},
	"always-term":       {"entry_linux_amd64.s", "	MOVBLZX (ACTIONS+SIGTERM)(ST), SI", "	MOVL $SIGTERM, SI", false},
	"leaves-others":     {"entry_linux_amd64.s", "	TESTB $(const_flagDrain|const_flagFinish), FLAGS", "	TESTB $(const_flagFinish), FLAGS", false},
	"no-setns-look":     {"entry_linux_amd64.s", "	TESTB $const_flagDrain, FLAGS\n	JZ   leave", "	JMP  leave", false},
	"no-ticks":          {"entry_linux_amd64.s", "	SYS(timer_settime)", "", false},
	"asks-never":        {"entry_linux_amd64.s", "	TESTL $const_askGo, SI\n	JNZ  ask", "", false},
	"loses-mask":        {"script_linux.go", "uintptr(unsafe.Pointer(&b.mask)), 0, 8)", "uintptr(unsafe.Pointer(&allSignals)), 0, 8)", false},
	"no-own-group":      {"script_linux.go", "add(false, \"\", syscall.SYS_SETPGID, 0, 0)", "", false},
	"no-own-session":    {"script_linux.go", "add(false, \"\", syscall.SYS_SETSID)", "", false},
	"no-terminal":       {"script_linux.go", "if b.tty >= 0 {", "if false {", false},
	"raises-nofile":     {"script_linux.go", "if b.nofile != nil {", "if b.nofile == nil {", false},
	"no-user":           {"script_linux.go", "if u := b.user; u != nil {", "if u := b.user; u != nil && false {", false},
	"no-workdir":        {"script_linux.go", "if b.dir != \"\" {", "if false {", false},
	"no-path":           {"spawn.go", "path = \"/bin:/usr/bin\"", "path = \"/nowhere\"", false},
	"no-sh-for-scripts": {"start.go", "if err == syscall.ENOEXEC {", "if false {", false},
	"one-code":          {"start.go", "	case syscall.EACCES, syscall.ENOEXEC, syscall.EISDIR:", "	case syscall.EISDIR:", false},
	"not-found-1":       {"start.go", "		os.Exit(int(j.NotFound))", "		os.Exit(77)", false},
	"group-ignored":     {"start.go", "		p.target = -p.main", "", false},
	"no-listen-pid":     {"start.go", "		b.throughUs()", "", false},
	"ignores-env-dir":   {"start.go", "	if j.EnvDir == \"\" {", "	if true {", false},
	"keeps-procs":       {"start.go", "return v == \"GOMAXPROCS=01\"", "return false", false},
	"no-warning":        {"tick.go", "	if j.WarnZombies > 0 {", "	if j.WarnZombies < 0 {", false},
	"no-grace":          {"stop.go", "end := time.Now().Add(j.Grace)", "end := time.Now()", false},
	"endless-grace":     {"stop.go", "end := time.Now().Add(j.Grace)", "end := time.Now().Add(time.Hour)", false},
	"no-delay":          {"stop.go", "if j.DrainDelay > 0 {", "if false {", false},
	"no-escalation":     {"stop.go", "sig, until = syscall.SIGTERM, end", "until = end", false},
	"no-drain":          {"drain.go", "		left := j.ours()\n		if left.none() {\n			return\n		}\n		if !began", "		return\n		left := j.ours()\n		if !began", false},
	"kills-at-once":     {"drain.go", "		left.tell(told)", "		_ = told\n		break", false},
	"no-cont":           {"drain.go", "			syscall.Kill(p.pid, syscall.SIGTERM)\n			syscall.Kill(p.pid, syscall.SIGCONT)", "			syscall.Kill(p.pid, syscall.SIGTERM)", false},
	"no-kill":           {"drain.go", "			syscall.Kill(-1, syscall.SIGKILL)", "			syscall.Kill(-1, 0)", false},
	"silent-kill":       {"drain.go", "	say(j.Name + \": KILL to", "	_ = (j.Name + \": KILL to", false},
	"no-hooks":          {"hooks.go", "	for _, path := range list {", "	for _, path := range list[:0] {", false},
	"hooks-may-fail":    {"hooks.go", "if must && code != 0 {", "if false {", false},
	"deaf-hooks":        {"hooks/hooks.go", "	case <-stop:", "	case <-(chan os.Signal)(nil):", false},
	"no-status":         {"status.go", "	if j.Status == \"\" {", "	if true {", false},
	"no-orphan-kill":    {"tick.go", "	orphans := j.adopted()", "	orphans := j.adopted()[:0]", false},
	"no-suspend":        {"main.go", "	syscall.Kill(j.init, syscall.SIGSTOP)", "", false},
	"no-pause":          {"main.go", "		a.leave = leaving\n", "		return\n", false},
	"no-remap":          {"options/flags.go", "	c.Remap[n] = uint8(m)", "	_, _ = n, m", false},
	"no-rewrite":        {"options/flags.go", "	c.Forward[a] = b\n", "	_ = b\n", false},
	"drops-real-time":   {"options/parse.go", "	o.drop(sigCHLD, sigKILL, sigSTOP)", "	o.drop(sigCHLD, sigKILL, sigSTOP)\n	for sig := 32; sig <= 64; sig++ {\n		o.drop(sig)\n	}", false},
	"drops-usr":         {"options/parse.go", "	o.drop(sigCHLD, sigKILL, sigSTOP)", "	o.drop(sigCHLD, sigKILL, sigSTOP, 10, 12)", false},
	"usage-is-0":        {"main.go", "	os.Exit(refusal.Code)", "	os.Exit(0)", false},
	"mute":              {"main.go", "	write(out, refusal.Text)", "	write(out, \"\")", false},
	"probe-leaves":      {"start.go", "	flag(j.Probe, flagWaitAll)", "", false},
	"deaf-delay":        {"target.go", "		case <-again:", "		case <-(chan os.Signal)(nil):", false},
	"no-stop-signal":    {"options/flags.go", "	c.Forward[sigTERM] = sig", "", false},
	"no-hook-check":     {"start.go", "		if err := hooks.Check(j.Hooks); err != nil {", "		if err := hooks.Check(\"/\"); err != nil {", false},
	"procs-always":      {"entry_linux_amd64.s", "	MOVB $0, PROCS(SP)              // it has", "	NOP              // it has", false},
	"keeps-dashes":      {"options/parse.go", "		c.args = c.args[1:]\n		return o, false, \"\"", "		return o, false, \"\"", false},
	"answers-on-stderr": {"io.go", "	if ours < 3 {", "	if ours < 0 {", false},
	"mute-words":        {"start.go", "		j.say(j.Unreaped(j.init))", "", false},
	"loop-mute":         {"loop.go", "	l.say(line)", "", true},
	"reaps-first":       {"loop.go", "		l.wait() // first: a child that ended sent CHLD, and the line for that comes before its own\n		l.reap()", "		for l.status < 0 {\n			l.reap()\n		}", true},
	"silent-term":       {"options/words.go", "if !o.TermGroup {", "if false {", true},
	"swallows-nothing":  {"loop.go", "			l.swallow = l.SwallowOnce", "", true},
	"swallows-always":   {"loop.go", "errno == 0 && int(session) == l.init", "errno == 0 && session > 0", true},
	"rewrites-high":     {"options/dumbinit.go", " || tooHigh(r)", "", false},
	"own-words":         {"options/dumbinit.go", ": unrecognized option '", ": what is '", false},
	"loop-says-all":     {"options/words.go", "!main && o.ReapWarning", "false", true},
}

// source replaces the text of a mutant by an overlay of go build, and fails if
// the text is not there once.
func (m mutant) build(t *testing.T, name string) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		t.Fatalf("mutant %s: its text is %d times in %s", name, n, m.file)
	}
	changed := filepath.Join(t.TempDir(), filepath.Base(m.file))
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	flag := entryFlag()
	if m.loop {
		flag = ""
	}
	return build(t, name, flag, list)
}
