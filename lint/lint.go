// Package lint reads the files in which people write down what is to run, as bytes,
// and puts together what the rules of package settings judge: manifests of Kubernetes,
// compose files, Dockerfiles, units of systemd and docker's file of settings.
package lint

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"sexton.dev/settings"
)

// A Kind says how a file is read.
type Kind int

// The kinds of files. Auto goes by the name and by how the text begins.
const (
	Auto Kind = iota
	DaemonFile
	UnitFile
	Dockerfile
	Manifest // Kubernetes or compose, which its content tells
)

// A File is one that is judged.
type File struct {
	Name    string // as it is told to people
	Kind    Kind
	Text    []byte
	Foreign bool // it may be something else: a file that was found in a directory
}

// A Problem is what of a file could not be read, and what to do about it.
type Problem struct {
	settings.Place
	Err error
	Try string
}

func (p Problem) Error() string { return p.Where() + ": " + p.Err.Error() }

// Read reads files. What can be read of one with a problem is in the set all the same.
func Read(files []File) (*settings.Set, []Problem) {
	r := reader{set: &settings.Set{}}
	for _, f := range files {
		r.file = f.Name
		switch kindOf(f) {
		case DaemonFile:
			r.daemon(f.Text)
		case UnitFile:
			r.unitFile(f)
		case Dockerfile:
			r.dockerfile(f.Text)
		default:
			r.manifest(f)
		}
	}
	r.mergeUnits()
	return r.set, r.problems
}

// A reader collects what files say.
type reader struct {
	set      *settings.Set
	problems []Problem
	file     string // that is read
	units    []unitFile
}

// mostProblems bounds what is told of a file that is nothing but wrong.
const mostProblems = 1000

func (r *reader) fail(line int, try, format string, args ...any) {
	if len(r.problems) < mostProblems {
		r.problems = append(r.problems, Problem{settings.Place{File: r.file, Line: line}, fmt.Errorf(format, args...), try})
	}
}

func (r *reader) at(line int) settings.Place { return settings.Place{File: r.file, Line: line} }

// kindOf tells a file's kind by its name, and where that does not tell by its first line.
func kindOf(f File) Kind {
	if f.Kind != Auto {
		return f.Kind
	}
	if kind := named(f.Name); kind != Auto {
		return kind
	}
	switch first := strings.ToUpper(firstLine(f.Text)); {
	case strings.HasPrefix(first, "FROM "), strings.HasPrefix(first, "ARG "):
		return Dockerfile
	case first == "[UNIT]", first == "[SERVICE]":
		return UnitFile
	}
	return Manifest
}

// named is the kind that a file's name tells, Auto if it tells none.
func named(name string) Kind {
	base := path.Base(name)
	lower := strings.ToLower(base)
	dir := path.Base(path.Dir(name))
	switch {
	case lower == "daemon.json":
		return DaemonFile
	case strings.HasSuffix(base, ".service"), strings.HasSuffix(dir, ".service.d") && strings.HasSuffix(base, ".conf"):
		return UnitFile
	case isDockerfile(base):
		return Dockerfile
	case strings.HasSuffix(lower, ".yaml"), strings.HasSuffix(lower, ".yml"), strings.HasSuffix(lower, ".json"):
		return Manifest
	}
	return Auto
}

// Wanted reports whether a file in a directory is one to judge, by its path.
func Wanted(name string) bool {
	return !strings.HasSuffix(strings.ToLower(name), ".json") && named(name) != Auto || named(name) == DaemonFile
}

// isDockerfile reports whether a file is one by its name.
func isDockerfile(base string) bool {
	lower := strings.ToLower(base)
	for _, name := range []string{"dockerfile", "containerfile"} {
		if lower == name || strings.HasPrefix(lower, name+".") || strings.HasSuffix(lower, "."+name) {
			return true
		}
	}
	return false
}

// firstLine is the first one with more than a comment.
func firstLine(text []byte) string {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && line[0] != ';' {
			return string(line[:min(len(line), 80)])
		}
	}
	return ""
}

var lineNumber = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`line (\d+): ?`) })

// lineIn takes the line out of the text of an error that tells it: 0 if it does not.
func lineIn(err error) (line int, rest error) {
	text := err.Error()
	m := lineNumber().FindStringSubmatchIndex(text)
	if m == nil {
		return 0, err
	}
	line, _ = strconv.Atoi(text[m[2]:m[3]])
	return line, errors.New(text[:m[0]] + text[m[1]:])
}
