package blackbox

import (
	"fmt"
	"os"
)

// How it ends, and what it says when it cannot begin.
func exits() (all []behaviour) {
	for _, code := range []int{1, 7, 126, 127, 128, 200, 255} {
		all = append(all, behaviour{name: fmt.Sprintf("exit code %d", code), in: everyone, sh: fmt.Sprintf("exit %d", code), code: code, broken: []string{"leaves-with-0"}})
	}
	for name, sig := range map[string]int{"HUP": 1, "QUIT": 3, "KILL": 9, "USR1": 10, "SEGV": 11, "TERM": 15} {
		all = append(all, behaviour{name: "main child dies by " + name, in: everyone, sh: "kill -" + name + " $$; sleep 1", code: 128 + sig, broken: []string{"no-128"}})
	}
	return append(all,
		behaviour{name: "exit code 0", in: everyone, sh: "echo ran", want: []string{"^ran\n$"}, broken: []string{"keeps-dashes"}},
		behaviour{name: "command not found by path", in: everyone, command: []string{"/nowhere/to/be/found"}, code: 127, codes: map[string]int{dumb: 2, catatonit: 1}, broken: []string{"not-found-1"}},
		behaviour{name: "command not found in PATH", in: everyone, command: []string{"no-such-command-at-all"}, code: 127,
			codes: map[string]int{dumb: 2, catatonit: 1}, want: []string{"no-such-command-at-all|No such file"}, broken: []string{"not-found-1"}},
		behaviour{name: "not executable", in: everyone, command: []string{"/etc/passwd"}, code: 126,
			codes: map[string]int{dumb: 2, catatonit: 1}, want: []string{"Permission denied"}, broken: []string{"one-code"}},
		behaviour{name: "a directory as the command", in: everyone, command: []string{"/etc"}, code: 126,
			codes: map[string]int{dumb: 2, catatonit: 1}, broken: []string{"one-code"}},
		behaviour{name: "script without an interpreter line", in: everyone, command: []string{"./script"}, code: 5,
			prepare: func(dir string) error { return os.WriteFile(dir+"/script", []byte("exit 5\n"), 0o755) }, broken: []string{"no-sh-for-scripts"}},
		behaviour{name: "no PATH at all", in: everyone, command: []string{"sh", "-c", "exit 4"}, env: []string{"PATH"}, code: 4, broken: []string{"no-path"}},
		behaviour{name: "empty PATH", in: everyone, command: []string{"true"}, env: []string{"PATH="}, code: 127,
			codes: map[string]int{dumb: 2, catatonit: 1}, broken: []string{"not-found-1"}},
		behaviour{name: "no command", in: []string{own, tini, catatonit, dumb}, code: 1, want: []string{"(?i)usage|no command|missing"}, broken: []string{"mute"}},
		behaviour{name: "unknown option", in: []string{own, tini, catatonit, dumb}, flags: map[string][]string{"": {"-Z"}}, sh: "echo ran", code: 1,
			never: []string{"ran"}, broken: []string{"usage-is-0"}},
		behaviour{name: "another dialect's option", in: []string{own}, flags: map[string][]string{"": {"-w"}}, sh: "echo ran", code: 1,
			want: []string{"of tini"}, never: []string{"ran"}, broken: []string{"mute"}},
		behaviour{name: "bad rewrite", in: []string{own, dumb}, flags: map[string][]string{own: {"--rewrite", "TERM:NOPE"}, dumb: {"-r", "x:y"}}, sh: "echo ran", code: 1,
			want: []string{"(?i)rewrite|-r option"}, never: []string{"ran"}, broken: []string{"mute"}},
		behaviour{name: "rewrite to a number above 31", in: []string{dumb}, flags: map[string][]string{"": {"-r", "1:32"}}, sh: "echo ran", code: 1,
			want: []string{"between 1 and 31"}, never: []string{"ran"}, broken: []string{"rewrites-high"}},
		behaviour{name: "unknown word", in: []string{dumb}, flags: map[string][]string{"": {"--yolo"}}, sh: "echo ran", code: 1,
			want: []string{"^dumb-init: unrecognized option '--yolo'\n$|/dumb-init: unrecognized option '--yolo'\n$"}, broken: []string{"own-words"}},
		behaviour{name: "bad duration", in: []string{own}, flags: map[string][]string{"": {"--grace", "soon"}}, sh: "echo ran", code: 1,
			want: []string{"no duration"}, never: []string{"ran"}, broken: []string{"usage-is-0"}},
		behaviour{name: "env dir is a file", in: []string{own}, flags: map[string][]string{"": {"--env-dir", "/etc/passwd"}}, sh: "echo ran", code: 1,
			want: []string{"--env-dir"}, never: []string{"ran"}, broken: []string{"ignores-env-dir"}},
		behaviour{name: "exit code remapped to 0", in: []string{own, tini}, flags: map[string][]string{"": {"-e", "7", "-e", "9"}}, sh: "exit 7", broken: []string{"no-remap"}},
		behaviour{name: "other exit codes are not", in: []string{own, tini}, flags: map[string][]string{"": {"-e", "7"}}, sh: "exit 8", code: 8, broken: []string{"leaves-with-0"}},
		behaviour{name: "death by signal remapped", in: []string{own, tini}, flags: map[string][]string{"": {"-e", "143"}}, sh: "kill $$; sleep 1", broken: []string{"no-remap"}},
		behaviour{name: "exit code remapped to another", in: []string{own}, flags: map[string][]string{"": {"--remap-exit", "7=9,8=1"}}, sh: "exit 7", code: 9, broken: []string{"no-remap"}},
		behaviour{name: "version", in: []string{own, tini, dumb, catatonit}, flags: map[string][]string{"": {"--version"}},
			want: []string{`sexton-init |tini version \d|dumb-init v1\.2\.5\n`}, broken: []string{"mute"}},
		behaviour{name: "help", in: []string{own, tini, dumb, catatonit, myInit}, flags: map[string][]string{"": {"-h"}}, want: []string{"(?i)usage:"}, broken: []string{"mute"}},
		behaviour{name: "arguments after --", in: everyone, command: []string{"/bin/sh", "-c", `echo "$@"`, "x", "-v", "--help", "--"}, want: []string{`-v --help --\n`}, broken: []string{"keeps-dashes"}},
		behaviour{name: "main's exit together with others'", in: everyone, code: 6, broken: []string{"leaves-with-0"},
			sh: "for i in 1 2 3 4 5 6 7 8; do (sleep 0.05 & ) ; done; sleep 0.05; exit 6"},
	)
}
