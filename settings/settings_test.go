package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// judged gives what the rules say of one container, one line each: severity, rule, title.
func judged(w Workload, c Container) string {
	w.Containers = []Container{c}
	return lines(&Set{Workloads: []Workload{w}})
}

func lines(s *Set) string {
	var out []string
	for _, f := range Judge(s) {
		out = append(out, fmt.Sprintf("%s %s: %s", f.Severity, f.Check, f.Title))
	}
	return strings.Join(out, "\n")
}

func TestHostPath(t *testing.T) {
	for _, tt := range []struct {
		name, host, propagation string
		shallow                 bool
		want                    bool
	}{
		{name: "the root", host: "/", want: true},
		{name: "docker's data", host: "/var/lib/docker", want: true},
		{name: "with a slash behind", host: "/var/lib/kubelet/", want: true},
		{name: "above", host: "/var", want: true},
		{name: "the layers", host: "/var/lib/docker/overlay2", want: true},
		{name: "all pods", host: "/var/lib/kubelet/pods", want: true},
		{name: "run", host: "/run", want: true},
		{name: "run by its old name", host: "/var/run", want: true},
		{name: "dots", host: "/var/lib/x/../docker", want: true},
		{name: "a data root of its own", host: "/data", want: true},
		{name: "None is private", host: "/", propagation: "None", want: true},
		{name: "rprivate", host: "/", propagation: "rprivate", want: true},
		{name: "HostToContainer", host: "/", propagation: "HostToContainer"},
		{name: "Bidirectional", host: "/var/lib/kubelet", propagation: "Bidirectional"},
		{name: "rslave", host: "/", propagation: "rslave"},
		{name: "not recursive", host: "/", shallow: true},
		{name: "a socket", host: "/var/run/docker.sock"},
		{name: "one container's logs", host: "/var/lib/docker/containers/abc"},
		{name: "a name that begins alike", host: "/var/lib/dockerx"},
		{name: "logs", host: "/var/log"},
		{name: "relative", host: "./data"},
		{name: "a volume's name", host: "data"},
		{name: "nothing", host: ""},
		{name: "hostile", host: "/var/lib/\x1b[2Jdocker\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := Place{"f.yaml", 7}
			s := Set{Daemon: &Daemon{DataRoot: &Setting{"/data/docker/", at}}, Workloads: []Workload{{Kind: "Pod", Name: "p", Containers: []Container{
				{Name: "c", Binds: []Bind{{Host: tt.host, At: "/host", Propagation: tt.propagation, Shallow: tt.shallow, Place: at}}}}}}}
			found := Judge(&s)
			if (len(found) == 1) != tt.want || len(found) > 1 {
				t.Fatalf("%+v", found)
			}
			if tt.want && (found[0].Check != hostPathName || found[0].Severity != check.Warning || found[0].Subject.File != "f.yaml" || found[0].Subject.Line != 7 || found[0].ID != "hostpath-no-propagation/f.yaml/Pod/p/c//host") {
				t.Errorf("%+v", found[0])
			}
		})
	}
}

