package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// run runs a command and returns what it printed and its exit code.
func run(t *testing.T, stdin string, args ...string) (out, complaint string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Main(context.Background(), Env{Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr, Getenv: func(string) string { return "" }}, args)
	return stdout.String(), stderr.String(), code
}

// A posted case: excerpts of one or two namespaces, and what a correct reading says.
type posted struct {
	File   string
	Expect struct {
		Namespaces  []string
		Target      string
		Propagation map[string]struct {
			Type           string
			Shared, Master uint64
		}
		Parents          []string
		UmountPropagates string `json:"umount_propagates"`
	}
}

// Excerpts that people posted in public threads are read as they should be.
func TestPostedExcerpts(t *testing.T) {
	text, err := os.ReadFile("testdata/mountinfo/expect.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for line := range bytes.Lines(text) {
		var p posted
		if err := json.Unmarshal(line, &p); err != nil {
			t.Fatal(err)
		}
		cases++
		t.Run(p.File, func(t *testing.T) { judgePosted(t, p) })
	}
	if cases != 8 {
		t.Errorf("%d cases", cases)
	}
}

func judgePosted(t *testing.T, p posted) {
	args := []string{"propagation", p.Expect.Target, "-o", "json"}
	for name, text := range sections(t, filepath.Join("testdata/mountinfo", p.File)) {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--mountinfo", name+"="+file)
	}
	out, complaint, code := run(t, "", args...)
	var got propagationReport
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("exit code %d: %v: %s", code, err, complaint)
	}
	for _, n := range got.Namespaces {
		want := p.Expect.Propagation[n.Name]
		if n.Propagation != want.Type || n.Shared != want.Shared || n.Master != want.Master {
			t.Errorf("%s: %+v, want %+v", n.Name, n, want)
		}
	}
	if want := p.Expect.Parents; want != nil && !slices.Equal(got.Parents, want) {
		t.Errorf("parents %q, want %q", got.Parents, want)
	}
	verdicts := map[string]string{"yes": "goes", "no": "stays", "unknown": "unknown"}
	for _, v := range got.Verdicts {
		if v.From == "runtime" && v.Verdict != verdicts[p.Expect.UmountPropagates] {
			t.Errorf("%+v, want %s", v, p.Expect.UmountPropagates)
		}
	}
	if n := len(got.Namespaces); len(got.Verdicts) != n*(n-1) {
		t.Errorf("%d verdicts for %d namespaces", len(got.Verdicts), n)
	}
}

// sections splits a posted case at its headers "## ns=NAME ...".
func sections(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	name := ""
	for line := range strings.Lines(string(text)) {
		if head, ok := strings.CutPrefix(line, "## ns="); ok {
			name, _, _ = strings.Cut(head, " ")
			continue
		}
		out[name] += line
	}
	return out
}

const (
	chainHost = "39 1 8:3 / / rw shared:1 - ext4 /dev/sda3 rw\n43 39 8:17 / /home rw shared:29 - xfs /dev/sdb1 rw\n218 43 0:105 / /home/x/merged rw shared:109 - overlay overlay rw\n"
	chainUnit = "370 369 8:3 / / rw shared:120 master:1 - ext4 /dev/sda3 rw\n376 370 8:17 / /home rw shared:121 master:29 - xfs /dev/sdb1 rw\n435 376 0:105 / /home/x/merged rw shared:122 master:109 - overlay overlay rw\n"
)

