package cgroupfs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	id1 = "7e844a947116714d8576372366bde54cd4bb15a62d732437781b41a6fec56ccc"
	id2 = "bd6fe092f10330edc4ad6e283948c2ef1a455af0b5063b90b2b37d3d850d6690"
	id3 = "e0d51863af3b89d990370749541ea926418346f6f1c92c255e4862f6a1c04d80"

	uid       = "1c5d0bde-130b-4784-a547-f45e619f2514"
	uidInUnit = "1c5d0bde_130b_4784_a547_f45e619f2514"
	other     = "29da79e5-386c-4e0d-82c1-215f93ff955d"
	static    = "3d6beaa3004913efb68ce073d73494b0" // the hash of a manifest on disk
)

// What runtimes and kubelets write, each spelling as a real host showed it.
func TestPlaceOf(t *testing.T) {
	const (
		burstable  = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidInUnit + ".slice"
		bestEffort = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uidInUnit + ".slice"
		kind       = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + uidInUnit + ".slice"
		user       = "/user.slice/user-1000.slice/user@1000.service"
	)
	docker := Place{ID: id1, Runtime: "docker"}
	for _, tt := range []struct {
		name, in string
		want     Place
	}{
		{"docker, cgroupfs", "/docker/" + id1, docker},
		{"docker, systemd", "/system.slice/docker-" + id1 + ".scope", docker},
		{"docker, systemd inside", "/system.slice/docker-" + id1 + ".scope/system.slice/ssh.service", docker},
		{"docker, a process in its init scope", "/docker/" + id1 + "/init.scope", docker},
		{"docker, own parent, cgroupfs", "/build-farm/" + id1, Place{ID: id1}},
		{"docker, own parent, systemd", "/build.slice/build-farm.slice/docker-" + id1 + ".scope", docker},
		{"docker, rootless", user + "/user.slice/docker-" + id1 + ".scope", docker},
		{"docker, systemd path for cgroupfs", "/system.slice:docker:" + id1, docker},
		{"docker, that below a service", "/system.slice/docker.service/system.slice:docker:" + id1, docker},
		{"docker, as the API spells it", "system.slice:docker:" + id1, docker},
		{"docker, seen from another cgroup namespace", "/../../docker/" + id1, docker},
		{"docker in docker", "/docker/" + id1 + "/docker/" + id2, Place{ID: id2, Outer: []string{id1}, Runtime: "docker"}},
		{"docker in docker, systemd", "/system.slice/docker-" + id1 + ".scope/docker/" + id2 + "/docker/" + id3, Place{ID: id3, Outer: []string{id1, id2}, Runtime: "docker"}},
		{"docker in a pod", "/kubepods/pod" + uid + "/" + id1 + "/docker/" + id2, Place{ID: id2, Outer: []string{id1}, Runtime: "docker", PodUID: uid}},
		{"ECS", "/ecs/0123456789abcdef0123456789abcdef/" + id1, Place{ID: id1}},
		{"ECS, with the cluster", "/ecs/prod/0123456789abcdef0123456789abcdef/" + id1, Place{ID: id1}},
		{"ECS, systemd", "/ecstasks.slice/ecstasks-0123456789abcdef0123456789abcdef.slice/docker-" + id1 + ".scope", docker},

		{"containerd's ctr and nerdctl, cgroupfs", "/default/" + id1, Place{ID: id1, Runtime: "containerd"}},
		{"nerdctl, own namespace", "/k8s.io/" + id1, Place{ID: id1, Runtime: "containerd"}},
		{"nerdctl, systemd", "/system.slice/nerdctl-" + id1 + ".scope", Place{ID: id1, Runtime: "containerd"}},
		{"nerdctl, rootless", user + "/user.slice/nerdctl-" + id1 + ".scope", Place{ID: id1, Runtime: "containerd"}},

		{"burstable pod, cgroupfs", "/kubepods/burstable/pod" + uid + "/" + id1, Place{ID: id1, PodUID: uid}},
		{"guaranteed pod, cgroupfs", "/kubepods/pod" + uid + "/" + id1, Place{ID: id1, PodUID: uid}},
		{"k3s", "/kubepods/besteffort/pod" + uid + "/" + id1, Place{ID: id1, PodUID: uid}},
		{"k3d: k3s in docker", "/docker/" + id1 + "/kubepods/besteffort/pod" + uid + "/" + id2, Place{ID: id2, Outer: []string{id1}, PodUID: uid}},
		{"containerd, systemd", bestEffort + "/cri-containerd-" + id1 + ".scope", Place{ID: id1, Runtime: "containerd", PodUID: uid}},
		{"guaranteed pod, systemd", "/kubepods.slice/kubepods-pod" + uidInUnit + ".slice/cri-containerd-" + id1 + ".scope", Place{ID: id1, Runtime: "containerd", PodUID: uid}},
		{"cri-dockerd, systemd", burstable + "/docker-" + id1 + ".scope", Place{ID: id1, Runtime: "docker", PodUID: uid}},
		{"kubelet on systemd, containerd not", "/system.slice/containerd.service/kubepods-besteffort-pod" + uidInUnit + ".slice:cri-containerd:" + id1,
			Place{ID: id1, Runtime: "containerd", PodUID: uid}},
		{"that, version 1", "/kubepods-besteffort-pod" + uidInUnit + ".slice:cri-containerd:" + id1, Place{ID: id1, Runtime: "containerd", PodUID: uid}},
		{"static pod, cgroupfs", "/kubepods/burstable/pod" + static + "/" + id1, Place{ID: id1, PodUID: static}},
		{"static pod, systemd", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + static + ".slice/crio-" + id1 + ".scope", Place{ID: id1, Runtime: "cri-o", PodUID: static}},
		{"kind, version 1", "/docker/" + id1 + "/kubelet/kubepods/burstable/pod" + uid + "/" + id2, Place{ID: id2, Outer: []string{id1}, PodUID: uid}},
		{"kind, version 1, slices", "/docker/" + id1 + kind + "/cri-containerd-" + id2 + ".scope", Place{ID: id2, Outer: []string{id1}, Runtime: "containerd", PodUID: uid}},
		{"kind, version 2", "/system.slice/docker-" + id1 + ".scope" + kind + "/cri-containerd-" + id2 + ".scope", Place{ID: id2, Outer: []string{id1}, Runtime: "containerd", PodUID: uid}},
		{"kind, its kubelet is in the node", "/system.slice/docker-" + id1 + ".scope/kubelet.slice/kubelet.service", docker},
		{"a pod's own cgroup", burstable, Place{PodUID: uid}},

		{"cri-o", burstable + "/crio-" + id1 + ".scope", Place{ID: id1, Runtime: "cri-o", PodUID: uid}},
		{"cri-o, crun", burstable + "/crio-" + id1 + ".scope/container", Place{ID: id1, Runtime: "cri-o", PodUID: uid}},
		{"cri-o, cgroupfs", "/kubepods/burstable/pod" + uid + "/crio-" + id1, Place{ID: id1, Runtime: "cri-o", PodUID: uid}},
		{"cri-o's monitor", burstable + "/crio-conmon-" + id1 + ".scope", Place{PodUID: uid}},
		{"cri-o's monitor, cgroupfs", "/kubepods/burstable/pod" + uid + "/crio-conmon-" + id1, Place{PodUID: uid}},
		{"cri-o's monitor in its own slice", "/system.slice/crio-conmon-" + id1 + ".scope", Place{}},

		{"podman", "/machine.slice/libpod-" + id1 + ".scope/container", Place{ID: id1, Runtime: "podman"}},
		{"podman, cgroupfs", "/libpod_parent/libpod-" + id1, Place{ID: id1, Runtime: "podman"}},
		{"podman, rootless", user + "/user.slice/libpod-" + id1 + ".scope/container", Place{ID: id1, Runtime: "podman"}},
		{"podman in a unit", "/system.slice/web.service/libpod-payload-" + id1, Place{ID: id1, Runtime: "podman"}},
		{"podman in a user's unit, systemd inside", user + "/app.slice/web.service/libpod-payload-" + id1 + "/init.scope", Place{ID: id1, Runtime: "podman"}},
		{"podman pod", "/machine.slice/machine-libpod_pod_" + id2 + ".slice/libpod-" + id1 + ".scope", Place{ID: id1, Runtime: "podman"}},
		{"podman pod, rootless", user + "/user.slice/user-libpod_pod_" + id2 + ".slice/libpod-" + id1 + ".scope/container", Place{ID: id1, Runtime: "podman"}},
		{"podman pod, cgroupfs: the pod is no container", "/libpod_parent/" + id2 + "/libpod-" + id1, Place{ID: id1, Runtime: "podman"}},
		{"podman's monitor of a pod, cgroupfs", "/libpod_parent/" + id2 + "/conmon", Place{}},
		{"podman's monitor", "/machine.slice/libpod-conmon-" + id1 + ".scope", Place{}},
		{"podman's monitor, rootless", user + "/user.slice/libpod-conmon-" + id1 + ".scope", Place{}},
		{"podman's monitor in a unit", "/system.slice/web.service/runtime", Place{}},
		{"podman's monitor, cgroupfs", "/libpod_parent/conmon", Place{}},
		{"podman in docker", "/docker/" + id1 + "/libpod_parent/libpod-" + id2, Place{ID: id2, Outer: []string{id1}, Runtime: "podman"}},

		{"buildkit", "/docker/buildkit/5cf82fwiumld3vcs5d5l5pzyv", Place{}},
		{"buildkit in its container", "/docker/" + id1 + "/buildkit/5cf82fwiumld3vcs5d5l5pzyv", docker},
		{"the host's root", "/", Place{}},
		{"nothing", "", Place{}},
		{"a service", "/system.slice/containerd.service", Place{}},
		{"a user's session", "/user.slice/user-1000.slice/session-3.scope", Place{}},
		{"a user's terminal", user + "/app.slice/app-org.gnome.Terminal.slice/vte-spawn-29da79e5-386c-4e0d-82c1-215f93ff955d.scope", Place{}},
		{"the pods' roof", "/kubepods.slice/kubepods-burstable.slice", Place{}},
		{"a mount unit named after a container", "/system.slice/var-lib-docker-containers-" + id1 + "-mounts-shm.mount", Place{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, PlaceOf(tt.in)); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tt.in, diff)
			}
		})
	}
}