// What docker makes rslave by itself is a risk only: where it does not.
func TestHostPathOfCompose(t *testing.T) {
	for _, tt := range []struct{ host, propagation, root, want string }{
		{"/", "", "", "info hostpath-no-propagation: service w takes the host's / in at /h and leaves it to docker"},
		{"/var/lib/docker/overlay2", "", "", "info"},
		{"/", "rprivate", "", "warning hostpath-no-propagation: service w takes the host's / in at /h and receives no unmount"},
		{"/var/lib/kubelet", "", "", "warning"},
		{"/run", "", "", "warning"},
		{"/var/lib/docker", "", "/data", "warning"},
		{"/data", "", "/data", "info"},
		{"/", "rslave", "", ""},
	} {
		s := Set{Workloads: []Workload{{Format: Compose, Kind: "service", Name: "w", Containers: []Container{{Binds: []Bind{{Host: tt.host, At: "/h", Propagation: tt.propagation}}}}}}}
		if tt.root != "" {
			s.Daemon = &Daemon{DataRoot: &Setting{Value: tt.root}}
		}
		if got := lines(&s); (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestNoInit(t *testing.T) {
	for _, tt := range []struct {
		name string
		argv string // arguments with a bar between
		w    Workload
		c    Container
		want string // severity and part of the title; "" for none
	}{
		{name: "left to the image"},
		{name: "a program that is not known", argv: "/app/server|--port|80"},
		{name: "node", argv: "node|server.js", want: "info no-init: Pod p, container c has no init: its PID 1 is node, which reaps no orphans"},
		{name: "with its version", argv: "/usr/bin/python3.11|app.py", want: "its PID 1 is python, which reaps no orphans, and drops TERM"},
		{name: "behind others that execute", argv: "exec|env|A=1|gosu|app:app|node|x", want: "its PID 1 is node"},
		{name: "behind tini", argv: "/sbin/tini|-g|--|node|x"},
		{name: "behind an init without a --", argv: "dumb-init|python|x"},
		{name: "init: true", argv: "node|x", c: Container{Init: true}},
		{name: "a shared PID namespace", argv: "node|x", w: Workload{OtherPID1: true}},
		{name: "an init container", argv: "node|x", c: Container{Brief: true}},
		{name: "a list in a shell", argv: "/bin/sh|-c|a && b", want: "warning no-init: PID 1 of Pod p, container c is a shell that waits for its commands"},
		{name: "one command in a shell that it replaces", argv: "/bin/bash|-c|/app x"},
		{name: "one that reaps nothing in such a shell", argv: "/bin/bash|-c|A=1 node x", want: "info no-init: Pod p, container c has no init: its PID 1 is node"},
		{name: "exec of one that reaps nothing", argv: "sh|-c|a; exec node x", want: "info no-init: Pod p, container c has no init: its PID 1 is node"},
		{name: "exec of an init", argv: "sh|-c|a; exec tini -- node x"},
		{name: "a shell in a shell", argv: "bash|-c|exec sh -c \"a; b\"", want: "warning no-init: PID 1 of Pod p, container c is a shell that waits"},
		{name: "shells without an end", argv: "bash|-c|exec bash -c 'exec bash -c \"exec bash -c bash\"'"},
		{name: "one command in sh, which may be dash", argv: "sh|-c|node x", want: "warning no-init: PID 1 of Pod p, container c is a shell in front of one program"},
		{name: "exec", argv: "sh|-c|a; exec b"},
		{name: "a script", argv: "bash|/entrypoint.sh"},
		{name: "a shell behind an init", argv: "tini|--|sh|-c|a; b", want: "warning no-init: Pod p, container c runs a shell behind its init"},
		{name: "init: true and a shell", argv: "sh|-c|a; b", c: Container{Init: true}, want: "runs a shell behind its init"},
		{name: "an init alone", argv: "tini"},
		{name: "env alone", argv: "env|A=1"},
		{name: "gosu without its argument", argv: "gosu"},
		{name: "an empty word", argv: "|x"},
		{name: "a directory", argv: "/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.argv != "" {
				tt.c.Program.Argv = strings.Split(tt.argv, "|")
			}
			tt.w.Kind, tt.w.Name, tt.c.Name = "Pod", "p", "c"
			got := judged(tt.w, tt.c)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestMemory(t *testing.T) {
	for _, tt := range []struct {
		bytes  int64
		format Format
		want   string
	}{
		{0, Kubernetes, ""},
		{-1, Compose, ""},
		{1, Kubernetes, "may use 1 byte of memory, which leaves no room"},
		{4 << 20, Compose, "warning memory-limit-too-low: Pod p may use 4 MiB"},
		{6<<20 - 1, Compose, "warning"},
		{6 << 20, Compose, "info memory-limit-too-low: Pod p may use 6 MiB of memory, which is little"},
		{16<<20 - 1, Kubernetes, "info"},
		{16 << 20, Kubernetes, ""},
		{1 << 62, Kubernetes, ""},
	} {
		got := judged(Workload{Kind: "Pod", Name: "p", Format: tt.format}, Container{Memory: Memory{Bytes: tt.bytes}})
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%d: %q, want %q", tt.bytes, got, tt.want)
		}
	}
}

func TestUnits(t *testing.T) {
	tmp := []snapshot.Directive{{Name: "PrivateTmp", Value: "yes", File: "u", Line: 4}}
	flags := []snapshot.Directive{{Name: "MountFlags", Value: "slave", File: "u", Line: 5}}
	live := &Setting{"true", Place{"daemon.json", 2}}
	off := &Setting{"false", Place{"daemon.json", 2}}
	for _, tt := range []struct {
		name string
		set  Set
		want string
	}{
		{"no directive", Set{Units: []Unit{{Name: "web.service", After: []string{"docker.service"}}}}, ""},
		{"after docker", Set{Units: []Unit{{Name: "web.service", Private: tmp, After: []string{"network.target", "docker.service"}}}}, "warning private-unit: web.service has PrivateTmp=yes and starts after the containers (After=docker.service)"},
		{"after all", Set{Units: []Unit{{Name: "web.service", Private: tmp, After: []string{"multi-user.target"}}}}, "(After=multi-user.target)"},
		{"not ordered", Set{Units: []Unit{{Name: "web.service", Private: tmp}}}, "info private-unit: web.service has PrivateTmp=yes and nothing orders it"},
		{"before docker", Set{Units: []Unit{{Name: "web.service", Private: tmp, Before: []string{"docker.service"}}}}, ""},
		{"both", Set{Units: []Unit{{Name: "web.service", Private: tmp, Before: []string{"kubelet.service"}, After: []string{"docker.service"}}}}, "warning"},
		{"container software", Set{Units: []Unit{{Name: "kubelet.service", Private: tmp, After: []string{"docker.service"}}}}, ""},
		{"by its program", Set{Units: []Unit{{Name: "x.service", Program: "containerd", Private: tmp}}}, ""},
		{"live-restore in the file", Set{Daemon: &Daemon{LiveRestore: live}, Units: []Unit{{Name: "docker.service", Private: flags, Daemon: &Daemon{}}}}, "warning mountflags-live-restore: docker.service has live-restore and MountFlags=slave: a restart strands"},
		{"live-restore by a flag", Set{Units: []Unit{{Name: "docker.service", Private: tmp, Daemon: &Daemon{LiveRestore: live}}}}, "mountflags-live-restore"},
		{"a flag that takes it back", Set{Daemon: &Daemon{LiveRestore: live}, Units: []Unit{{Name: "docker.service", Private: flags, Daemon: &Daemon{LiveRestore: off}}}}, ""},
		{"no live-restore", Set{Daemon: &Daemon{}, Units: []Unit{{Name: "docker.service", Private: flags, Daemon: &Daemon{}}}}, ""},
		{"no directive on dockerd", Set{Daemon: &Daemon{LiveRestore: live}, Units: []Unit{{Name: "docker.service", Daemon: &Daemon{}}}}, ""},
		{"another's directive", Set{Daemon: &Daemon{LiveRestore: live}, Units: []Unit{{Name: "web.service", Private: flags, Before: []string{"docker.service"}}}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := lines(&tt.set)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestDeviceMapper(t *testing.T) {
	const mapper = "devicemapper"
	for _, tt := range []struct {
		name, driver string
		options      string // with a bar between
		want         string
	}{
		{"overlay2", "overlay2", "", ""},
		{"nothing", "", "", ""},
		{"the driver alone", mapper, "", "warning devicemapper-loop"},
		{"an option of it alone", "", "dm.basesize=20G", "warning devicemapper-loop"},
		{"options of another driver", "overlay2", "dm.basesize=20G", ""},
		{"a pool", mapper, "dm.thinpooldev=/dev/mapper/docker-thinpool", ""},
		{"a device, no choice", mapper, "dm.directlvm_device=/dev/sdb", "warning directlvm-force: dm.directlvm_device=/dev/sdb without a choice"},
		{"false", mapper, "dm.directlvm_device=/dev/sdb|dm.directlvm_device_force=false", ""},
		{"true", mapper, "dm.directlvm_device=/dev/sdb|dm.directlvm_device_force=true", "info directlvm-force: dm.directlvm_device_force=true wipes /dev/sdb"},
		{"the last one holds", mapper, "dm.directlvm_device=/dev/sdb|dm.directlvm_device_force=true|dm.directlvm_device_force=false", ""},
		{"a choice without a device", mapper, "dm.directlvm_device_force=true", "warning devicemapper-loop"},
		{"no =", mapper, "dm.directlvm_device", "warning directlvm-force"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Daemon{}
			if tt.driver != "" {
				d.Driver = &Setting{Value: tt.driver}
			}
			for option := range strings.SplitSeq(tt.options, "|") {
				if option != "" {
					d.Options = append(d.Options, Setting{Value: option})
				}
			}
			got := lines(&Set{Daemon: &d})
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// Worst first, then by file and line; and no two have one id.
func TestOrder(t *testing.T) {
	c := func(line int, argv ...string) Container {
		return Container{Name: "c", Program: Program{Argv: argv, Place: Place{"b.yaml", line}}}
	}
	s := Set{Workloads: []Workload{
		{Kind: "Pod", Name: "p", Containers: []Container{c(9, "node"), c(3, "node"), c(5, "sh", "-c", "a;b")}},
	}}
	var lines []int
	ids := map[string]bool{}
	for _, f := range Judge(&s) {
		lines = append(lines, f.Subject.Line)
		ids[f.ID] = true
	}
	if !slices.Equal(lines, []int{5, 3, 9}) || len(ids) != 3 {
		t.Errorf("%v, %v", lines, ids)
	}
}

// Each rule's page says what a finding is, how severe, and its sources.
func TestPages(t *testing.T) {
	for _, r := range Rules() {
		if first, _, _ := strings.Cut(r.Doc.String(), "\n"); first != r.Name+": "+r.Doc.Summary() || r.Doc.Summary() == "" {
			t.Errorf("%s: the page begins with %q", r.Name, first)
		}
		for _, part := range []string{`A finding is\s`, `(Warning|Always warning)`, `\nSources: `} {
			if !regexp.MustCompile(part).MatchString(r.Doc.String()) {
				t.Errorf("%s: the page does not say %q", r.Name, part)
			}
		}
	}
}