// Where parents are given they decide, whatever the tags of the copy say.
func TestExcerptsByParents(t *testing.T) {
	for _, tt := range []struct {
		name, host, unit, target string
		args                     []string
		want, why                string // of the unmount in host
	}{
		{"slave parent", chainHost, chainUnit, "/home/x/merged", nil, "goes", "receives from group 29"},
		{"private parent in the unit, slave copy", chainHost, strings.Replace(chainUnit, "rw shared:121 master:29", "rw", 1), "/home/x/merged", nil, "stays", "/home, is private"},
		{"private parent in the host", strings.Replace(chainHost, "rw shared:29", "rw", 1), chainUnit, "/home/x/merged", nil, "stays", "told to nobody"},
		{"private copy below a slave", chainHost, strings.Replace(chainUnit, "rw shared:122 master:109", "rw", 1), "/home/x/merged", nil, "goes", "receives from group 29"},
		{"group in between is not listed", chainHost, strings.Replace(chainUnit, "master:29", "master:77", 1), "/home/x/merged", nil, "unknown", "no member of that"},
		{"submount in the unit", chainHost, chainUnit + "500 435 0:9 / /home/x/merged/s rw - tmpfs tmpfs rw\n", "/home/x/merged", nil, "stays", "/home/x/merged/s is mounted on it"},
		{"submount in the host", chainHost + "500 218 0:9 / /home/x/merged/s rw - tmpfs tmpfs rw\n", chainUnit, "/home/x/merged", nil, "stays", "EBUSY"},
		{"submount in the host, lazily", chainHost + "500 218 0:9 / /home/x/merged/s rw - tmpfs tmpfs rw\n", chainUnit, "/home/x/merged", []string{"--detach"}, "goes", "receives"},
		{"longer path in the unit", chainHost, strings.ReplaceAll(strings.Replace(chainUnit, " / / rw", " / /host rw", 1), " /home", " /host/home"), "/home/x/merged", nil, "goes", "receives from group 29"},
		{"absent there", chainHost, "370 369 8:3 / / rw shared:120 master:1 - ext4 /dev/sda3 rw\n", "/home/x/merged", nil, "unknown", "not mounted"},
		{"another mount whose path ends so", chainHost, chainUnit + "500 370 0:9 / /srv/home/x/merged rw - tmpfs tmpfs rw\n", "/home/x/merged", nil, "goes", "receives from group 29"},
		{"something else at that path", chainHost, strings.ReplaceAll(strings.Replace(chainUnit, " / / rw", " / /host rw", 1), " /home", " /host/home") + "500 370 0:9 / /home/x/merged rw - tmpfs tmpfs rw\n", "/home/x/merged", nil, "goes", "receives from group 29"},
		{"shown at another place, too", chainHost + "500 39 0:105 / /b rw - overlay overlay rw\n", chainUnit, "/home/x/merged", nil, "goes", "receives from group 29"},
		{"by its device", chainHost, chainUnit, "0:105", nil, "goes", "receives from group 29"},
		{"by its id", chainHost, chainUnit, "218", nil, "goes", "receives from group 29"},
		{"a mount over it", chainHost + "500 218 0:9 / /home/x/merged rw shared:7 - tmpfs tmpfs rw\n", chainUnit + "501 435 0:9 / /home/x/merged rw shared:8 master:7 - tmpfs tmpfs rw\n", "/home/x/merged", nil, "goes", "receives from group 109"},
		{"below it, on what is not listed", chainHost, chainUnit + "500 499 0:9 / /home/x/merged/s rw - tmpfs tmpfs rw\n", "/home/x/merged", nil, "unknown", "does not show on what: if on it, it stays"},
		{"below it, by proc mounts", chainHost, chainUnit + "tmpfs /home/x/merged/s tmpfs rw 0 0\n", "/home/x/merged", nil, "unknown", "does not show on what: if on it, it stays"},
		{"in the host at its place, on what is not listed", chainHost + "500 499 0:9 / /home/x/merged rw - tmpfs tmpfs rw\n", chainUnit, "/home/x/merged", nil, "unknown", "(EBUSY)"},
		{"with --detach that is taken along", chainHost + "500 499 0:9 / /home/x/merged rw - tmpfs tmpfs rw\n", chainUnit, "/home/x/merged", []string{"--detach"}, "goes", "receives from group 29"},
		{"what may be a copy of that", chainHost + "500 499 0:9 / /home/x/merged/s rw - tmpfs tmpfs rw\n", chainUnit + "500 435 0:9 / /home/x/merged/s rw - tmpfs tmpfs rw\n", "/home/x/merged", []string{"--detach"}, "unknown", "whether that goes as well"},
		{"a stack of two, twice", chainHost + "500 218 0:9 / /home/x/merged rw shared:7 - tmpfs tmpfs rw\n501 500 0:105 / /home/x/merged rw shared:109 - overlay overlay rw\n", chainUnit, "/home/x/merged", nil, "stays", "receives nothing from group 7"},
		{"twice on the path, one below what is covered", chainHost + "500 43 8:17 / /home rw - xfs /dev/sdb1 rw\n501 500 0:105 / /home/x/merged rw - overlay overlay rw\n", chainUnit, "/home/x/merged", nil, "stays", "/home, is private"},
		{"covered, and the other is asked about", chainHost + "500 218 0:9 / /home/x/merged rw - tmpfs tmpfs rw\n", chainUnit, "218", []string{"--detach"}, "goes", "in host another mount, on /home/x/merged, covers it"},
		{"the tags of the unit's parent are cut", chainHost, strings.Replace(chainUnit, ":121 master:29 - xfs /dev/sdb1 rw", ":12", 1), "/home/x/merged", nil, "goes", "likely only, by their own tags"},
		{"the target's lines alone", lastLine(chainHost), lastLine(chainUnit), "/home/x/merged", nil, "goes", "likely only, by their own tags"},
		{"at another place, alone", lastLine(chainHost), strings.Replace(lastLine(chainUnit), " /home/x/merged", " /srv/bound", 1), "/home/x/merged", nil, "unknown", "at another place, /srv/bound"},
		{"the target's line alone, private", strings.Replace(lastLine(chainHost), " shared:109", "", 1), lastLine(chainUnit), "/home/x/merged", nil, "stays", "likely only, by their own tags"},
		{"proc mounts and a private parent", strings.Replace(chainHost, "rw shared:29", "rw", 1), "overlay /home/x/merged overlay rw 0 0\n", "/home/x/merged", nil, "stays", "told to nobody"},
		{"proc mounts", chainHost, "overlay /home/x/merged overlay rw 0 0\n", "/home/x/merged", nil, "unknown", "does not show propagation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"host": tt.host, "unit": tt.unit} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			args := append([]string{"propagation", tt.target, "--in", "host", "-o", "json", "--mountinfo", "host=" + dir + "/host", "--mountinfo", "unit=" + dir + "/unit"}, tt.args...)
			out, complaint, _ := run(t, "", args...)
			var got propagationReport
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v: %s", err, complaint)
			}
			if len(got.Verdicts) != 1 || got.Verdicts[0].Verdict != tt.want || !strings.Contains(got.Verdicts[0].Why, tt.why) || got.Verdicts[0].Likely != strings.Contains(tt.why, "likely") {
				t.Errorf("got %+v, want %s because %q", got.Verdicts, tt.want, tt.why)
			}
		})
	}
}