// What no runtime writes, or a container writes below its own cgroup.
func TestPlaceOfForged(t *testing.T) {
	const pod = "/kubepods/burstable/pod" + uid + "/"
	docker := Place{ID: id1, Runtime: "docker"}
	for _, tt := range []struct {
		name, in string
		want     Place
	}{
		{"an inner container keeps the real one around it", "/docker/" + id1 + "/docker/" + id2, Place{ID: id2, Outer: []string{id1}, Runtime: "docker"}},
		{"another pod for itself", pod + id1 + "/pod" + other, Place{ID: id1, PodUID: uid}},
		{"a pod out of none", "/docker/" + id1 + "/kubepods/pod" + other, docker},
		{"its own id again", "/docker/" + id1 + "/docker/" + id1, docker},
		{"an outer id again", "/docker/" + id1 + "/docker/" + id2 + "/docker/" + id1, Place{ID: id2, Outer: []string{id1}, Runtime: "docker"}},
		{"to be a monitor", "/docker/" + id1 + "/crio-conmon-" + id2 + ".scope", docker},
		{"to be a monitor by a bare name", "/libpod_parent/libpod-" + id1 + "/conmon", Place{ID: id1, Runtime: "podman"}},
		{"to be in a pod of podman", "/docker/" + id1 + "/libpod_parent/" + id2, docker},

		{"63 digits", "/docker/" + id1[1:], Place{}},
		{"65 digits", "/docker/" + id1 + "0", Place{}},
		{"short id", "/docker/" + id1[:12], Place{}},
		{"upper case", "/docker/" + strings.ToUpper(id1), Place{}},
		{"one letter past f", "/docker/g" + id1[1:], Place{}},
		{"64 bytes, not ASCII", "/docker/" + strings.Repeat("é", 32), Place{}},
		{"63 digits in a scope", "/system.slice/docker-" + id1[1:] + ".scope", Place{}},
		{"65 digits in a scope", "/system.slice/docker-" + id1 + "0.scope", Place{}},
		{"65 digits after colons", "/system.slice:docker:" + id1 + "0", Place{}},
		{"a unit that is no scope", "/system.slice/docker-" + id1 + ".service", Place{}},
		{"text after the id", "/docker/" + id1 + " (deleted)", Place{}},
		{"a prefix that nobody has", "/x/who-" + id1 + ".scope", Place{ID: id1}},
		{"no prefix but the dash", "/-" + id1, Place{ID: id1}},
		{"empty parts", "//docker//" + id1 + "//", Place{ID: id1}},

		{"pod UID too short", "/kubepods/pod" + uid[1:] + "/" + id1, Place{ID: id1}},
		{"pod UID in upper case", "/kubepods/pod" + strings.ToUpper(uid) + "/" + id1, Place{ID: id1}},
		{"pod UID with dashes elsewhere", "/kubepods/pod1c5d0bde130b-4784-a547-f45e6-19f2514/" + id1, Place{ID: id1}},
		{"pod UID of dashes", "/kubepods/pod" + strings.Repeat("-", 200) + strings.ReplaceAll(uid, "-", "") + "/" + id1, Place{ID: id1}},
		{"a word that ends in pod", "/kubepods/tripod" + uid + "/" + id1, Place{ID: id1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, PlaceOf(tt.in)); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tt.in, diff)
			}
		})
	}
}

