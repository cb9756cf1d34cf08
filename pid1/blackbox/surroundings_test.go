package blackbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// state is a process's, as /proc/<pid>/stat has it; 0 if it is gone.
func state(pid int) byte {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return text[bytes.LastIndexByte(text, ')')+2]
}

// asks reports whether the init has a Go child, as soon as that is executed.
func (r *run) asks() bool {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", r.pid()))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, pid := range strings.Fields(string(text)) {
			if argv, _ := os.ReadFile("/proc/" + pid + "/cmdline"); strings.Contains(string(argv), "sextonGo") { // behind the emulator, if there is one
				return true
			}
		}
	}
	return false
}

// inTime does something until a test holds, at most a hundred times.
func inTime(do, holds string) string {
	return "i=0; while :; do " + do + "; { " + holds + "; } || [ $i -ge 100 ] && break; i=$((i+1)); sleep 0.02; done; "
}

// zombieCount says how many are dead in the run's namespace.
const zombieCount = `z() { n=0; for f in /proc/[0-9]*/stat; do read p c s pp r < $f 2>/dev/null && [ "$s" = Z ] && n=$((n+1)); done; echo zombies $n.; }`

// reaped waits for that.
var reaped = inTime("r=$(z)", `[ "$r" = "zombies 0." ]`) + "echo $r"

// alone waits in an orphan until its parent has ended.
const alone = `while [ ! -e $DIR/alone ]; do sleep 0.01; done`

