package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sexton.dev/check"
	"sexton.dev/exactjson"
	"sexton.dev/lint"
	"sexton.dev/settings"
)

// Bounds of what is judged together.
const (
	mostFiles = 10_000
	mostBytes = 64 << 20

	lintMemory = 256 << 20
)

func (s *session) lintCommand() *cobra.Command {
	var daemon, failOn string
	var units []string
	out := outputFlags{more: []string{"sarif"}}
	cmd := &cobra.Command{
		Use:   "lint [--daemon-json F] [--unit F]... [FILE | DIR | -]...",
		Short: "judge manifests, Dockerfiles, units and docker's settings before they run",
		Long: `lint judges settings without a host, by the rules by which scan judges one: volumes
of the host without mountPropagation, shells and programs as PID 1 without an init,
memory limits below what runc needs, live-restore with MountFlags, PrivateTmp and
the like on units that start after the containers, devicemapper on loop files.

FILE is a manifest of Kubernetes, in YAML or JSON, with several documents and lists;
a compose file; a Dockerfile; a unit of systemd or a drop-in (NAME.service.d/X.conf);
or daemon.json. The name tells which, or else the text. Of a DIR it takes all files
that are named like one, but for JSON, and leaves out other YAML. --daemon-json and
--unit read a file of any name as one of these. All files are judged together:
live-restore in one and MountFlags in another are one finding.

It exits with 3 if there are findings, and with 4 if there are none and a file
could not be read, which it says with the line; the other files are judged all the same.
docs/lint.md has a page for each rule.`,
		Example: `  sexton lint deploy/ Dockerfile docker-compose.yml
  helm template CHART | sexton lint -
  kubectl get pods -A -o json | sexton lint -
  sexton lint --daemon-json /etc/docker/daemon.json --unit /etc/systemd/system/docker.service
  sexton lint -o sarif . >sexton.sarif     # for the code host; --fail-on info is stricter`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			least, err := leastOf(failOn)
			if err != nil {
				return err
			}
			if daemon == "" && len(units)+len(args) == 0 {
				return withHint(wrongUse{errors.New("no file is named")}, "sexton lint FILE, or sexton lint . for all below this directory")
			}
			in := lintInput{named: map[string]bool{}}
			if daemon != "" {
				s.readFile(&in, lint.File{Name: daemon, Kind: lint.DaemonFile})
			}
			for _, unit := range units {
				s.readFile(&in, lint.File{Name: unit, Kind: lint.UnitFile})
			}
			for _, arg := range args {
				s.readFiles(&in, arg)
			}
			return s.judgeFiles(out, least, &in)
		},
	}
	out.add(cmd)
	cmd.Flags().StringVar(&daemon, "daemon-json", "", "docker's `file` of settings")
	cmd.Flags().StringArrayVar(&units, "unit", nil, "a `file` of a systemd unit, or a drop-in of one; may be given several times")
	cmd.MarkFlagFilename("daemon-json", "json")
	cmd.MarkFlagFilename("unit", "service", "conf")
	addFailOn(cmd, &failOn)
	return cmd
}

// A lintInput are the files that were read, and those that could not be.
type lintInput struct {
	files    []lint.File
	named    map[string]bool // files by their clean names; "" is standard input
	bytes    int
	problems []lint.Problem
}

func (in *lintInput) fail(file string, err error, try string) {
	in.problems = append(in.problems, lint.Problem{Place: settings.Place{File: file}, Err: err, Try: try})
}

// readFiles reads a file, or those of a directory.
func (s *session) readFiles(in *lintInput, name string) {
	if info, err := os.Stat(name); name == "-" || err != nil || !info.IsDir() {
		s.readFile(in, lint.File{Name: name})
		return
	}
	filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			in.fail(path, err, "make it readable, or name the files that matter")
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case d.Type().IsRegular() && lint.Wanted(path):
			s.readFile(in, lint.File{Name: path, Foreign: true})
		}
		return nil
	})
}

// readFile reads one file, as long as it is not too much, and once however often it is named.
func (s *session) readFile(in *lintInput, f lint.File) {
	name := filepath.Clean(f.Name)
	if f.Name == "-" {
		name = ""
	}
	if in.named[name] {
		return
	}
	if len(in.files) >= mostFiles || in.bytes >= mostBytes {
		if !f.Foreign || len(in.problems) == 0 || !errors.Is(in.problems[len(in.problems)-1].Err, errTooMuch) {
			in.fail(f.Name, errTooMuch, "fewer of them at a time")
		}
		return
	}
	text, err := s.readText(f.Name)
	if err != nil {
		in.fail(f.Name, errors.Unwrap(err), "the name of a file or directory, or - for standard input")
		return
	}
	if f.Text = text; f.Name == "-" {
		f.Name = "stdin"
	}
	in.bytes += len(text)
	in.files, in.named[name] = append(in.files, f), true
}

var errTooMuch = fmt.Errorf("not read: there are over %d files, or they have over %d MiB", mostFiles, mostBytes>>20)

// judgeFiles judges what was read and prints it.
func (s *session) judgeFiles(out outputFlags, least check.Severity, in *lintInput) error {
	debug.SetMemoryLimit(lintMemory) // main's is for looks: a large file would be collected again and again
	set, problems := lint.Read(in.files)
	problems = append(in.problems, problems...)
	r := &report{APIVersion: apiVersion, Kind: "Report", Taken: time.Now().UTC().Truncate(time.Millisecond), Findings: settings.Judge(set), Unknown: []check.Unknown{}}
	r.Looked.Files = len(in.files)
	for _, rule := range settings.Rules() {
		r.Looked.Checks = append(r.Looked.Checks, rule.Name)
	}
	for _, p := range problems {
		r.Unknown = append(r.Unknown, check.Unknown{What: p.Where(), Why: p.Err.Error(), Whole: true})
		fmt.Fprintf(s.Stderr, "sexton lint: %s\n  try: %s\n", printable(p.Error()), printable(p.Try))
	}
	if err := s.printLint(out, r, problems); err != nil {
		return err
	}
	v := sight{Result: check.Result{Findings: r.Findings, Unknown: r.Unknown}}
	s.code = v.code(least)
	fmt.Fprintf(s.Stderr, "%s: %s, %d not read\n", check.Count(len(in.files), "file"), check.Count(len(r.Findings), "finding"), len(problems))
	return nil
}

func (s *session) printLint(out outputFlags, r *report, problems []lint.Problem) error {
	if out.format != "sarif" {
		return s.print(out, r, itemsOf(r.Findings), r.drawLint)
	}
	text, err := exactjson.Marshal(sarifOf(r.Findings, problems))
	if err != nil {
		return err
	}
	return copyAll(s.Stdout, append(text, '\n'))
}

// drawLint prints the findings for people. What could not be read is on standard error.
func (r *report) drawLint(p *page, wide bool) {
	for _, f := range r.Findings {
		drawFinding(p, f, wide)
		p.line("")
	}
	if len(r.Findings) > 0 {
		return
	}
	found := "Nothing is wrong"
	if len(r.Unknown) > 0 {
		found = "Nothing was found in what could be read"
	}
	p.para("", fmt.Sprintf("%s: %s judged by %s.", found, check.Count(r.Looked.Files, "file"), strings.Join(r.Looked.Checks, ", ")))
}
