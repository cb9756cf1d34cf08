package blackbox

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// cleaner is a process that needs a time after TERM and writes a file at its end.
// With setsid it is in a session of its own.
func cleaner(setsid bool, seconds string) string {
	s := ""
	if setsid {
		s = "setsid "
	}
	return s + `sh -c 'trap "sleep ` + seconds + `; echo clean > $DIR/clean; exit" TERM; echo up > $DIR/up; while :; do sleep 0.01; done' & while [ ! -e $DIR/up ]; do sleep 0.01; done; `
}

func cleaned(r *run) error {
	if r.file("clean") == "" {
		return fmt.Errorf("what was left did not finish; output:\n%s", r.output())
	}
	return nil
}

// slack is below what the init waits by itself, 8 s, and above what a busy machine
// takes for a few processes.
const slack = 6 * time.Second

// within checks that the init left in a time, from when it was ready, or a few times
// longer than that took: then the machine is busy. An emulated one may take longer:
// native mutants show that the time is kept.
func within(do func(*run) error, least, most time.Duration) func(*run) error {
	return func(r *run) error {
		if err := do(r); err != nil {
			return err
		}
		began, longest := time.Now(), most
		if _, err := r.code(); err != nil {
			return err
		}
		if r.slow {
			longest = max(most, slack)
		}
		longest += 4 * began.Sub(r.began)
		if took := time.Since(began); took < least || took > longest {
			return fmt.Errorf("it took %v, want %v to %v", took, least, longest)
		}
		return nil
	}
}

// lastTold runs an init whose main child leaves with 3, and another of its group
// that says when it gets a signal.
func lastTold(sig string) string {
	return `cd $DIR; $INIT -- sh -c "sh -c 'trap \"echo told > new; mv new told; exit\" ` + sig + `; echo up > up; while :; do sleep 0.01; done' & while [ ! -e up ]; do sleep 0.01; done; exit 3"; c=$?
		for i in $(seq 800); do [ ! -e told ] || break; sleep 0.01; done; cat told; exit $c`
}

func nothing(*run) error { return nil }

func hook(dir, stage, name, text string) error {
	if err := os.MkdirAll(dir+"/hooks/"+stage, 0o755); err != nil {
		return err
	}
	return os.WriteFile(dir+"/hooks/"+stage+"/"+name, []byte("#!/bin/sh\n"+text+"\n"), 0o755)
}

