package systemd

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Of hundreds of properties those stay that concern mounts, in the words of a unit file.
func TestUnitOf(t *testing.T) {
	base := map[string]any{"FragmentPath": "/etc/a.service", "DropInPaths": []string{"/run/a.service.d/1.conf"},
		"ActiveState": "active", "ActiveEnterTimestamp": uint64(1_700_000_000_000_000), "NeedDaemonReload": true}
	active := time.Unix(1_700_000_000, 0).UTC()
	for _, tt := range []struct {
		name          string
		unit, service map[string]any
		want          Unit
	}{
		{name: "nothing private", unit: base, service: map[string]any{"MainPID": uint32(7), "KillMode": "process", "Environment": []string{"P=secret"},
			"PrivateTmp": false, "ProtectSystem": "no", "ProtectHome": "no", "MountFlags": uint64(0), "ProtectProc": "default", "ProcSubset": "all", "ReadOnlyPaths": []string{}, "BindPaths": [][]any{}},
			want: Unit{Name: "a.service", Fragment: "/etc/a.service", DropIns: []string{"/run/a.service.d/1.conf"}, NeedReload: true, Active: active, MainPID: 7, KillMode: "process"}},
		{name: "all kinds", service: map[string]any{"PrivateTmp": true, "MountFlags": uint64(1 << 19), "ProtectSystem": "full", "ReadOnlyPaths": []string{"/a", "-/b"},
			"BindPaths": [][]any{{"/a", "/b", false, uint64(0)}}, "TemporaryFileSystem": [][]any{{"/c", ""}, {"/d", "ro"}}},
			want: Unit{Name: "a.service", Directives: []Directive{{Name: "BindPaths", Value: "/a:/b"}, {Name: "MountFlags", Value: "slave"}, {Name: "PrivateTmp", Value: "yes"},
				{Name: "ProtectSystem", Value: "full"}, {Name: "ReadOnlyPaths", Value: "/a -/b"}, {Name: "TemporaryFileSystem", Value: "/c /d:ro"}}}},
		{name: "shared is what all have", service: map[string]any{"MountFlags": uint64(1 << 20)}, want: Unit{Name: "a.service"}},
		{name: "systemd before 231", service: map[string]any{"ReadWriteDirectories": []string{"/a"}}, want: Unit{Name: "a.service", Directives: []Directive{{Name: "ReadWritePaths", Value: "/a"}}}},
		{name: "ended", unit: map[string]any{"ActiveState": "failed", "ActiveEnterTimestamp": uint64(1)}, want: Unit{Name: "a.service"}},
		{name: "other types than today's", unit: map[string]any{"FragmentPath": 1, "NeedDaemonReload": "yes", "ActiveState": "active", "ActiveEnterTimestamp": ^uint64(0)},
			service: map[string]any{"PrivateTmp": 3, "MountFlags": "slave?", "BindPaths": [][]any{{1}, {}}, "MainPID": "x"},
			want:    Unit{Name: "a.service", Directives: []Directive{{Name: "MountFlags", Value: "slave?"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, unitOf("a.service", tt.unit, tt.service)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestSame(t *testing.T) {
	for _, tt := range []struct {
		name, directive, a, b string
		want                  bool
	}{
		{"bool", "PrivateTmp", "yes", "True", true},
		{"bool and more", "ProtectSystem", "yes", "full", false},
		{"list in another order", "ReadOnlyPaths", "/a /b", "/b  /a", true},
		{"longer list", "ReadOnlyPaths", "/a /b", "/a", false},
		{"letters of a path", "ReadOnlyPaths", "/a", "/A", false},
	} {
		if got := Same(tt.directive, tt.a, tt.b); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
