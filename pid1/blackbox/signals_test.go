package blackbox

import "fmt"

// trapped is a main child that says each signal it gets and leaves at USR2.
const trapped = `for s in 1 2 3 10 12 13 14 15 23 24 25 26 27 28 29 30 35 36 40 50 60 63 64; do trap "echo got $s." $s; done
trap 'echo got 12.; exit 0' 12; echo ready; while :; do sleep 0.01; done`

// each sends signals one by one and waits for the main child to say them.
func each(signals ...int) func(*run) error {
	return func(r *run) error {
		if err := r.line("ready"); err != nil {
			return err
		}
		for _, sig := range signals {
			if err := r.signal(sig); err != nil {
				return err
			}
			if err := r.line(fmt.Sprintf("got %d.", sig)); err != nil {
				return err
			}
		}
		return r.signal(12)
	}
}

// after sends one signal when the main child is ready.
func after(sig int) func(*run) error {
	return func(r *run) error {
		if err := r.line("ready"); err != nil {
			return err
		}
		return r.signal(sig)
	}
}

// What is forwarded, to whom, and what the main child inherits.
func signals() []behaviour {
	return []behaviour{
		{name: "HUP USR1 WINCH are forwarded", in: everyone, sh: trapped, do: each(1, 10, 28), broken: []string{"drops-usr"}},
		{name: "all others are forwarded", in: everyone, sh: trapped, do: each(13, 14, 24, 25, 26, 29, 30), broken: []string{"no-forward"}},
		{name: "URG and PROF are forwarded", in: everyone, sh: trapped, do: each(23, 27), broken: []string{"no-forward"}},
		{name: "real-time signals are forwarded", in: everyone, sh: trapped, do: each(35, 36, 40, 50, 60, 63, 64), broken: []string{"drops-real-time"}},
		{name: "TERM", in: everyone, sh: "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.01; done", do: after(15), code: 3, want: []string{"got"}, broken: []string{"no-grace"}},
		{name: "TERM to a main child that has no handler", in: everyone, sh: "echo ready; exec sleep 100", do: after(15), code: 143, broken: []string{"no-128"}},
		{name: "INT", in: []string{own, tini, dumb, catatonit}, sh: "trap 'echo got; exit 3' INT; echo ready; while :; do sleep 0.01; done", do: after(2), code: 3, broken: []string{"leaves-with-0"}},
		{name: "CHLD is not", in: everyone, command: []string{"/usr/bin/perl", "-e", `$| = 1; $SIG{CHLD} = sub { print "got 17.\n" }; $SIG{USR2} = sub { exit 0 }; print "ready\n"; sleep 1 while 1`},
			do: func(r *run) error {
				if err := r.line("ready"); err != nil {
					return err
				}
				r.signal(17)
				return r.signal(12)
			}, never: []string{"got 17"}, broken: []string{"drops-usr"}},
		{name: "rewritten", in: []string{own, dumb}, flags: map[string][]string{own: {"--rewrite", "10:14"}, dumb: {"-r", "10:14"}},
			sh: trapped, do: func(r *run) error {
				if err := r.line("ready"); err != nil {
					return err
				}
				r.signal(10)
				if err := r.line("got 14."); err != nil {
					return err
				}
				return r.signal(12)
			}, never: []string{"got 10"}, broken: []string{"no-rewrite"}},
		{name: "rewritten by name", in: []string{own, dumb}, flags: map[string][]string{own: {"--rewrite=TERM:QUIT"}, dumb: {"-r", "TERM:QUIT"}},
			sh: "trap 'exit 4' QUIT; echo ready; while :; do sleep 0.01; done", do: after(15), code: 4, broken: []string{"no-rewrite"},
			differs: map[string]string{dumb: "numbers only"}},
		{name: "dropped", in: []string{own, dumb}, flags: map[string][]string{own: {"--rewrite", "USR1:0"}, dumb: {"-r", "10:0"}},
			sh: trapped, do: func(r *run) error {
				if err := r.line("ready"); err != nil {
					return err
				}
				r.signal(10)
				return each(14)(r)
			}, never: []string{"got 10"}, broken: []string{"no-rewrite"}},
		{name: "to the group", in: []string{own, tini, catatonit, dumb}, flags: map[string][]string{own: {"-g"}, tini: {"-g"}, catatonit: {"-g"}},
			sh: `trap : USR1; sh -c 'trap "echo child got it; exit" USR1; echo ready; while :; do sleep 0.01; done' & wait $!; wait $!; exit 0`, do: after(10),
			want: []string{"ready"}, broken: []string{"group-ignored"}},
		{name: "to the main child alone", in: []string{own, tini, catatonit, dumb}, flags: map[string][]string{dumb: {"-c"}},
			sh: `trap 'exit 0' USR1; sh -c 'trap "echo child got it" USR1; echo ready; while :; do sleep 0.01; done' & wait; wait`, do: after(10),
			never: []string{"child got it"}, broken: []string{"drops-usr"}},
		{name: "variable for the group", in: []string{tini}, env: []string{"TINI_KILL_PROCESS_GROUP=1"},
			sh: `trap : USR1; sh -c 'trap "exit" USR1; echo ready; while :; do sleep 0.01; done' & wait $!; wait $!; exit 0`, do: after(10), broken: []string{"group-ignored"}},
		{name: "blocked signals stay blocked", in: everyone, command: []string{"/bin/cat", "/proc/self/status"}, with: launch{Blocked: []int{10, 21, 40}},
			want: []string{`SigBlk:\s0000008000100200`}, broken: []string{"loses-mask"},
			differs: map[string]string{dumb: "unblocks all", catatonit: "TSTP TTIN TTOU are blocked besides"}},
		{name: "nothing else is blocked", in: everyone, command: []string{"/bin/cat", "/proc/self/status"},
			want: []string{`SigBlk:\s0000000000000000`}, broken: []string{"loses-mask"}, differs: map[string]string{catatonit: "TSTP TTIN TTOU are blocked"}},
		{name: "ignored signals stay ignored", in: everyone, command: []string{"/bin/cat", "/proc/self/status"}, with: launch{Ignored: []int{1, 2, 10, 13, 22, 40}},
			want: []string{`SigIgn:\s0000008000201203`}, broken: []string{"forgets-ignored"}, differs: map[string]string{dumb: "installs handlers, which exec resets"}},
		{name: "CHLD ignored at the beginning", in: everyone, sh: "sleep 0.05; exit 9", with: launch{Ignored: []int{17}}, code: 9, broken: []string{"chld-stays"},
			differs: map[string]string{tini: "the status is lost", catatonit: "the status is lost"}},
		{name: "stops at TSTP and goes on at CONT", in: []string{own, dumb}, with: launch{NotOne: true}, broken: []string{"no-suspend"},
			sh: "echo ready; while :; do sleep 0.01; done", do: func(r *run) error {
				if err := r.line("ready"); err != nil {
					return err
				}
				pid := r.pid()
				r.signal(20)
				if err := r.until("stop of the init", func() bool { return state(pid) == 'T' }); err != nil {
					return err
				}
				r.signal(18)
				if err := r.until("going on", func() bool { return state(pid) != 'T' }); err != nil {
					return err
				}
				return r.signal(9)
			}, code: 137},
	}
}