// How it stops: the reason to switch.
func draining() []behaviour {
	drain := map[string][]string{tini: {"--drain"}, dumb: {"--drain"}, catatonit: {"--drain"}}
	noPeer := map[string]string{tini: "no draining", dumb: "no draining", catatonit: "no draining"}
	leave := "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done"
	hooked := map[string][]string{"": {"--hooks", "$DIR/hooks"}}
	return []behaviour{
		{name: "what is left in the same group finishes at stop", in: everyone, flags: drain, sh: cleaner(false, "0.5") + leave, do: after(15), code: 3, check: cleaned, broken: []string{"no-drain", "kills-at-once"}, differs: noPeer},
		{name: "what is left in its own session finishes at stop", in: everyone, flags: drain, sh: cleaner(true, "0.5") + leave, do: after(15), code: 3, check: cleaned, broken: []string{"no-drain"}, differs: noPeer},
		{name: "and when the main child ends by itself", in: everyone, flags: drain, sh: cleaner(true, "0.5") + "exit 3", code: 3, check: cleaned, broken: []string{"leaves-others"}, differs: noPeer},
		{name: "and when it is killed", in: everyone, flags: drain, sh: cleaner(true, "0.3") + "kill -9 $$; sleep 1", code: 137, check: cleaned, broken: []string{"leaves-others"}, differs: noPeer},
		{name: "draining by variable", in: []string{tini, dumb, catatonit}, env: []string{"SEXTON_INIT_DRAIN=1"}, sh: cleaner(true, "0.3") + "exit 3", code: 3, check: cleaned, broken: []string{"leaves-others"}, differs: noPeer},
		{name: "leaves at once without", in: []string{own, tini, catatonit}, flags: map[string][]string{own: {"--no-drain"}}, sh: "setsid sleep 20 & echo ready; exit 3", code: 3,
			do: within(func(r *run) error { return r.line("ready") }, 0, slack), broken: []string{"leaves-with-0"}},
		{name: "TERM to the group at the end", in: []string{dumb}, with: launch{NotOne: true}, around: lastTold("TERM"), code: 3, want: []string{"told\n$"}, broken: []string{"no-term-to-group"}},
		{name: "which is rewritten, too", in: []string{dumb}, flags: map[string][]string{"": {"-r", "15:12"}}, with: launch{NotOne: true}, around: lastTold("USR2"), code: 3, want: []string{"told\n$"}, broken: []string{"always-term"}},
		{name: "KILL at the end of the grace", in: []string{own}, flags: map[string][]string{"": {"--grace", "1s"}}, sh: "trap '' TERM; echo ready; while :; do sleep 0.01; done", code: 137,
			do: within(after(15), 900*time.Millisecond, slack), want: []string{"KILL"}, broken: []string{"endless-grace", "no-grace", "asks-never"}},
		{name: "KILL of what is left", in: []string{own}, flags: map[string][]string{"": {"--kill-after", "300ms"}}, code: 3, broken: []string{"no-kill", "silent-kill"},
			sh: `setsid sh -c 'trap "" TERM; echo up > $DIR/up; while :; do sleep 0.01; done' & while [ ! -e $DIR/up ]; do sleep 0.01; done; echo ready; exit 3`,
			do: within(nothing, 200*time.Millisecond, 2*time.Second), want: []string{`KILL to .*\(pid \d+\)`}},
		{name: "silent when nothing was killed", in: []string{own}, sh: cleaner(true, "0.1") + "exit 3", code: 3, never: []string{"sexton-init"}, broken: []string{"kills-at-once"}},
		{name: "a stopped process is continued to end", in: []string{own}, flags: map[string][]string{"": {"--kill-after", "5s"}}, code: 3, broken: []string{"no-cont"},
			sh: `setsid sh -c 'trap "echo clean > $DIR/clean; exit" TERM; echo up > $DIR/up; kill -STOP $$; while :; do sleep 0.01; done' & while [ ! -e $DIR/up ]; do sleep 0.01; done; sleep 0.1; exit 3`, check: cleaned},
		{name: "who came by setns finishes, too", in: []string{own}, sh: `echo ready; while [ ! -e $DIR/up ]; do sleep 0.01; done; exit 3`, code: 3, check: cleaned, broken: []string{"no-setns-look"},
			do: func(r *run) error {
				if err := r.line("ready"); err != nil {
					return err
				}
				guest := exec.Command("nsenter", "-t", strconv.Itoa(r.pid()), "-p", "-m", "sh", "-c",
					`trap "sleep 0.3; echo clean > $DIR/clean; exit" TERM; echo up > $DIR/up; while :; do sleep 0.01; done`)
				guest.Env = append(os.Environ(), "DIR="+r.dir)
				if err := guest.Start(); err != nil {
					return err
				}
				go guest.Wait() // it ends with the namespace at the latest
				return nil
			}},
		{name: "drain delay", in: []string{own}, flags: map[string][]string{"": {"--drain-delay", "2s"}}, sh: "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done", code: 3,
			do: within(after(15), 1900*time.Millisecond, slack), broken: []string{"no-delay"}},
		{name: "a second stop signal ends the delay", in: []string{own}, flags: map[string][]string{"": {"--drain-delay", "20s"}}, sh: "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done", code: 3,
			do: within(func(r *run) error {
				if err := r.line("ready"); err != nil {
					return err
				}
				if err := r.until("end of the Go child that made the main child", func() bool { return !r.asks() }); err != nil {
					return err
				}
				if err := r.signal(15); err != nil {
					return err
				}
				// Two of a kind that are pending, or in the runtime's queue, are one.
				if err := r.until("a Go child", r.asks); err != nil {
					return err
				}
				return r.signal(15)
			}, 0, 5*time.Second), broken: []string{"deaf-delay"}},
		{name: "INT becomes TERM", in: []string{own}, flags: map[string][]string{"": {"--grace", "600ms"}}, sh: "trap '' INT; trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done", code: 3,
			do: within(after(2), 250*time.Millisecond, slack), broken: []string{"no-escalation"}},
		{name: "another stop signal", in: []string{own}, flags: map[string][]string{"": {"--stop-signal", "QUIT"}}, sh: "trap 'exit 4' QUIT; echo ready; while :; do sleep 0.01; done", do: after(15), code: 4, broken: []string{"no-stop-signal"}},
		{name: "draining without /proc", in: []string{own}, with: launch{NoProc: true}, sh: cleaner(true, "0.3") + "exit 3", code: 3, check: cleaned, broken: []string{"leaves-others"}},
		{name: "draining when not process 1", in: []string{own}, with: launch{NotOne: true}, sh: cleaner(true, "0.3") + "exit 3", code: 3, check: cleaned, broken: []string{"leaves-others"}},
		{name: "draining after the binary is gone", in: []string{own}, sh: cleaner(true, "0.3") + "rm $DIR/" + own + "; exit 3", code: 3, check: cleaned, broken: []string{"leaves-others"}},
		{name: "a drain child that is killed is replaced", in: []string{own}, code: 3, check: cleaned, broken: []string{"leaves-others"},
			sh: cleaner(true, "1") + `(sleep 0.3; for p in /proc/[0-9]*; do read -r l < $p/cmdline; case "$l" in sextonGo*) kill -9 ${p#/proc/};; esac; done) & exit 3`},
		{name: "hooks run in order", in: []string{own}, flags: hooked, sh: "echo main", want: []string{"^a\nb\nmain\nafter\n$"}, broken: []string{"no-hooks"},
			prepare: func(dir string) error {
				if err := hook(dir, "start", "10-a", "echo a"); err != nil {
					return err
				}
				if err := hook(dir, "start", "20-b", "echo b"); err != nil {
					return err
				}
				return hook(dir, "post-stop", "x", "echo after")
			}},
		{name: "a failing start hook is the end", in: []string{own}, flags: hooked, sh: "echo main", code: 9, never: []string{"main"}, broken: []string{"hooks-may-fail"},
			prepare: func(dir string) error { return hook(dir, "start", "a", "exit 9") }},
		{name: "a hook that is no executable", in: []string{own}, flags: hooked, sh: "echo main", code: 1, never: []string{"main"}, want: []string{"executable"}, broken: []string{"no-hook-check"},
			prepare: func(dir string) error {
				if err := hook(dir, "start", "a", "exit 0"); err != nil {
					return err
				}
				return os.Chmod(dir+"/hooks/start/a", 0o644)
			}},
		{name: "a hook that takes too long", in: []string{own}, flags: map[string][]string{"": {"--hooks", "$DIR/hooks", "--hook-timeout", "200ms"}}, sh: "echo main", code: 124, never: []string{"main"}, broken: []string{"hooks-may-fail"},
			prepare: func(dir string) error { return hook(dir, "start", "a", "sleep 20") }},
		{name: "stop during a start hook", in: []string{own}, flags: hooked, sh: "echo main", code: 143, never: []string{"main"}, broken: []string{"hooks-may-fail"},
			prepare: func(dir string) error { return hook(dir, "start", "a", "echo ready; sleep 20") }, do: after(15)},
		{name: "a start hook hears of a stop", in: []string{own}, flags: hooked, sh: "echo main", code: 143, want: []string{"told"}, never: []string{"main"}, broken: []string{"deaf-hooks"},
			prepare: func(dir string) error {
				return hook(dir, "start", "a", "trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
			}, do: within(after(15), 0, slack)},
		{name: "a start hook that is deaf to a stop is killed", in: []string{own}, flags: hooked, sh: "echo main", code: 143, never: []string{"main"}, broken: []string{"deaf-hooks"},
			prepare: func(dir string) error {
				return hook(dir, "start", "a", "trap '' TERM; echo ready; while :; do sleep 0.01; done")
			}, do: within(after(15), time.Second, 5*time.Second)},
		{name: "a pre-stop hook runs before the signal", in: []string{own}, flags: hooked, sh: "trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.01; done", code: 3, want: []string{"pre\nterm"}, broken: []string{"no-hooks"},
			prepare: func(dir string) error { return hook(dir, "pre-stop", "a", "echo pre") }, do: after(15)},
		{name: "hooks change the environment", in: []string{own}, flags: map[string][]string{"": {"--hooks", "$DIR/hooks", "--env-dir", "$DIR/env"}}, sh: "echo $X $Y", want: []string{"^old new\n"}, broken: []string{"ignores-env-dir"},
			prepare: func(dir string) error {
				if err := os.Mkdir(dir+"/env", 0o755); err != nil {
					return err
				}
				if err := os.WriteFile(dir+"/env/X", []byte("old\n"), 0o644); err != nil {
					return err
				}
				return hook(dir, "start", "a", "echo new > $DIR/env/Y")
			}},
		{name: "workdir", in: []string{own}, flags: map[string][]string{"": {"--workdir", "/usr"}}, sh: "pwd", want: []string{"^/usr\n$"}, broken: []string{"no-workdir"}},
		{name: "user", in: []string{own}, flags: map[string][]string{"": {"--user", "1234:5678"}}, sh: "id -u; id -g; id -G", want: []string{"^1234\n5678\n5678\n$"}, broken: []string{"no-user"}},
		{name: "LISTEN_PID names the main child", in: []string{own, catatonit}, env: []string{"LISTEN_PID=1", "LISTEN_FDS=1"}, sh: "[ $LISTEN_PID = $$ ] && exit 4", code: 4, broken: []string{"no-listen-pid"}},
		{name: "LISTEN_PID of another is kept", in: []string{own, catatonit}, env: []string{"LISTEN_PID=77"}, sh: "[ $LISTEN_PID = 77 ] && exit 4", code: 4, broken: []string{"leaves-with-0"}},
		{name: "warns of zombies", in: []string{own}, flags: map[string][]string{"": {"--warn-zombies=1s"}}, broken: []string{"no-warning", "no-ticks"},
			command: []string{"/usr/bin/perl", "-e", `$0 = "careless"; for (1 .. 3) { exit if !fork } sleep 100`}, want: []string{`3 dead children of .*\(pid \d+\)`}, code: 143,
			do: func(r *run) error {
				if err := r.line("3 dead children of "); err != nil {
					return err
				}
				return r.signal(15)
			}},
		{name: "does not warn of what is waited for", in: []string{own}, flags: map[string][]string{"": {"--warn-zombies=1s"}}, sh: "for i in 1 2 3; do (sleep 0.1 &); sleep 0.6; done; exit 4", code: 4, never: []string{"dead child"}, broken: []string{"leaves-with-0"}},
		{name: "keeps counts", in: []string{own}, flags: map[string][]string{"": {"--status", "$DIR/status"}}, sh: "(sleep 0.05 &); (sleep 0.05 &); sleep 0.2; exit 4", code: 4, broken: []string{"no-status"},
			check: func(r *run) error {
				var reaped int
				text := r.file("status")
				if _, err := fmt.Sscanf(text[max(0, index(text, "reaped")):], "reaped %d", &reaped); err != nil || reaped < 2 {
					return fmt.Errorf("status:\n%s", text)
				}
				return nil
			}},
		{name: "ends orphans", in: []string{own}, flags: map[string][]string{"": {"--kill-orphans"}}, code: 4,
			sh: `(setsid sh -c 'trap "echo told; echo > $DIR/told; exit" TERM; echo > $DIR/up; while :; do sleep 0.01; done' & while [ ! -e $DIR/up ]; do sleep 0.01; done)
				for i in $(seq 800); do [ ! -e $DIR/told ] || break; sleep 0.01; done; echo end; exit 4`, want: []string{`told\n(.*\n)?end`}, broken: []string{"no-orphan-kill"}},
		{name: "pause leaves at TERM", in: []string{catatonit}, flags: map[string][]string{"": {"-P"}}, do: func(r *run) error {
			rests := func() bool {
				exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", r.pid()))
				return strings.HasPrefix(exe, r.dir) && state(r.pid()) == 'S'
			}
			if err := r.until("rest", rests); err != nil {
				return err
			}
			for range 100 { // until it is at the end of its beginning, but for one that keeps its directory
				if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", r.pid())); cwd == "/" {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			time.Sleep(200 * time.Millisecond) // it must not leave by itself
			return r.signal(15)
		}, broken: []string{"no-pause"}},
		{name: "run-probe waits for all", in: []string{own}, command: []string{}, flags: map[string][]string{"": {"run-probe", "--", "/bin/sh", "-c", "(sleep 0.5; echo late) & exit 4"}}, code: 4, with: launch{NotOne: true},
			want: []string{"late"}, broken: []string{"probe-leaves"}},
	}
}

func index(text, word string) int {
	for i := range text {
		if len(text)-i >= len(word) && text[i:i+len(word)] == word {
			return i
		}
	}
	return -1
}