func lastLine(text string) string {
	return text[strings.LastIndexByte(strings.TrimSuffix(text, "\n"), '\n')+1:]
}

// What is said of the target in one namespace is what its line says; absent it is where
// no line has it and none is seen to be missing.
func TestExcerptStanding(t *testing.T) {
	const path = "/home/x/merged"
	parents := strings.TrimSuffix(chainHost, lastLine(chainHost))
	for _, tt := range []struct{ name, text, word, want string }{
		{"its line", chainHost, path, "shared"},
		{"its line alone", lastLine(chainUnit), path, "shared+slave"},
		{"cut in the tags", strings.Replace(chainHost, ":109 - overlay overlay rw", ":1", 1), path, "unknown"},
		{"cut before them", strings.Replace(chainHost, " shared:109 - overlay overlay rw", "", 1), path, "unknown"},
		{"proc mounts among others", parents + "overlay /home/x/merged overlay rw 0 0\n", path, "unknown"},
		{"no line", parents, path, "absent"},
		{"no line, and one is on what is not listed", parents + "500 218 0:9 / /home/x/merged/s rw - tmpfs tmpfs rw\n", path, "unknown"},
		{"no line, and others have no numbers", parents + "tmpfs /tmp tmpfs rw 0 0\n", path, "unknown"},
		{"no line of proc mounts", "/dev/sda3 / ext4 rw 0 0\n", path, "absent"},
		{"a device, of which proc mounts says nothing", "/dev/sda3 / ext4 rw 0 0\n", "0:105", "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, complaint, _ := run(t, tt.text, "propagation", tt.word, "--mountinfo", "a=-", "-o", "json")
			var got propagationReport
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v: %s", err, complaint)
			}
			if n := got.Namespaces[0]; n.Propagation != tt.want {
				t.Errorf("%+v, want %s", n, tt.want)
			}
		})
	}
}

