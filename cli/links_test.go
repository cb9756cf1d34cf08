package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sexton.dev/snapshot"
)

// What a user or a daemon calls a path is found where its links lead, if the mount
// tables do not have it as it is.
func TestSearch(t *testing.T) {
	root, id := t.TempDir(), strings.Repeat("a17b", 16)
	for _, dir := range []string{"data/docker", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/data/docker", filepath.Join(root, "var/lib/docker")); err != nil {
		t.Fatal(err)
	}
	h := &snapshot.Host{Mounts: &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{{Inode: 1, Mounts: []snapshot.Mount{
		{ID: 1, Device: "0:1", Root: "/", Point: "/data/docker/a/merged"}, {ID: 2, Device: "0:2", Root: "/", Point: "/var/lib/docker/b/merged"}, {ID: 3, Device: "0:3", Root: "/", Point: "/run/netns/cni-1"},
	}}}}, Containers: []snapshot.Container{{ID: "1b2c", Name: "web"}, {ID: "4e09", Name: id, Pod: "/data"}}}
	for _, tt := range []struct {
		word, from, want string
	}{
		{"/var/lib/docker/a/merged", "", "/data/docker/a/merged"},
		{"/var/lib/docker/b/merged", "", "/var/lib/docker/b/merged"}, // as another namespace has it
		{"/var/lib/docker/a/merged", "recording", "/var/lib/docker/a/merged"},
		{"web", "", "1b2c"},
		{id, "", id}, // and not of who was given it for a name
		{"/data", "recording", "/data"},
		{"0:50", "", "0:50"},
		{"default/web", "", "default/web"},
		{"/var/run/netns/cni-1", "recording", "/var/run/netns/cni-1"},
	} {
		f := hostFlags{root: root, from: tt.from}
		if got := search(h, tt.word, f.follow).Word; got != tt.want {
			t.Errorf("%s from %q: %q, want %q", tt.word, tt.from, got, tt.want)
		}
	}
	t.Chdir(filepath.Join(root, "data"))
	f := hostFlags{root: "/"}
	dir, err := filepath.EvalSymlinks(filepath.Join(root, "data"))
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]string{"./docker": dir + "/docker", ".": dir, "../data/x": dir + "/x", "docker": "docker"} {
		if got := f.follow(word); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}
