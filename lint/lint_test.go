package lint

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"sexton.dev/check"
	"sexton.dev/settings"
)

var update = flag.Bool("update", false, "rewrite the want section of every story, and docs/lint.md")

// tell says what is found in files and what of them cannot be read, one line each.
func tell(files []File) string {
	var b strings.Builder
	set, problems := Read(files)
	for _, f := range settings.Judge(set) {
		fmt.Fprintf(&b, "%s:%d: %s %s: %s\n", f.Subject.File, f.Subject.Line, f.Severity, f.Check, f.Title)
		if f.ID == "" || f.Cause == "" || f.Harm == "" || len(f.Evidence) == 0 || len(f.Advice) == 0 || f.Severity.Rank() == 0 {
			fmt.Fprintf(&b, "not whole: %+v\n", f)
		}
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "problem: %v. Try: %s\n", p, p.Try)
	}
	return b.String()
}

// A story are files, and what is said of them.
func TestStories(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatal(err, "no stories")
	}
	for _, name := range stories {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			a := txtar.Parse(text)
			var files []File
			want := -1
			for i, f := range a.Files {
				if f.Name == "want" {
					want = i
					continue
				}
				f.Data = bytes.ReplaceAll(f.Data, []byte("<TAB>"), []byte("\t"))
				files = append(files, File{Name: f.Name, Text: f.Data})
			}
			got := tell(files)
			if *update {
				a.Files[want].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(a.Files[want].Data), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// docs/lint.md is what the rules say of themselves.
func TestDocPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# What sexton lint judges

The pages of the rules. Written by go test ./lint -update.

**sexton lint** judges files without a host and, where a check of **sexton scan** has the same name, by the same rule. A *warning* does harm as it is
written; *info* is a risk, which depends on what else is there. It ends with 3 if there is a finding at or above --fail-on (default warning), with 4
if there is none and a file could not be read, else with 0. **sexton lint --help** says which files are read.
`)
	for _, r := range settings.Rules() {
		_, text, _ := strings.Cut(r.Doc.String(), "\n")
		fmt.Fprintf(&b, "\n## %s\n\n**%s**\n\n%s\n", r.Name, r.Doc.Summary(), strings.TrimSpace(text))
	}
	const page = "../docs/lint.md"
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(page); err != nil || string(text) != b.String() {
		t.Errorf("%s is out of date (%v): go test ./lint -update", page, err)
	}
}

func TestQuantity(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int64
		bad  bool
	}{
		{text: "64Mi", want: 64 << 20}, {text: "64M", want: 64e6}, {text: "100m", want: 1}, {text: "1e3", want: 1000}, {text: "1E3", want: 1000},
		{text: "1E", want: 1e18}, {text: "128974848", want: 128974848}, {text: "0.5Gi", want: 1 << 29}, {text: ".5Ki", want: 512}, {text: "-1", want: 0},
		{text: "99999999999999999999Ei", want: 1 << 62}, {text: "1e999", want: 1 << 62}, {text: "0", want: 0}, {text: "5n", want: 1},
		{text: "", bad: true}, {text: "Mi", bad: true}, {text: "64mb", bad: true}, {text: "64 Mi", bad: true}, {text: "NaN", bad: true}, {text: "0x10", bad: true}, {text: "{{ .x }}", bad: true},
	} {
		got, err := quantity(tt.text)
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%q: %d, %v", tt.text, got, err)
		}
	}
}

func TestInterpolate(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		whole      bool
	}{
		{"/a", "/a", true}, {"${X:-/var/lib/docker}", "/var/lib/docker", true}, {"${X-/}b", "/b", true}, {"$$X", "$X", true},
		{"${X}", "${X}", false}, {"$X/y", "$X/y", false}, {"${X:?no}", "${X:?no}", false}, {"${", "${", true}, {"$", "$", true},
		{"${:-a}", "${:-a}", false}, {"${X:-${Y:-z}}", "${Y:-z}", true}, {"${\xff:-a}", "${\xff:-a}", false},
	} {
		if got, whole := interpolate(tt.text); got != tt.want || whole != tt.whole {
			t.Errorf("%q: %q, %v", tt.text, got, whole)
		}
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct{ text, want string }{ // with a bar between
		{"", ""}, {" a  b\tc\n", "a|b|c"}, {`sh -c "a && b"`, "sh|-c|a && b"}, {`a 'b "c' d\ e`, `a|b "c|d e`}, {`"" x`, "|x"}, {`"a`, "a"}, {`a\`, `a\`},
	} {
		if got := strings.Join(words(tt.text), "|"); got != tt.want {
			t.Errorf("%q: %q", tt.text, got)
		}
	}
}

// What could be made to grow is bounded, and said to be.
func TestHostile(t *testing.T) {
	nested := strings.Repeat("- *l\n", 3000)
	many := "apiVersion: v1\nkind: Pod\nspec:\n  containers: &c\n" + strings.Repeat("  - name: x\n    volumeMounts: &v\n", 1)
	many += "    - name: a\n" + strings.Repeat("    - {name: a, mountPath: /a}\n", 4000) + strings.Repeat("  - {name: x, volumeMounts: *v}\n", 4000)
	for _, tt := range []struct{ name, file, text, want string }{
		{"a large document", "x.yaml", "a: [" + strings.Repeat("[],", maxMarks/2), "x.yaml:1: a YAML document with over 1000000 values"},
		{"aliases", "x.yaml", many, "x.yaml:1: a YAML document with too many aliases"},
		{"a list of itself", "x.yaml", "apiVersion: v1\nkind: List\nitems: &l\n" + nested + "- {apiVersion: v1, kind: List, items: *l}\n", ""},
		{"a mapping that takes itself in", "x.yaml", "apiVersion: v1\nkind: Pod\nspec: &s\n  <<: *s\n  containers: []\n", ""},
		{"deep", "x.yaml", strings.Repeat("[", 20000), "problem: x.yaml:1: "},
		{"nothing", "x.yaml", "", "problem: x.yaml: it holds nothing"},
		{"bytes", "x.yaml", "\xff\xfe\x00a", "problem: x.yaml:"},
		{"an empty option", "docker.service", "[Service]\nExecStart=dockerd --storage-opt \"\"\n", ""},
		{"only wrong lines", "Dockerfile", strings.Repeat("what\n", 5000), "WHAT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tell([]File{{Name: tt.file, Text: []byte(tt.text)}})
			if !strings.Contains(got, tt.want) || strings.Count(got, "\n") > mostProblems {
				t.Errorf("%.300q, want %q", got, tt.want)
			}
		})
	}
}

// All pods of a large cluster are judged, one at a time.
func TestLargeList(t *testing.T) {
	var b strings.Builder
	b.WriteString("{\n\"apiVersion\": \"v1\", \"metadata\": {\"items\": [1]},\n\"items\": [\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"p%d\", \"note\": \"%s\"}},\n", i, strings.Repeat("-", 700))
	}
	bad := "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"bad\"}, \"spec\": {\"containers\": [{\"name\": \"c\",\n\"command\": [\"node\"]}]}}"
	for _, tt := range []struct{ name, end, want string }{
		{"whole", "],\n\"kind\": \"List\"}\n", "pods.json:3005: info no-init: Pod bad, container c has no init: its PID 1 is node, which reaps no orphans\n"},
		{"cut", ",\n{", "pods.json:3005: info no-init: Pod bad, container c has no init: its PID 1 is node, which reaps no orphans\nproblem: pods.json:3005: unexpected EOF. Try: mend the JSON there\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tell([]File{{Name: "pods.json", Text: []byte(b.String() + bad + tt.end)}}); got != tt.want {
				t.Errorf("%s", got)
			}
		})
	}
}

// A file that was found in a directory is left out if it is something else, and not if it is broken.
func TestForeign(t *testing.T) {
	if got := tell([]File{{Name: "values.yaml", Text: []byte("a: 1\n"), Foreign: true}}); got != "" {
		t.Error(got)
	}
	for _, text := range []string{"apiVersion: v1\nkind: Pod\n---\na: [\n", "kind: Pod\napiVersion: v1\na: [\n"} {
		if got := tell([]File{{Name: "x.yaml", Text: []byte(text), Foreign: true}}); !strings.HasPrefix(got, "problem: x.yaml:") {
			t.Errorf("%q: %q", text, got)
		}
	}
	if got := tell([]File{{Name: "x.yaml", Text: []byte("a: [\n"), Foreign: true}}); got != "" {
		t.Error(got)
	}
}

// Of a directory are wanted what is named like a manifest, a Dockerfile, a unit or docker's settings.
func TestWanted(t *testing.T) {
	for _, name := range []string{"a.yaml", "d/a.YML", "Dockerfile", "app.dockerfile", "Dockerfile.dev", "Containerfile", "x.service", "x.service.d/a.conf", "etc/daemon.json"} {
		if !Wanted(name) {
			t.Errorf("%s is not wanted", name)
		}
	}
	for _, name := range []string{"package.json", "a.conf", "main.go", "service", "dockerfiles", "a.yaml.bak", ""} {
		if Wanted(name) {
			t.Errorf("%s is wanted", name)
		}
	}
}

func fuzz(f *testing.F, kind Kind) {
	f.Fuzz(func(t *testing.T, text []byte) {
		set, problems := Read([]File{{Name: "x", Kind: kind, Text: text}})
		for _, found := range settings.Judge(set) {
			if found.Subject.Line < 1 || found.Severity != check.Info && found.Severity != check.Warning {
				t.Errorf("%+v", found)
			}
		}
		for _, p := range problems {
			if p.Err == nil || p.Try == "" || p.Line < 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: Pod\nspec:\n  volumes: [{name: a, hostPath: {path: /}}]\n  containers: [{volumeMounts: [{name: a, mountPath: /a}], command: [sh, -c, a], resources: {limits: {memory: 1}}}]\n"))
	f.Add([]byte("services:\n  a: {command: 'sh -c a', volumes: ['/:/x:ro', {type: bind, source: /, target: /y}], mem_limit: 1m}\n---\n"))
	f.Add([]byte("a: &a\n  <<: [*a, *a]\n"))
	f.Add([]byte(`{"apiVersion": "v1", "kind": "List", "items": [{"spec": {"containers": 1}}]}`))
	fuzz(f, Manifest)
}

func FuzzDockerfile(f *testing.F) {
	f.Add([]byte("# escape=`\nFROM a AS b\nRUN <<EOF\nCMD x\nEOF\nFROM b\nENTRYPOINT ['a']\nCMD a `\n b\nSHELL [\"x\"]\n"))
	fuzz(f, Dockerfile)
}

func FuzzUnit(f *testing.F) {
	f.Add([]byte("[Unit]\nAfter=docker.service\n[Service]\nPrivateTmp=yes\nExecStart=-/usr/bin/dockerd --live-restore \"\nMountFlags=slave\n"))
	fuzz(f, UnitFile)
}

func FuzzDaemonFile(f *testing.F) {
	f.Add([]byte("{\"storage-driver\": \"devicemapper\",\n\"storage-opts\": [\"dm.directlvm_device=/dev/x\"]}"))
	fuzz(f, DaemonFile)
}

// What to write for a volume keeps the options that it has.
func TestAdviceKeepsOptions(t *testing.T) {
	for volume, want := range map[string]string{
		"/:/host":               "/:/host:rslave",
		"/:/host:ro":            "/:/host:ro,rslave",
		"/:/host:ro,rprivate,z": "/:/host:ro,z,rslave",
	} {
		set, _ := Read([]File{{Name: "compose.yaml", Text: []byte("services: {a: {image: x, volumes: ['" + volume + "']}}\n")}})
		found := settings.Judge(set)
		if len(found) != 1 || !strings.Contains(found[0].Advice[0], " "+want+",") {
			t.Errorf("%s: %+v", volume, found)
		}
	}
}
