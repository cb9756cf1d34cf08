package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sexton.dev/linux/mounts/mountstest"
)

func TestMain(m *testing.M) { mountstest.Main(m) }

// A tool is a command that is asked about one planted mount, by $WORD (its path),
// $DEV (its superblock) and $TOOL.
type tool struct {
	name, script string
	needs        string // a variable of the environment that names its file
	byPID        bool   // it found the holder if it names the holder's pid
	sexton       bool
}

// tools are what people use today, and sexton. Scripts that are not ours are
// named by the environment, or left out.
var tools = []tool{
	{name: "grep mountinfo", script: `grep -rwn -- "$WORD" /proc/[0-9]*/mountinfo`},
	{name: "find mounts, grep", script: `find /proc/[0-9]*/mounts | xargs grep -w -- "$WORD"`},
	{name: "find-busy-mnt.sh", script: `bash "$TOOL" "$WORD" | grep -v -e "No pids" -e ^PID`, needs: "FIND_BUSY_MNT"},
	{name: "leak_rbd.sh", script: `bash "$TOOL" "$WORD"`, needs: "LEAK_RBD"},
	{name: "lsns, findmnt -N", script: `lsns -t mnt -n -o PID | while read -r p; do findmnt -N "$p" -n -r -o TARGET | grep -w -- "$WORD"; done`},
	{name: "fuser -vm", script: `fuser -vm "$WORD" 2>&1`, byPID: true},
	{name: "lsof +f", script: `timeout 60 lsof +f -- "$WORD"`, byPID: true},
	{name: "grep device, all threads", script: `grep -w -- "$DEV" /proc/[0-9]*/task/*/mountinfo`},
	{name: "sexton holders DEV --no-references", script: `"$SEXTON" holders "$DEV" --no-references -o json`, sexton: true},
	{name: "sexton holders PATH --no-references", script: `"$SEXTON" holders "$WORD" --no-references -o json`, sexton: true},
	{name: "sexton holders DEV", script: `"$SEXTON" holders "$DEV" -o json`, sexton: true},
	{name: "sexton holders PATH", script: `"$SEXTON" holders "$WORD" -o json`, sexton: true},
}

// The host is that of a busy node: 900 processes, 30,000 mounts. The slow tools
// take some minutes.
const spaces, each, processes = 300, 100, 3

// TestCompare asks every tool about every planted mount and writes the page that
// SEXTON_COMPARE names. Without it nothing is done: it is a measurement.
func TestCompare(t *testing.T) {
	page, sexton := os.Getenv("SEXTON_COMPARE"), os.Getenv("SEXTON")
	if page == "" || sexton == "" {
		t.Skip("make bench sets SEXTON_COMPARE and SEXTON")
	}
	h := mountstest.Start(t, spaces, each, processes)
	var out strings.Builder
	fmt.Fprintf(&out, `# sexton beside today's tools

This page is written by `+"`make bench`"+` on %s. Do not edit it.

A host of %d mount namespaces with %d mounts and %d processes each, besides the machine's own, has
12 mounts that somebody keeps and one, the control, that nobody keeps. Every tool is asked about each.
CPU is user and system time of all of its processes, the mean of one question each.

| tool | found of 12 | false hits | CPU ms | times sexton holders DEV |
|---|---|---|---|---|
`, time.Now().UTC().Format(time.DateOnly), spaces, each, processes)
	type row struct {
		tool
		found, wrong int
		cpu          time.Duration
	}
	var rows []row
	var base time.Duration
	for _, tool := range tools {
		if tool.needs != "" && os.Getenv(tool.needs) == "" {
			continue
		}
		r := row{tool: tool}
		for _, p := range h.Plants {
			hit, cpu := tool.ask(t, sexton, p)
			r.cpu += cpu / time.Duration(len(h.Plants))
			switch {
			case hit && p.Kind == mountstest.Control:
				r.wrong++
			case hit:
				r.found++
			}
		}
		if tool.name == "sexton holders DEV" {
			base = r.cpu
		}
		t.Logf("%s: %d of 12, %d false, %v", r.name, r.found, r.wrong, r.cpu)
		rows = append(rows, r)
	}
	for _, r := range rows {
		fmt.Fprintf(&out, "| %s | %d | %d | %.1f | %.1f |\n", r.name, r.found, r.wrong, ms(r.cpu), float64(r.cpu)/float64(base))
	}
	out.WriteString("\nfind-busy-mnt.sh (rhvgoyal/misc) and leak_rbd.sh are not ours: name their files with FIND_BUSY_MNT and LEAK_RBD, else they are left out.\nBy device the control is a false hit where the kernel has given its number to a later mount. What tools read grows with mounts times processes, what sexton reads with mounts.\n")
	if err := os.WriteFile(page, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ask reports whether the tool names who keeps a plant, and what that cost.
func (o tool) ask(t *testing.T, sexton string, p mountstest.Plant) (hit bool, cpu time.Duration) {
	cmd := exec.Command("sh", "-c", o.script+" 2>/dev/null")
	cmd.Env = append(os.Environ(), "WORD="+p.Path, fmt.Sprintf("DEV=%d:%d", p.Major, p.Minor), "SEXTON="+sexton, "TOOL="+os.Getenv(o.needs))
	text, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", o.name, err)
	}
	cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	switch {
	case o.sexton:
		return named(text, p), cpu
	case o.byPID:
		return p.PID != 0 && regexp.MustCompile(fmt.Sprintf(`\b%d\b`, p.PID)).Match(text), cpu
	}
	return len(text) > 0, cpu
}

// named reports whether sexton names the plant's namespace or holder; of the
// control, whether it names anybody.
func named(text []byte, p mountstest.Plant) bool {
	var answer struct {
		Holders []struct {
			PID            int
			Path           string
			MountNamespace uint64
		}
	}
	if json.Unmarshal(text, &answer) != nil {
		return false
	}
	for _, h := range answer.Holders {
		if p.Kind == mountstest.Control || p.Namespace != 0 && h.MountNamespace == p.Namespace || p.Namespace == 0 && h.PID == p.PID && filepath.IsAbs(h.Path) {
			return true
		}
	}
	return false
}
