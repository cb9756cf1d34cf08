package runtimes

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A tree is a host's files: "sock" makes a socket, "-> TARGET" a link, "dir" a
// directory, "= PATH" a hard link, all else is a file's text.
type tree map[string]string

// build makes the tree in a new directory. Links to "ROOT" lead to it.
func build(t *testing.T, files tree) string {
	t.Helper()
	root := t.TempDir()
	var last []string
	for name := range files {
		last = append(last, name)
	}
	slices.SortFunc(last, func(a, b string) int { // hard links last
		return strings.Compare(files[a][:1]+a, files[b][:1]+b)
	})
	slices.Reverse(last)
	for _, name := range last {
		p, what := filepath.Join(root, name), files[name]
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		switch {
		case err != nil:
		case what == "sock":
			err = unix.Mknod(p, unix.S_IFSOCK|0o600, 0)
		case what == "fifo":
			err = unix.Mknod(p, unix.S_IFIFO|0o600, 0)
		case what == "dir":
			err = os.Mkdir(p, 0o755)
		case strings.HasPrefix(what, "-> "):
			err = os.Symlink(strings.Replace(what[3:], "ROOT", root, 1), p)
		case strings.HasPrefix(what, "= "):
			err = os.Link(filepath.Join(root, what[2:]), p)
		default:
			err = os.WriteFile(p, []byte(what), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// A host's usual sockets, as they are seen from a container that has it at root.
func TestSocketsBelowRoot(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files tree
		want  []string // kind, path below root
	}{
		{name: "nothing", files: tree{"etc/hosts": "x"}},
		{name: "no run", files: tree{"run": "a file"}},
		{name: "docker, var/run is the link that it is everywhere", files: tree{"run/docker.sock": "sock", "var/run": "-> /run"},
			want: []string{"docker /run/docker.sock"}},
		{name: "var/run alone, relative link", files: tree{"real/docker.sock": "sock", "var/run": "-> ../real"},
			want: []string{"docker /real/docker.sock"}},
		{name: "link that would leave root", files: tree{"run": "-> ../../../../../../../inside", "inside/docker.sock": "sock"},
			want: []string{"docker /inside/docker.sock"}},
		{name: "link to the reader's own host", files: tree{"run/docker.sock": "-> ROOT/run/crio/crio.sock", "run/crio/crio.sock": "sock"},
			want: []string{"cri /run/crio/crio.sock"}},
		{name: "links in a circle", files: tree{"run": "-> /var/run", "var/run": "-> /run"}},
		{name: "same socket by a hard link", files: tree{"run/docker.sock": "sock", "var/run/docker.sock": "= run/docker.sock"},
			want: []string{"docker /run/docker.sock"}},
		{name: "podman under docker's name", files: tree{"run/docker.sock": "-> /run/podman/podman.sock", "run/podman/podman.sock": "sock"},
			want: []string{"podman /run/podman/podman.sock"}},
		{name: "not sockets", files: tree{"run/docker.sock": "a file", "run/crio/crio.sock": "fifo", "run/containerd/containerd.sock/x": "dir"}},
		{name: "both APIs of containerd", files: tree{"run/containerd/containerd.sock": "sock"},
			want: []string{"containerd /run/containerd/containerd.sock", "cri /run/containerd/containerd.sock"}},
		{name: "everything, in order", files: tree{
			"run/podman/podman.sock": "sock", "run/crio/crio.sock": "sock", "run/cri-dockerd.sock": "sock", "run/k0s/containerd.sock": "sock",
			"run/k3s/containerd/containerd.sock": "sock", "run/docker.sock": "sock", "run/docker/containerd/containerd.sock": "sock",
			"var/snap/microk8s/common/run/containerd.sock": "sock", "var/run/dockershim.sock": "sock",
			"run/user/1000/docker.sock": "sock", "run/user/20/docker.sock": "sock", "run/user/x/docker.sock": "sock",
			"run/user/1000/podman/podman.sock": "sock", "run/user/-1/docker.sock": "sock",
		}, want: []string{"docker /run/docker.sock", "docker /run/user/20/docker.sock", "docker /run/user/1000/docker.sock",
			"containerd /run/k3s/containerd/containerd.sock", "cri /run/k3s/containerd/containerd.sock",
			"containerd /run/k0s/containerd.sock", "cri /run/k0s/containerd.sock",
			"containerd /var/snap/microk8s/common/run/containerd.sock", "cri /var/snap/microk8s/common/run/containerd.sock",
			"containerd /run/docker/containerd/containerd.sock", "cri /run/crio/crio.sock", "cri /run/cri-dockerd.sock",
			"cri /var/run/dockershim.sock", "podman /run/podman/podman.sock", "podman /run/user/1000/podman/podman.sock"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := build(t, tt.files)
			own := filepath.Join(t.TempDir(), "own.sock")
			if err := unix.Mknod(own, unix.S_IFSOCK|0o600, 0); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range Sockets(root, func(string) string { return "unix://" + own }) {
				if s.From != "default" {
					t.Errorf("%+v: the environment is not that of another root", s)
				}
				got = append(got, string(s.Kind)+" "+strings.TrimPrefix(s.Path, root))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func meta(name, host string) string {
	return `{"Name":"` + name + `","Metadata":{"x":1},"Endpoints":{"docker":{"Host":"` + host + `","SkipTLSVerify":false}}}`
}

// What the environment and docker's settings name. ROOT is the test's directory.
func TestNamedSockets(t *testing.T) {
	const ctx = "home/.docker/contexts/meta/"
	for _, tt := range []struct {
		name  string
		files tree
		env   map[string]string
		want  []Socket
	}{
		{name: "nothing", files: tree{"a": "sock"}},
		{name: "each variable", files: tree{"d": "sock", "p": "sock", "c": "sock", "e": "sock"}, env: map[string]string{"DOCKER_HOST": "unix://ROOT/d",
			"CONTAINER_HOST": "unix://ROOT/p", "CONTAINERD_ADDRESS": "ROOT/c", "CONTAINER_RUNTIME_ENDPOINT": "unix://ROOT/e"},
			want: []Socket{{Kind: Docker, Path: "ROOT/d", From: "DOCKER_HOST"}, {Kind: Podman, Path: "ROOT/p", From: "CONTAINER_HOST"}, {Kind: Containerd, Path: "ROOT/c", From: "CONTAINERD_ADDRESS"},
				{Kind: CRI, Path: "ROOT/c", From: "CONTAINERD_ADDRESS"}, {Kind: CRI, Path: "ROOT/e", From: "CONTAINER_RUNTIME_ENDPOINT"}}},
		{name: "one socket by many names", files: tree{"d": "sock", "l": "-> d"}, env: map[string]string{"DOCKER_HOST": "unix://ROOT/l",
			"CONTAINER_HOST": "unix://ROOT/d"}, want: []Socket{{Kind: Docker, Path: "ROOT/d", From: "DOCKER_HOST"}}},
		{name: "other machines", env: map[string]string{"DOCKER_HOST": "tcp://10.0.0.1:2375", "CONTAINER_HOST": "ssh://root@h/run/podman/podman.sock",
			"CONTAINERD_ADDRESS": "@abstract", "CONTAINER_RUNTIME_ENDPOINT": "npipe:////./pipe/x"}},
		{name: "nonsense", env: map[string]string{"DOCKER_HOST": "unix://", "CONTAINER_HOST": "unix://relative", "CONTAINERD_ADDRESS": "/a\x00b",
			"CONTAINER_RUNTIME_ENDPOINT": "/" + strings.Repeat("x", 5000), "HOME": "relative", "XDG_RUNTIME_DIR": "."}},
		{name: "login", files: tree{"x/docker.sock": "sock", "x/podman/podman.sock": "sock"}, env: map[string]string{"XDG_RUNTIME_DIR": "ROOT/x"},
			want: []Socket{{Kind: Docker, Path: "ROOT/x/docker.sock", From: "XDG_RUNTIME_DIR"}, {Kind: Podman, Path: "ROOT/x/podman/podman.sock", From: "XDG_RUNTIME_DIR"}}},
		{name: "contexts, the current one first", files: tree{"a": "sock", "b": "sock", "c": "sock",
			ctx + "1/meta.json": meta("one", "unix://ROOT/a"), ctx + "2/meta.json": meta("two", "unix://ROOT/b"), ctx + "3/meta.json": meta("three", "unix://ROOT/c"),
			"home/.docker/config.json": `{"auths":{"x":{"auth":"c2VjcmV0"}},"currentContext":"two"}`}, env: map[string]string{"HOME": "ROOT/home"},
			want: []Socket{{Kind: Docker, Path: "ROOT/b", From: "context two"}, {Kind: Docker, Path: "ROOT/a", From: "context one"}, {Kind: Docker, Path: "ROOT/c", From: "context three"}}},
		{name: "current by the environment", files: tree{"a": "sock", "b": "sock", "s/contexts/meta/1/meta.json": meta("one", "unix://ROOT/a"),
			"s/contexts/meta/2/meta.json": meta("two", "unix://ROOT/b"), "s/config.json": `{"currentContext":"one"}`},
			env:  map[string]string{"HOME": "ROOT/home", "DOCKER_CONFIG": "ROOT/s", "DOCKER_CONTEXT": "two"},
			want: []Socket{{Kind: Docker, Path: "ROOT/b", From: "context two"}, {Kind: Docker, Path: "ROOT/a", From: "context one"}}},
		{name: "hostile settings", files: tree{"a": "sock", "home/.docker/config.json": `{"currentContext":["two"]}`,
			ctx + "1/meta.json": meta("remote", "tcp://10.0.0.1:2376"), ctx + "2/meta.json": "{", ctx + "3/meta.json": `[]`, ctx + "4/meta.json": `null`,
			ctx + "5/meta.json": meta("large", "unix://ROOT/a") + strings.Repeat(" ", maxMeta), ctx + "6/meta.json": "fifo", ctx + "7/meta.json/x": "dir",
			ctx + "8": "a file", ctx + "9/meta.json": meta(`\u001b[31m\n`, "unix://ROOT/a")}, env: map[string]string{"HOME": "ROOT/home"},
			want: []Socket{{Kind: Docker, Path: "ROOT/a", From: "context \x1b[31m\n"}}},
		{name: "settings that are a fifo", files: tree{"home/.docker/config.json": "fifo"}, env: map[string]string{"HOME": "ROOT/home"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := build(t, tt.files)
			for name, text := range tt.files { // settings name the root
				if strings.HasPrefix(text, "{") {
					text = strings.Replace(text, "ROOT", root, 1)
					if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			var got []Socket
			for _, s := range Sockets("/", func(name string) string { return strings.Replace(tt.env[name], "ROOT", root, 1) }) {
				if s.From != "default" { // this machine's own
					s.Path = strings.Replace(s.Path, root, "ROOT", 1)
					got = append(got, s)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLookupStopsBeforeForeign(t *testing.T) {
	root := build(t, tree{"home/u/f": "text", "link": "-> /home/u", "far": "-> /home/../home/./u/f", "up": "-> home/u/..", "ok": "text"})
	l := newLookup(root, []mount{{point: "/", foreign: true}, {point: root + "/home", foreign: true}})
	for _, tt := range []struct {
		path string
		is   error // nil: found
	}{
		{"/ok", nil}, {"/./ok", nil}, {"/home/u/f", errForeign}, {"/home", errForeign}, {"/link/f", errForeign}, {"/far", errForeign},
		{"/up", errForeign}, {"/homes", os.ErrNotExist}, {"/ok/below", unix.ENOTDIR},
	} {
		if _, _, err := l.find(tt.path); !errors.Is(err, tt.is) {
			t.Errorf("%s: %v, want %v", tt.path, err, tt.is)
		}
	}
	if names := l.list("/link"); names != nil {
		t.Errorf("listed %q", names)
	}
}

// A path is followed as far as it is there, and never onto what may wait.
func TestFollow(t *testing.T) {
	root := build(t, tree{"data/docker/f": "text", "var/lib/docker": "-> /data/docker", "var/run": "-> ../run", "run/x": "text", "loop": "-> loop", "home/u/f": "text", "far": "-> /home/u"})
	for path, want := range map[string]string{
		"/var/lib/docker/f": "/data/docker/f", "/var/run/netns/cni-1": "/run/netns/cni-1", "/var/lib/docker/gone/merged": "/data/docker/gone/merged",
		"/run//x/": "/run/x", "/loop/a": "/loop/a", "/": "/", "/nothing/../run/x": "/run/x", "/var/run/../run/x": "/run/x",
	} {
		if got, err := Follow(root, path); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", path, got, err, want)
		}
	}
	done, rest, _, err := newLookup(root, []mount{{point: root + "/home", foreign: true}}).walk("/far/f")
	if done != "" || len(rest) != 3 || !errors.Is(err, errForeign) {
		t.Errorf("%q, %q, %v", done, rest, err)
	}
}

func TestForeign(t *testing.T) {
	const table = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /home rw,relatime shared:2 master:3 - autofs /etc/auto.home rw,fd=7
31 30 0:26 / /home/ann rw - nfs4 server:/ann rw,addr=10.0.0.1
32 30 8:2 / /home/bob rw - ext4 /dev/sda2 rw
33 22 0:27 / /srv/with\040space\134x rw - fuse.sshfs host: rw
34 22 8:3 / /boot rw - autofs systemd-1 rw
35 34 8:4 / /boot rw - vfat /dev/sda3 rw
36 22 0:30 / /proc rw - proc proc rw
`
	mounts, err := parseMounts(table)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]bool{
		"/": false, "/etc/passwd": false, "/home": true, "/home/ann": true, "/home/ann/.docker": true, "/home/bob/.docker": false, "/homes": false,
		`/srv/with space\x/a`: true, "/srv": false, "/boot": false, "/boot/x": false, "/proc/self": false,
	} {
		if got := foreign(mounts, p); got != want {
			t.Errorf("%s: %v", p, got)
		}
	}
}

func TestParseMountsErrors(t *testing.T) {
	for name, in := range map[string]string{
		"no separator": "22 1 8:1 / / rw\n", "few fields": "22 1 8:1 / - ext4 x rw\n", "no type": "22 1 8:1 / / rw - \n", "empty line": "\n",
	} {
		if _, err := parseMounts(in); err == nil || !strings.Contains(err.Error(), "not a mount") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add("22 1 8:1 / /a\\040b rw shared:1 - ext4 /dev/sda1 rw\n")
	f.Fuzz(func(t *testing.T, s string) {
		mounts, err := parseMounts(s)
		if err != nil && mounts != nil {
			t.Errorf("%d mounts beside %v", len(mounts), err)
		}
		foreign(mounts, s)
	})
}

func FuzzParseMeta(f *testing.F) {
	f.Add([]byte(meta("a", "unix:///run/docker.sock")))
	f.Add([]byte(`{"Endpoints":{"docker":null}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, p := parseMeta(b); p != "" && (p[0] != '/' || strings.ContainsRune(p, 0)) {
			t.Errorf("path %q", p)
		}
	})
}