// A path longer than the kernel's ends at the deepest container that one can have.
func TestPlaceOfIsBounded(t *testing.T) {
	var path strings.Builder
	for n := range 100_000 {
		fmt.Fprintf(&path, "/%064x", n)
	}
	if p := PlaceOf(path.String()); len(p.Outer) != deepest || p.ID != fmt.Sprintf("%064x", deepest) {
		t.Errorf("%d containers around %q", len(p.Outer), p.ID)
	}
}

func FuzzPlaceOf(f *testing.F) {
	for _, seed := range []string{"", "/", "/docker/" + id1 + "/docker/" + id1, "/system.slice:docker:" + id1, "/libpod_parent/" + id1 + "/libpod-" + id2,
		"/kubepods.slice/kubepods-pod" + uidInUnit + ".slice/cri-containerd-" + id1 + ".scope/pod" + other, "/crio-conmon-" + id1 + ".scope", ":-/-:/pod"} {
		f.Add(seed)
	}
	known := []string{"", "docker", "containerd", "cri-o", "podman"}
	f.Fuzz(func(t *testing.T, path string) {
		p := PlaceOf(path)
		ids := p.Outer
		if p.ID != "" {
			ids = append(slices.Clone(ids), p.ID)
		}
		for i, id := range ids {
			if !IsID(id) || !strings.Contains(path, id) || slices.Contains(ids[:i], id) {
				t.Fatalf("%q gave %+v", path, p)
			}
		}
		if p.ID == "" && (p.Runtime != "" || p.Outer != nil) || !slices.Contains(known, p.Runtime) {
			t.Fatalf("%q gave %+v", path, p)
		}
		if n := len(p.PodUID); n != 0 && n != 32 && n != 36 {
			t.Fatalf("%q gave %+v", path, p)
		}
		// Whatever a container nests below its own cgroup, it stays in it and cannot move it to another pod.
		const own = "/kubepods/pod" + uid + "/cri-containerd-" + id3 + ".scope"
		inner := PlaceOf(own + "/" + path)
		if around := append(slices.Clone(inner.Outer), inner.ID); around[0] != id3 {
			t.Fatalf("%q leads out of its container: %+v", path, inner)
		}
		if inner.ID == id3 && inner.PodUID != uid {
			t.Fatalf("%q moved its container to another pod: %+v", path, inner)
		}
	})
}
