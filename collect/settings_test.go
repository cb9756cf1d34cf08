package collect

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/collect/door"
	"sexton.dev/runtimes/dockerd"
	"sexton.dev/snapshot"
)

func TestMergeDocker(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		argv       []string
		want       snapshot.DockerSettings
		bad        bool
	}{
		{name: "nothing said", file: " \n", want: snapshot.DockerSettings{File: "f", DataRoot: "/var/lib/docker"}},
		{name: "file", file: `{"live-restore": true, "data-root": "/d", "log-opts": {"token": "x"}}`,
			want: snapshot.DockerSettings{File: "f", LiveRestore: true, DataRoot: "/d", Said: []string{"f: live-restore: true", "f: data-root: /d"}}},
		{name: "flags", file: `{}`, argv: []string{"--live-restore", "-g", "/g", "-H", "fd://"},
			want: snapshot.DockerSettings{File: "f", LiveRestore: true, DataRoot: "/g", Said: []string{"command line of dockerd: --live-restore=true", "command line of dockerd: -g /g"}}},
		{name: "both", file: `{"live-restore": true}`, argv: []string{"--live-restore=false"},
			want: snapshot.DockerSettings{File: "f", DataRoot: "/var/lib/docker", Said: []string{"f: live-restore: true", "command line of dockerd: --live-restore=false"}, Twice: []string{"live-restore"}}},
		{name: "a flag without its value", file: `{}`, argv: []string{"--data-root"}, want: snapshot.DockerSettings{File: "f", DataRoot: "/var/lib/docker"}},
		{name: "no JSON", file: `{"live-restore": `, bad: true},
		{name: "another type", file: `{"live-restore": "yes"}`, bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := dockerd.ParseFile([]byte(tt.file))
			if (err != nil) != tt.bad {
				t.Fatal(err)
			}
			if tt.bad {
				return
			}
			if diff := cmp.Diff(&tt.want, mergeDocker(dockerd.ParseFlags(append([]string{"dockerd"}, tt.argv...)), f, "f")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Without its command line a daemon's settings are not known: its file may be another one.
func TestDockerCommandLineUnread(t *testing.T) {
	for _, tt := range []struct {
		line any
		lack bool
	}{{"dockerd\x00--live-restore\x00", false}, {door.ErrDeadline, true}} {
		f := newHost()
		f.process(70, 1, "S", "dockerd", nil)
		f["ask/cmdline/70"], f["ask/settings"], f["ask/systemd"] = tt.line, "{}", "{}"
		_, h := Looks(t.Context(), f, nil, Options{Parts: []snapshot.Part{snapshot.Configured}})
		lack := slices.ContainsFunc(h.Unread, func(u snapshot.Unread) bool { return u.Part == snapshot.Configured && u.Whole })
		if lack != tt.lack || h.Settings.Docker.LiveRestore == tt.lack {
			t.Errorf("%v: lack %v, %+v, %+v", tt.line, lack, h.Settings.Docker, h.Unread)
		}
	}
}

// The child reads real files of a made-up host, and only what matters of them.
func TestChildSettings(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/docker/daemon.json":                     `{"live-restore": true, "proxies": {"http-proxy": "http://u:secret@p"}}`,
		"usr/lib/systemd/system/docker.service":      "[Service]\nMountFlags=slave\nEnvironment=P=secret\n",
		"etc/systemd/system/docker.service.d/x.conf": "[Service]\nPrivateTmp=yes\n",
		"etc/systemd/system/bad.service":             "[Service]\nwhat\n",
	} {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := &looker{Door: fake{}, Options: Options{Child: Self}}
	r, err := l.askSettings(t.Context(), settingsQuestion{Root: root, Units: []string{"bad.service", "docker.service", "none.service"}, Docker: dockerd.DefaultFile})
	if err != nil {
		t.Fatal(err)
	}
	on := true
	want := settingsReply{
		Units: []snapshot.UnitSettings{{Name: "bad.service", From: "files"}, {Name: "docker.service", From: "files", Directives: []snapshot.Directive{
			{Name: "MountFlags", Value: "slave", File: "/usr/lib/systemd/system/docker.service", Line: 2},
			{Name: "PrivateTmp", Value: "yes", File: "/etc/systemd/system/docker.service.d/x.conf", Line: 2}}}},
		Docker: &dockerd.File{LiveRestore: &on},
	}
	if len(r.Lacks) != 1 || r.Lacks[0].Path != "unit bad.service" {
		t.Errorf("lacks: %+v", r.Lacks)
	}
	r.Lacks = nil
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
