package options

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// parsed reads a command line with an environment of "NAME=value".
func parsed(argv0 string, args []string, env ...string) (*Options, *Refusal) {
	return Parse(argv0, args, func(name string) (string, bool) {
		for _, v := range env {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}, 1)
}

func words(line string) []string { return strings.Fields(line) }

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, argv0, args string
		env               []string
		holds             func(*Options) bool
	}{
		{"own", "/sexton-init", "-- a b", nil, func(o *Options) bool {
			return o.Dialect == Own && o.Drain && o.Grace == 8*time.Second && o.Stop[15] && o.Stop[2] && !o.Stop[3] && o.Subreaper && o.WarnZombies == time.Minute && len(o.Command) == 2
		}},
		{"own without --", "init", "a -v --grace 3", nil, func(o *Options) bool { return len(o.Command) == 4 && o.Verbosity == 0 }},
		{"durations", "x", "--grace 20 --drain-delay=1.5 --kill-after 300ms a", nil, func(o *Options) bool {
			return o.Grace == 20*time.Second && o.DrainDelay == 1500*time.Millisecond && o.KillAfter == 300*time.Millisecond
		}},
		{"a flag wins over a variable", "x", "--grace 3s a", []string{"SEXTON_INIT_GRACE=9s", "SEXTON_INIT_KILL_AFTER=7s"}, func(o *Options) bool {
			return o.Grace == 3*time.Second && o.KillAfter == 7*time.Second
		}},
		{"no draining by variable", "x", "a", []string{"SEXTON_INIT_DRAIN=0"}, func(o *Options) bool { return !o.Drain }},
		{"rewrites", "x", "--rewrite TERM:QUIT,10:0 --rewrite HUP:RTMIN+3 a", nil, func(o *Options) bool {
			return o.Forward[15] == 3 && o.Forward[10] == 0 && o.Forward[1] == 37
		}},
		{"stop signal", "x", "--stop-signal SIGQUIT a", nil, func(o *Options) bool { return o.Forward[15] == 3 && o.Stop[3] && o.Stop[15] }},
		{"exit codes", "x", "-e 7 --remap-exit 8=9,143 a", nil, func(o *Options) bool {
			return o.Remap[7] == 0 && o.Remap[8] == 9 && o.Remap[143] == 0 && o.Remap[9] == 9
		}},
		{"warnings off", "x", "--warn-zombies=off a", nil, func(o *Options) bool { return o.WarnZombies == 0 }},
		{"warnings with no value take no word", "x", "--warn-zombies a", nil, func(o *Options) bool { return o.WarnZombies == time.Minute && o.Command[0] == "a" }},
		{"user", "x", "--user 7:8 a", nil, func(o *Options) bool { return *o.User == User{7, 8} }},
		{"user alone", "x", "--user 7 a", nil, func(o *Options) bool { return *o.User == User{7, 7} }},
		{"short flags together", "x", "-gvp9 a", nil, func(o *Options) bool { return o.Group && o.Verbosity == 1 && o.ParentDeath == 9 }},
		{"probe", "x", "run-probe -- a", nil, func(o *Options) bool { return o.Probe && !o.Drain && o.Terminal == Shared }},
		{"dialect by flag", "x", "--dialect tini a", nil, func(o *Options) bool { return o.Dialect == Tini && !o.Drain && !o.Stop[3] }},
		{"dialect by variable", "x", "a", []string{"SEXTON_INIT_DIALECT=dumb-init"}, func(o *Options) bool { return o.Dialect == DumbInit }},

		{"tini", "/sbin/docker-init", "-- a", nil, func(o *Options) bool {
			return o.Dialect == Tini && !o.Drain && o.WarnZombies == 0 && o.Forward[11] == 0 && o.Forward[20] == 20 && o.Forward[64] == 64 && !o.EachEvent && o.Unstarted == 1
		}},
		{"tini -s -g -w", "tini", "-s -g -w -p SIGUSR1 -e 3 a", nil, func(o *Options) bool {
			return o.Subreaper && o.Group && o.ReapWarning && o.EachEvent && o.ParentDeath == 10 && o.Remap[3] == 0
		}},
		{"tini's variables, empty", "tini", "a", []string{"TINI_SUBREAPER=", "TINI_KILL_PROCESS_GROUP="}, func(o *Options) bool { return o.Subreaper && o.Group }},
		{"tini's verbosity", "tini", "a", []string{"TINI_VERBOSITY=3"}, func(o *Options) bool { return o.Verbosity == 3 && o.EachEvent }},
		{"tini with a flag of ours", "tini", "--drain --grace=3s -- a", nil, func(o *Options) bool { return o.Drain && o.Grace == 3*time.Second }},
		{"tini --version is a command's", "tini", "--drain a --version", nil, func(o *Options) bool { return len(o.Command) == 2 }},

		{"dumb-init", "dumb-init", "a", nil, func(o *Options) bool {
			return o.Group && o.Terminal == Session && o.TermGroup && o.Forward[20] == 19 && o.Suspend[20] && o.NotFound == 2 && o.Forward[11] == 11
		}},
		{"dumb-init -c", "dumb-init", "-c a", nil, func(o *Options) bool { return !o.Group && o.Terminal == Shared && o.Forward[20] == 20 && o.Suspend[20] }},
		{"dumb-init by variables", "dumb-init", "a", []string{"DUMB_INIT_SETSID=0", "DUMB_INIT_DEBUG=1"}, func(o *Options) bool { return !o.Group && o.EachEvent }},
		{"dumb-init -r", "dumb-init", "-r 15:3 --rewrite 10:0 --rewrite=TSTP:TSTP -r HUP:RTMIN+3 a", nil, func(o *Options) bool {
			return o.Forward[15] == 3 && o.Forward[1] == 37 && o.Forward[10] == 0 && o.Forward[20] == 20 && o.Suspend[20]
		}},
		{"catatonit", "catatonit", "-g -- a", nil, func(o *Options) bool { return o.Group && o.ListenPID && o.Forward[20] == 0 && o.NotFound == 1 }},
		{"catatonit -P", "podman-init", "-P", nil, func(o *Options) bool { return o.Pause && len(o.Command) == 0 && o.Stop[15] && o.Stop[2] }},
		{"my_init", "my_init", "--skip-runit --quiet -- a", []string{"KILL_PROCESS_TIMEOUT=5"}, func(o *Options) bool {
			return o.Drain && !o.Runit && o.StartupFiles && o.Quiet && o.Grace == 5*time.Second && o.KillAfter == 30*time.Second && o.Forward[2] == 15 && o.EnvDir != ""
		}},
		{"my_init without a command", "my_init", "", nil, func(o *Options) bool { return o.Runit && len(o.Command) == 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, refusal := parsed(tt.argv0, words(tt.args), tt.env...)
			if refusal != nil {
				t.Fatalf("refused: %+v", refusal)
			}
			if !tt.holds(o) {
				t.Errorf("%+v", o)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, argv0, args string
		want              string
		code              int
	}{
		{"no command", "x", "", "no command", 1},
		{"only --", "x", "--", "no command", 1},
		{"unknown, near a known one", "x", "--grac 3s a", "try: --grace", 1},
		{"value missing", "x", "--grace", "value is missing", 1},
		{"tini's flag", "x", "-w a", "of tini", 1},
		{"my_init's flag", "x", "--skip-runit a", "of my_init", 1},
		{"no dialect", "x", "--dialect upstart a", "is none", 1},
		{"dialect too late", "x", "-v --dialect tini a", "comes first", 1},
		{"bad duration", "x", "--grace 8x a", "no duration", 1},
		{"negative duration", "x", "--grace -1s a", "no duration", 1},
		{"absurd duration", "x", "--grace 9e99 a", "no duration", 1},
		{"bad signal", "x", "--stop-signal SIGFOO a", "no signal", 1},
		{"signal 0", "x", "--stop-signal 0 a", "no signal", 1},
		{"signal 65", "x", "--stop-signal 65 a", "no signal", 1},
		{"KILL cannot be a stop signal", "x", "--stop-signal KILL a", "cannot be forwarded", 1},
		{"rewrite of KILL", "x", "--rewrite KILL:TERM a", "never reaches", 1},
		{"rewrite without a colon", "x", "--rewrite TERM a", "no rewrite", 1},
		{"exit code 256", "x", "-e 256 a", "no exit code", 1},
		{"relative status", "x", "--status run/st a", "absolute", 1},
		{"relative hooks", "x", "--hooks h a", "absolute", 1},
		{"user by name", "x", "--user www-data a", "in numbers", 1},
		{"a value where there is none", "x", "--drain=1 a", "--drain: unknown option", 1},
		{"probe without a command", "x", "run-probe --", "run-probe", 1},
		{"ESC in a flag", "x", "--\x1b[2J a", `\x1b`, 1},
		{"help", "x", "--help", "Usage:", 0},
		{"version", "x", "--version", "sexton-init ", 0},
		{"tini: none", "tini", "", "supervision of a valid init process", 1},
		{"tini: -e 300", "tini", "-e 300 a", "Not a valid option for -e: 300", 1},
		{"tini: -p FOO", "tini", "-p FOO a", "Not a valid option for -p: FOO", 1},
		{"tini: -Z", "tini", "-Z a", "invalid option -- 'Z'", 1},
		{"tini: version", "tini", "--version", "tini version 0.19.0 - git.", 0},
		{"tini: licence", "tini", "-l", "SPDX-License-Identifier: Apache-2.0", 0},
		{"tini: more verbose", "tini", "-h", "more verbose", 0},
		{"dumb-init: none", "dumb-init", "", "Usage: dumb-init [option] program [args]\nTry dumb-init --help for full usage.\n", 1},
		{"dumb-init: -r", "dumb-init", "-r 1 a", "Usage: -r option takes <signum>:<signum>", 1},
		{"dumb-init: -r above 31", "dumb-init", "-r 15:12 -r 1:32 a", "Usage: -r option takes <signum>:<signum>", 1},
		{"dumb-init: unknown", "dumb-init", "--yolo a", "dumb-init: unrecognized option '--yolo'\n", 1},
		{"dumb-init: a value missing", "dumb-init", "--grace", "value is missing", 1},
		{"dumb-init: version", "dumb-init", "-V", "dumb-init v1.2.5\n", 0},
		{"catatonit: none", "catatonit", "", "missing program name", 1},
		{"catatonit: version", "catatonit", "-V", "tini version", 0},
		{"my_init: nothing", "my_init", "--skip-runit", "nothing to run", 1},
		{"my_init: unknown", "my_init", "--foo", "unknown option", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, refusal := parsed(tt.argv0, words(tt.args))
			if refusal == nil {
				t.Fatalf("taken: %+v", o)
			}
			if !strings.Contains(refusal.Text, tt.want) || refusal.Code != tt.code || strings.ContainsRune(refusal.Text, '\x1b') {
				t.Errorf("code %d, text:\n%s", refusal.Code, refusal.Text)
			}
		})
	}
}

func TestSignals(t *testing.T) {
	for text, want := range map[string]uint8{"TERM": 15, "sigterm": 15, "15": 15, "RTMIN": 34, "RTMIN+3": 37, "RTMAX-1": 63, "64": 64, "IOT": 6, "POLL": 29,
		"": 0, "0": 0, "65": 0, "-1": 0, "RTMIN+31": 0, "RTMAX-99": 0, "TERMS": 0, "300": 0} {
		got, ok := ParseSignal(text)
		if ok != (want != 0) || ok && got != want {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
	for sig := 1; sig <= 64; sig++ {
		if sig == 32 || sig == 33 {
			continue
		}
		if got, ok := ParseSignal(SignalName(sig)); !ok || int(got) != sig {
			t.Errorf("%d is %s, which is %d", sig, SignalName(sig), got)
		}
	}
}

func TestWords(t *testing.T) {
	o := &Options{Dialect: Tini, Verbosity: 3, Command: []string{"\x1b[2J"}, ReapWarning: true}
	for _, line := range []string{o.ExecFailed("\x1b[2J", 1, syscall.ENOENT), o.Spawned(1, 2), o.Reaped(1, 2, 0, false)} {
		if line == "" || strings.ContainsRune(line, '\x1b') {
			t.Errorf("%q", line)
		}
	}
}

// Every flag is in the page of this program.
func TestPageHasEveryFlag(t *testing.T) {
	page, err := os.ReadFile("../../docs/init.md")
	if err != nil {
		t.Fatal(err)
	}
	flags := append([]string{"run-probe", "--dialect", "--skip-startup-files", "--skip-runit", "--no-kill-all-on-exit", "--quiet", "--enable-insecure-key", "--single-child",
		"TINI_SUBREAPER", "TINI_VERBOSITY", "TINI_KILL_PROCESS_GROUP", "DUMB_INIT_DEBUG", "DUMB_INIT_SETSID", "CATATONIT_DEBUG", "LISTEN_PID", "KILL_PROCESS_TIMEOUT", "KILL_ALL_PROCESSES_TIMEOUT"}, long...)
	for _, f := range flags {
		if f = strings.TrimRight(f, "=["); !strings.Contains(string(page), "`"+f) {
			t.Errorf("docs/init.md does not have %s", f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("tini", "-vvw -e 3 -- a", "TINI_VERBOSITY=2")
	f.Add("x", "--grace 3 --rewrite A:B,C a", "SEXTON_INIT_GRACE=\xff")
	f.Add("my_init", "--skip-runit -- \x00", "")
	f.Fuzz(func(t *testing.T, argv0, args, env string) {
		o, refusal := parsed(argv0, strings.Split(args, " "), env)
		if (o == nil) == (refusal == nil) {
			t.Fatalf("%v and %v", o, refusal)
		}
		if o != nil && len(o.Command) == 0 && !o.Pause && !o.Runit {
			t.Errorf("no command: %+v", o)
		}
		if refusal != nil && refusal.Text == "" {
			t.Errorf("no word: %+v", refusal)
		}
	})
}
