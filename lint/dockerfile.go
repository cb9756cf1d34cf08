package lint

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"sexton.dev/settings"
)

// verbs are the instructions of a Dockerfile.
//
// Source: docs.docker.com "Dockerfile reference".
var verbs = []string{"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
	"MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}

// A stage is what one FROM begins.
type stage struct {
	name       string
	shell      []string
	entry, cmd *settings.Program
	ownCmd     bool // it has a CMD itself
	base       bool // another one begins with it
}

// dockerfile reads a Dockerfile. Each stage that no other begins with is an image.
func (r *reader) dockerfile(text []byte) {
	var stages []*stage
	bad := len(r.problems)
	for _, in := range r.instructions(string(text)) {
		switch {
		case in.name == "FROM":
			stages = append(stages, from(in.args, stages))
		case len(stages) > 0:
			r.instruct(stages[len(stages)-1], in)
		}
	}
	if len(stages) == 0 && bad == len(r.problems) {
		r.fail(0, "FROM IMAGE as the first instruction", "a Dockerfile without FROM")
	}
	for i, s := range stages {
		if s.base || s.entry == nil && s.cmd == nil {
			continue
		}
		w := settings.Workload{Format: settings.Image, Kind: "image", File: r.file}
		if i < len(stages)-1 {
			w.Name = "stage " + s.name
		}
		w.Containers = []settings.Container{{Program: s.program()}}
		r.set.Workloads = append(r.set.Workloads, w)
	}
}

// from begins a stage: with what an earlier one of the file left, if it is from that.
func from(args string, stages []*stage) *stage {
	s := &stage{name: fmt.Sprint(len(stages)), shell: []string{"/bin/sh", "-c"}}
	fields := slices.DeleteFunc(strings.Fields(args), func(f string) bool { return strings.HasPrefix(f, "--") })
	if len(fields) == 3 && strings.EqualFold(fields[1], "as") {
		s.name = fields[2]
	}
	for _, earlier := range stages {
		if len(fields) > 0 && strings.EqualFold(earlier.name, fields[0]) {
			earlier.base = true
			s.shell, s.entry, s.cmd = earlier.shell, earlier.entry, earlier.cmd
		}
	}
	return s
}

func (r *reader) instruct(s *stage, in instruction) {
	switch in.name {
	case "SHELL":
		var argv []string
		if json.Unmarshal([]byte(in.args), &argv) != nil || len(argv) == 0 {
			r.fail(in.line, `SHELL ["/bin/bash", "-c"]`, "SHELL wants a JSON list of texts")
			return
		}
		s.shell = argv
	case "ENTRYPOINT":
		s.entry = r.program(s, in)
		if !s.ownCmd {
			s.cmd = nil // that of the image below is dropped with its entrypoint
		}
	case "CMD":
		s.cmd, s.ownCmd = r.program(s, in), true
	}
}

// program reads the arguments of ENTRYPOINT or CMD in either form.
func (r *reader) program(s *stage, in instruction) *settings.Program {
	p := &settings.Program{Place: r.at(in.line)}
	list := strings.HasPrefix(in.args, "[")
	if list && json.Unmarshal([]byte(in.args), &p.Argv) == nil {
		return p
	}
	p.Argv = append(slices.Clone(s.shell), in.args)
	p.Shell = in.name + " in the shell form: docker runs it by " + strings.Join(s.shell, " ")
	if list {
		p.Shell = in.name + " begins with [ and is no JSON list of texts (in double quotes), so it is the shell form"
	}
	return p
}

// program is what a stage's image runs as PID 1. An entrypoint that is no init
// executes its arguments, as scripts do: then they are judged if they are a shell.
func (s *stage) program() settings.Program {
	switch {
	case s.entry == nil:
		return *s.cmd
	case s.entry.Shell != "" || s.cmd == nil: // the shell form takes no arguments
		return *s.entry
	case s.cmd.Shell != "" && len(s.entry.Argv) > 0 && !settings.IsInit(path.Base(s.entry.Argv[0])):
		return *s.cmd
	}
	p := *s.entry
	p.Argv = append(slices.Clone(p.Argv), s.cmd.Argv...)
	if s.cmd.Shell != "" {
		p.Shell, p.Place = s.cmd.Shell, s.cmd.Place
	}
	return p
}

// An instruction is one of a Dockerfile, its lines joined.
type instruction struct {
	name, args string
	line       int
}

var (
	escapeForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("(?i)^#\\s*escape\\s*=\\s*([`\\\\])\\s*$") })
	heredoc    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`<<-?\s*["']?([A-Za-z_][A-Za-z0-9_.]*)["']?`) })
)

// instructions cuts a Dockerfile: lines that end in the escape go on in the next
// one, comments between them are left out, and here-documents are passed over.
func (r *reader) instructions(text string) (out []instruction) {
	escape, directives := `\`, true
	var joined strings.Builder
	var ends []string // of here-documents that are open
	begun := 0
	n := 0
	for raw := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		n++
		line := strings.TrimSpace(raw)
		if len(ends) > 0 {
			if strings.Trim(strings.TrimRight(raw, "\r\n"), "\t") == ends[0] {
				ends = ends[1:]
			}
			continue
		}
		if line == "" || line[0] == '#' {
			if m := escapeForm().FindStringSubmatch(line); m != nil && directives {
				escape = m[1]
			}
			continue
		}
		directives = false
		if joined.Len() == 0 {
			begun = n
		}
		if rest, more := strings.CutSuffix(line, escape); more {
			joined.WriteString(rest + " ")
			continue
		}
		in := cut(joined.String()+line, begun)
		joined.Reset()
		if !slices.Contains(verbs, in.name) {
			r.fail(begun, "an instruction, as RUN or CMD; a line before it may want a "+escape+" at its end", "%.40q is no instruction of a Dockerfile", in.name)
			continue
		}
		if slices.Contains([]string{"RUN", "COPY", "ADD"}, in.name) {
			for _, m := range heredoc().FindAllStringSubmatch(in.args, 16) {
				ends = append(ends, m[1])
			}
		}
		out = append(out, in)
	}
	if joined.Len() > 0 {
		out = append(out, cut(joined.String(), begun))
	}
	return out
}

func cut(line string, at int) instruction {
	line = strings.TrimSpace(line)
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		end = len(line)
	}
	return instruction{strings.ToUpper(line[:end]), strings.TrimSpace(line[end:]), at}
}