// What it does to orphans, and what it leaves of what it was given.
func surroundings() []behaviour {
	ours := everyone
	return []behaviour{
		{name: "orphans are reaped", in: ours, sh: zombieCount + `; for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.05 &); done | cat; sleep 0.1; ` + reaped, want: []string{`zombies 0\.`}, broken: []string{"reaps-main-only"}},
		{name: "orphans that end together are reaped", in: ours, broken: []string{"no-reap"},
			sh: zombieCount + `; mkfifo $DIR/f; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do (read x < $DIR/f &); done; sleep 0.2; : > $DIR/f; sleep 0.4; ` + reaped, want: []string{`zombies 0\.`}},
		{name: "a subreaper when not process 1", in: []string{own, dumb, catatonit}, with: launch{NotOne: true}, broken: []string{"no-subreaper"},
			sh:   `echo $PPID > $DIR/init; (sh -c '` + alone + `; echo $PPID; read p c s pp r < /proc/$$/stat; echo parent $pp init $(cat $DIR/init).; echo > $DIR/told' &); echo > $DIR/alone; while [ ! -e $DIR/told ]; do sleep 0.01; done`,
			want: []string{`parent (\d+) init \d+`}, check: func(r *run) error {
				var parent, init int
				at := strings.Index(r.output(), "parent ")
				if _, err := fmt.Sscanf(r.output()[at:], "parent %d init %d.", &parent, &init); err != nil || parent != init {
					return fmt.Errorf("the orphan's parent is %d, the init is %d", parent, init)
				}
				return nil
			}, differs: map[string]string{dumb: "no subreaper"}},
		{name: "a subreaper already", in: []string{tini}, with: launch{NotOne: true, Adopts: true}, broken: []string{"forgets-adopts"},
			sh: `(sh -c '` + alone + `; read p c s pp r < /proc/$$/stat; [ $pp != 1 ] && echo adopted; echo > $DIR/told' &); echo > $DIR/alone; while [ ! -e $DIR/told ]; do sleep 0.01; done`, want: []string{"adopted"}, never: []string{"reaping won't work"}},
		{name: "a subreaper already, with each event", in: []string{tini}, flags: map[string][]string{"": {"-w"}}, with: launch{NotOne: true, Adopts: true}, broken: []string{"forgets-adopts"},
			sh: `(sleep 0.1 &) | cat; sleep 0.4`, want: []string{"Reaped zombie process"}, never: []string{"reaping won't work"}},
		{name: "no subreaper unless it is told", in: []string{tini}, flags: map[string][]string{"": {"-vv"}}, with: launch{NotOne: true}, broken: []string{"adopts-always"},
			sh: `(sh -c '` + alone + `; read p c s pp r < /proc/$$/stat; [ $pp = 1 ] && echo left; echo > $DIR/told' &); echo > $DIR/alone; while [ ! -e $DIR/told ]; do sleep 0.01; done`, want: []string{"reaping won't work", "left"}},
		{name: "a subreaper by flag", in: []string{tini}, flags: map[string][]string{"": {"-s"}}, with: launch{NotOne: true}, broken: []string{"no-subreaper"},
			sh: `echo $PPID > $DIR/init; (sh -c '` + alone + `; read p c s pp r < /proc/$$/stat; echo parent $pp init $(cat $DIR/init).; echo > $DIR/told' &); echo > $DIR/alone; while [ ! -e $DIR/told ]; do sleep 0.01; done`,
			check: func(r *run) error {
				var parent, init int
				at := strings.Index(r.output(), "parent ")
				if at < 0 {
					return fmt.Errorf("no parent in %q", r.output())
				}
				if _, err := fmt.Sscanf(r.output()[at:], "parent %d init %d.", &parent, &init); err != nil || parent != init {
					return fmt.Errorf("the orphan's parent is %d, the init is %d", parent, init)
				}
				return nil
			}},
		{name: "warns that it cannot reap", in: []string{tini}, with: launch{NotOne: true}, sh: "exit 0", want: []string{"zombie reaping won't work"}, broken: []string{"mute-words"}},
		{name: "names each orphan it reaped", in: []string{tini}, flags: map[string][]string{"": {"-w"}}, sh: "(sleep 0.05 &) | cat; sleep 0.3", want: []string{`Reaped zombie process with pid=\d+`}, broken: []string{"loop-says-all"}},
		{name: "says what it does", in: []string{tini, dumb}, flags: map[string][]string{tini: {"-vvv"}, dumb: {"-v"}}, sh: "exit 3", code: 3,
			want: []string{"Spawned child process|Child spawned with PID", "Reaped child|A child with PID", "Main child exited normally|Child exited with status 3"}, broken: []string{"loop-mute"}},
		{name: "says each step in dumb-init's order", in: []string{dumb}, flags: map[string][]string{"": {"-v", "-c"}}, sh: "exit 3", code: 3, broken: []string{"reaps-first", "silent-term"},
			want: []string{`Received signal 17\.\n.*A child with PID \d+ exited with exit status 3\.\n.*Forwarded signal 15 to children\.\n.*Child exited with status 3\. Goodbye\.\n$`}},
		{name: "holds no descriptors", in: []string{own, tini, dumb, catatonit, myInit}, with: launch{Open: []int{5, 77}}, broken: []string{"keeps-fds"},
			sh: inTime(`o=$(for f in /proc/1/fd/*; do case $(readlink $f) in anon_inode*) ;; *) printf '%s ' ${f##*/} ;; esac; done)`, `[ "$o" = "0 1 2 " ]`) + `echo "${o}end"`, want: []string{`^0 1 2 end`}, differs: map[string]string{tini: "keeps them", dumb: "keeps them"}},
		{name: "the main child keeps descriptors", in: everyone, with: launch{Open: []int{5}}, sh: `[ -e /proc/self/fd/5 ] && exit 4`, code: 4, broken: []string{"leaves-with-0"}},
		{name: "holds no directory", in: everyone, sh: inTime("d=$(readlink /proc/1/cwd)", "[ $d = / ]") + `echo $d; pwd`, check: func(r *run) error {
			if want := "/\n" + r.dir + "\n"; r.output() != want {
				return fmt.Errorf("output %q, want %q", r.output(), want)
			}
			return nil
		}, broken: []string{"keeps-directory"}, differs: map[string]string{tini: "keeps its directory", catatonit: "keeps its directory before 0.2"}},
		{name: "holds no directory, with each event", in: []string{dumb}, flags: map[string][]string{"": {"-v"}}, sh: inTime("d=$(readlink /proc/1/cwd)", "[ $d = / ]") + `echo $d; pwd`, check: func(r *run) error {
			lines := "\n" + r.output() // the init's own lines may come between the two
			if !strings.Contains(lines, "\n/\n") || !strings.Contains(lines, "\n"+r.dir+"\n") {
				return fmt.Errorf("output %q, want lines / and %s", r.output(), r.dir)
			}
			return nil
		}, broken: []string{"loses-directory"}},
		{name: "is light at rest", in: []string{own, tini, dumb, catatonit}, sh: inTime("set -- $(grep VmRSS /proc/1/status)", "[ $2 -le 32 ]") + `grep -E 'Threads|VmRSS' /proc/1/status`, want: []string{`Threads:\s1\n`}, broken: []string{"keeps-pages"},
			check: func(r *run) error {
				var kib int
				at := strings.Index(r.output(), "VmRSS:")
				if _, err := fmt.Sscanf(r.output()[at:], "VmRSS: %d", &kib); err != nil || kib > 32 {
					return fmt.Errorf("%d KiB resident", kib)
				}
				return nil
			}, differs: map[string]string{tini: "a C library", dumb: "a C library", catatonit: "a C library"}},
		{name: "the limit of descriptors is not raised", in: everyone, around: `ulimit -S -n 128; exec $INIT -- /bin/sh -c 'ulimit -S -n'`, want: []string{`^128\n`}, broken: []string{"raises-nofile"}},
		{name: "the environment is not changed", in: everyone, command: []string{"/usr/bin/env"}, env: []string{"A=1", "B="}, want: []string{`A=1\nB=\n`}, never: []string{"GOMAXPROCS", "GODEBUG"}, broken: []string{"keeps-procs"}},
		{name: "a variable of the runtime's name is kept", in: everyone, command: []string{"/usr/bin/env"}, env: []string{"GOMAXPROCS=4"}, want: []string{`GOMAXPROCS=4\n`}, broken: []string{"procs-always"}},
		{name: "a process group of its own", in: []string{own, tini, catatonit}, sh: `read p c s pp g r < /proc/$$/stat; [ $g = $$ ] && exit 4`, code: 4, broken: []string{"no-own-group"}},
		{name: "a session of its own", in: []string{dumb}, sh: `read p c s pp g ss r < /proc/$$/stat; [ $ss = $$ ] && exit 4`, code: 4, broken: []string{"no-own-session"}},
		{name: "the main child has the terminal", in: []string{own, tini, dumb, catatonit}, with: launch{TTY: true}, sh: inTime("read p c s pp g ss tty tp r < /proc/$$/stat", "[ $tp = $g ] && [ $g = $$ ] && exit 4"), code: 4, broken: []string{"no-terminal"}},
		{name: "the first HUP after the terminal changed hands is dropped", in: []string{dumb}, flags: map[string][]string{"": {"-v"}}, with: launch{TTY: true}, sh: "trap 'exit 4' HUP; echo ready; while :; do sleep 0.01; done", code: 4, do: func(r *run) error {
			if err := r.line("hand-off signal 18"); err != nil { // else ours and the kernel's may be one
				return err
			}
			return after(1)(r)
		},
			want: []string{`Ignoring tty hand-off signal 1\.`, `Ignoring tty hand-off signal 18\.`}, broken: []string{"swallows-nothing"}},
		{name: "of a terminal that another leads, none is", in: []string{dumb}, with: launch{TTY: true, NotOne: true}, sh: "trap 'exit 4' HUP; echo ready; while :; do sleep 0.01; done", do: after(1), code: 4, broken: []string{"swallows-always"}},
		{name: "Ctrl-C reaches the main child", in: []string{own, tini, dumb, catatonit}, with: launch{TTY: true}, sh: "echo ready; exec sleep 20", code: 130, broken: []string{"no-128"},
			do: func(r *run) error {
				if err := r.line("ready"); err != nil {
					return err
				}
				time.Sleep(50 * time.Millisecond) // until sleep took the shell's place
				_, err := r.tty.WriteString("\x03")
				return err
			}},
		{name: "a line from the terminal", in: []string{own, tini, dumb, catatonit}, with: launch{TTY: true}, sh: "echo ready; read x; [ $x = hello ] && exit 4", code: 4, broken: []string{"no-terminal"},
			do: func(r *run) error {
				if err := r.line("ready"); err != nil {
					return err
				}
				_, err := r.tty.WriteString("hello\n")
				return err
			}},
		{name: "closed stdin", in: everyone, with: launch{Closed: []int{0}}, sh: "exit 4", code: 4, broken: []string{"leaves-with-0"}, differs: map[string]string{tini: "leaves with 1"}},
		{name: "closed stdin, stdout and stderr", in: everyone, with: launch{Closed: []int{0, 1, 2}}, sh: "exit 4", code: 4, broken: []string{"leaves-with-0"}, differs: map[string]string{tini: "leaves with 1"}},
		{name: "closed stdout and stderr, with something to say", in: []string{own, tini}, flags: map[string][]string{"": {"-v"}}, with: launch{Closed: []int{1, 2}, NotOne: true}, sh: "exit 4", code: 4, broken: []string{"answers-on-stderr"}},
		{name: "closed stderr", in: everyone, with: launch{Closed: []int{2}}, sh: "echo ran; exit 4", code: 4, want: []string{"^ran\n$"}, broken: []string{"leaves-with-0"}},
		{name: "no /proc", in: everyone, with: launch{NoProc: true}, sh: "exit 4", code: 4, broken: []string{"leaves-with-0"}},
		{name: "read-only root", in: everyone, with: launch{ReadOnly: true}, sh: "exit 4", code: 4, broken: []string{"leaves-with-0"}},
		{name: "an unprivileged user without new privileges", in: everyone, with: launch{UID: 65534, NoPrivs: true}, sh: "id -u; exit 4", code: 4, want: []string{"65534"}, broken: []string{"leaves-with-0"}},
		{name: "execveat is forbidden", in: everyone, with: launch{Forbid: []int{322}}, sh: "exit 4", code: 4, broken: []string{"leaves-with-0"}},
		{name: "close_range, prctl and timers are forbidden", in: everyone, with: launch{Forbid: []int{436, 157, 222, 223}, Open: []int{9}}, sh: "exit 4", code: 4, broken: []string{"leaves-with-0"}},
		{name: "pidfds are forbidden", in: []string{own}, with: launch{Forbid: []int{434, 424}}, sh: "trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done", do: after(15), code: 4, broken: []string{"leaves-with-0"}},
		{name: "parent-death signal", in: []string{own, tini}, flags: map[string][]string{"": {"-p", "USR1"}, tini: {"-s", "-p", "SIGUSR1"}}, broken: []string{"no-death-signal"},
			around: `cd $DIR; sh -c '$INIT -- /bin/sh -c "trap \"echo told > new; mv new told; exit\" USR1; echo up > up; while :; do sleep 0.01; done" & while [ ! -e up ]; do sleep 0.01; done'
				for i in $(seq 1000); do [ ! -e told ] || exec cat told; sleep 0.01; done`, want: []string{"^told\n$"}},
	}
}