// Bad use has a line that says what to do, and a code of its own.
func TestPropagationRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, stdin string
		args        []string
		code        int
		want        string
	}{
		{"no target", "", nil, Usage, "wants one TARGET"},
		{"no name", "", []string{"/x", "--mountinfo", "file"}, Usage, "host=mountinfo.txt"},
		{"the same name", chainHost, []string{"/x", "--mountinfo", "a=-", "--mountinfo", "a=-"}, Usage, "two excerpts are named"},
		{"no such file", "", []string{"/x", "--mountinfo", "a=/nowhere"}, Failed, "no such file"},
		{"no mounts", "hello\n", []string{"/x", "--mountinfo", "a=-"}, Failed, "no line of a mount table"},
		{"no such side", chainHost, []string{"/x", "--mountinfo", "a=-", "--in", "b"}, Usage, "is no NAME"},
		{"no such kernel", "", []string{"/x", "--kernel", "5"}, Usage, "--kernel before-6.17"},
		{"no such format", "", []string{"/x", "-o", "xml"}, Usage, "jsonl or dot"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, complaint, code := run(t, tt.stdin, append([]string{"propagation"}, tt.args...)...)
			if code != tt.code || !strings.Contains(complaint, tt.want) {
				t.Errorf("exit code %d: %s", code, complaint)
			}
		})
	}
}

// A graph is one that dot can read, whatever the names are.
func TestPropagationGraph(t *testing.T) {
	hostile := strings.ReplaceAll(chainHost, "/home/x/merged", `/home/x"]\134\040\033[2J/merged`)
	out, complaint, code := run(t, hostile, "propagation", `/merged`, "--mountinfo", `a"b=-`, "-o", "dot")
	if code != 0 || !strings.HasPrefix(out, "digraph propagation {\n") || !strings.HasSuffix(out, "}\n") || strings.Contains(out, "\x1b") || !strings.Contains(out, `x\"]\\ \\x1b`) {
		t.Errorf("exit code %d: %s\n%s", code, complaint, out)
	}
}

// What grep found in many processes is of more than one namespace: that is said, and
// the first that it found is judged. A path through /var/run is found at /run.
func TestMixedExcerpt(t *testing.T) {
	const lines = "/proc/1/mountinfo:310 29 0:4 net:[1] /run/docker/netns/ab rw shared:181 - nsfs nsfs rw\n" +
		"/proc/2210/mountinfo:710 700 0:4 net:[1] /run/docker/netns/ab rw master:181 - nsfs nsfs rw\n" +
		"/proc/2211/mountinfo:710 700 0:4 net:[1] /run/docker/netns/ab rw master:181 - nsfs nsfs rw\n"
	for _, tt := range []struct {
		name, text, want string // of Unknown
	}{
		{"two namespaces", lines, "lines of processes 1 and 2210"},
		{"two processes of one", lines[strings.Index(lines, "\n")+1:], ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, complaint, code := run(t, tt.text, "propagation", "/var/run/docker/netns/ab", "--mountinfo", "all=-", "-o", "json")
			var got propagationReport
			if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
				t.Fatalf("exit code %d: %v: %s", code, err, complaint)
			}
			if text := strings.Join(got.Unknown, "\n"); (text != "") != (tt.want != "") || !strings.Contains(text, tt.want) {
				t.Errorf("unknown: %q, want %q", text, tt.want)
			}
			if n := got.Namespaces[0]; n.Shared+n.Master != 181 || (n.Shared == 181) != (tt.want != "") {
				t.Errorf("%+v", n)
			}
		})
	}
}
