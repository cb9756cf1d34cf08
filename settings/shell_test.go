package settings

import (
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       reading
	}{
		{"nothing", "", replaced},
		{"blanks and a comment", " \n # exec\n", replaced},
		{"one program", "node server.js", single},
		{"one with what a shell must do", `PORT=${PORT:-80} node "a; b" $(date +%s; true) 2>&1 >/dev/null`, single},
		{"exec", "exec node server.js", replaced},
		{"exec at the end", "cd /app && exec node .", replaced},
		{"exec behind assignments", "set -e; A=1 exec node .", replaced},
		{"exec in a word", "node exec", single},
		{"exec first, more after", "exec 2>/log; node .", several},
		{"a list", "cd /app && node .", several},
		{"a pipe", "node . | tee log", several},
		{"in the background", "node . &", several},
		{"both streams", "node . &>log", single},
		{"lines", "a\nb", several},
		{"a line that goes on", "a \\\n b", single},
		{"a loop", "while true; do sleep 1; done", several},
		{"a loop alone", "if x", several},
		{"a subshell", "( node . )", several},
		{"a trap", "trap 'kill $p' TERM; node . & p=$!; wait", replaced},
		{"a word that is not a trap", "trapdoor; node .", several},
		{"separators in quotes", `echo 'a;b' "c&&d" e\;f`, single},
		{"an open quote", `echo "a;b`, single},
		{"an open substitution", "echo $(a; b", single},
		{"backquotes", "echo `a; b`", single},
		{"assignments alone", "A=1 B=2", replaced},
		{"a path with = in it", "/opt/a=b/run", single},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, program := read(tt.text); got != tt.want || got == single && len(program) == 0 {
				t.Errorf("%d by %q, want %d: %+v", got, program, tt.want, split(tt.text))
			}
		})
	}
}

func TestScript(t *testing.T) {
	for _, tt := range []struct{ argv, want string }{ // arguments with a bar between
		{"sh", ""},
		{"sh|-c", ""},
		{"sh|-c|a b", "a b"},
		{"bash|-euxc|a", "a"},
		{"bash|-o|pipefail|-c|a", "a"},
		{"bash|-euco|pipefail|a", "a"},
		{"bash|-c|-e|a", "a"},
		{"bash|--login|-c|a", "a"},
		{"sh|/entrypoint.sh", ""},
		{"sh|/entrypoint.sh|-c|a", ""},
		{"sh|-x|/entrypoint.sh", ""},
		{"sh|-", ""},
		{"sh|+x|-c|a", "a"},
	} {
		if got, ok := script(strings.Split(tt.argv, "|")); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %q, %v", tt.argv, got, ok)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"a && b", `'"$(${`, "a \\", "$(()", "trap x", "&>", ">&&"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read(text)
		script(strings.Fields(text))
		behind(strings.Fields(text))
		if n := len(split(text)); n > len(text) {
			t.Errorf("%d commands of %d bytes", n, len(text))
		}
	})
}
