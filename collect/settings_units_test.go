package collect

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/collect/door"
	"sexton.dev/linux/systemd"
	"sexton.dev/snapshot"
)

// What systemd has loaded holds; the files say where it stands, and how they differ
// once they were changed.
func TestMergeUnit(t *testing.T) {
	d := func(name, value string, line int) snapshot.Directive {
		return snapshot.Directive{Name: name, Value: value, File: "/a.service", Line: line}
	}
	loaded := func(all ...string) (out []systemd.Directive) {
		for i := 0; i < len(all); i += 2 {
			out = append(out, systemd.Directive{Name: all[i], Value: all[i+1]})
		}
		return out
	}
	only := func(name, value string) snapshot.Directive { return snapshot.Directive{Name: name, Value: value} }
	for _, tt := range []struct {
		name    string
		files   []snapshot.Directive
		loaded  []systemd.Directive
		reload  bool
		want    []snapshot.Directive
		pending []snapshot.Directive
	}{
		{name: "as the files", files: []snapshot.Directive{d("PrivateTmp", "true", 3)}, loaded: loaded("PrivateTmp", "yes"), want: []snapshot.Directive{{Name: "PrivateTmp", Value: "yes", File: "/a.service", Line: 3}}},
		{name: "a list in two lines", files: []snapshot.Directive{d("BindPaths", "/b", 3), d("BindPaths", "/a", 4)}, loaded: loaded("BindPaths", "/a /b"), want: []snapshot.Directive{d("BindPaths", "/a /b", 3)}},
		{name: "taken out since", loaded: loaded("MountFlags", "slave"), reload: true, want: []snapshot.Directive{only("MountFlags", "slave")}, pending: []snapshot.Directive{only("MountFlags", "")}},
		{name: "put in since", files: []snapshot.Directive{d("MountFlags", "slave", 3)}, reload: true, pending: []snapshot.Directive{d("MountFlags", "slave", 3)}},
		{name: "another value since", files: []snapshot.Directive{d("ProtectSystem", "full", 3)}, loaded: loaded("ProtectSystem", "yes"), reload: true,
			want: []snapshot.Directive{only("ProtectSystem", "yes")}, pending: []snapshot.Directive{d("ProtectSystem", "full", 3)}},
		{name: "implied, in no file", loaded: loaded("PrivateTmp", "yes"), want: []snapshot.Directive{only("PrivateTmp", "yes")}},
		{name: "systemd reads it in another way", files: []snapshot.Directive{d("MountFlags", "bogus", 3)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := mergeUnits([]snapshot.UnitSettings{{Name: "a.service", From: "files", Directives: tt.files}}, []systemd.Unit{{Name: "a.service", Directives: tt.loaded, NeedReload: tt.reload}})
			want := []snapshot.UnitSettings{{Name: "a.service", From: "systemd", Directives: tt.want, Reload: tt.reload, Pending: tt.pending}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A systemd that does not answer is told as unread, and what files say is kept.
func TestSilentSystemd(t *testing.T) {
	l := &looker{Door: fake{}, h: &snapshot.Host{}, Options: Options{Root: t.TempDir(), AskAgain: true, Child: func(context.Context, ...string) ([]byte, error) {
		return nil, door.ErrDeadline
	}}}
	units := l.loadedUnits(t.Context(), []string{"a.service"})
	if len(units) != 0 || len(l.h.Unread) != 1 || l.h.Unread[0].Part != snapshot.Configured || l.h.Unread[0].Whole || l.h.Unread[0].Err != door.ErrDeadline.Error() {
		t.Errorf("%+v, %+v", units, l.h.Unread)
	}
}

// The child says what it is told by a host without systemd: nothing, and that is no lack.
func TestChildUnitsWithoutSystemd(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	l := &looker{Door: fake{}, h: &snapshot.Host{}, Options: Options{Root: root, AskAgain: true, Child: Self}}
	if units := l.loadedUnits(t.Context(), []string{"a.service"}); len(units) != 0 || len(l.h.Unread) != 0 {
		text, _ := json.Marshal(l.h.Unread)
		t.Errorf("%+v, %s", units, text)
	}
}

// A rootless docker.service is not the host's.
func TestUnitOf(t *testing.T) {
	for cgroup, want := range map[string]string{
		"/system.slice/docker.service":                                           "docker.service",
		"/system.slice/docker.service/inner":                                     "docker.service",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/docker.service": "",
		"/user.slice/user-1000.slice/user@1000.service/init.scope":               "",
		"/init.scope": "",
	} {
		if got := unitOf(cgroup); got != want {
			t.Errorf("%s: %q, want %q", cgroup, got, want)
		}
	}
}

// A systemd that was silent is another one in the next hour: PID 1 does not change.
func TestInitNow(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := &looker{h: &snapshot.Host{Taken: at, Processes: []snapshot.Process{{PID: 1, Start: 7}}}}
	was := l.initNow()
	if l.h.Taken = at.Add(time.Minute); l.initNow() != was {
		t.Errorf("%s, and a minute later %s", was, l.initNow())
	}
	if l.h.Taken = at.Add(time.Hour); l.initNow() == was {
		t.Errorf("%s for over an hour", was)
	}
}
