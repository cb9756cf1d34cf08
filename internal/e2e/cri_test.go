package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sexton.dev/internal/hosttest"
)

// A node is a containerd with its CRI plugin, which the tests ask as a kubelet does.
type node struct {
	*containerd
	cri   criv1.RuntimeServiceClient
	image *criv1.ImageSpec
}

// A pod is one sandbox, in the network namespace of its host: that needs no CNI plugin.
type pod struct {
	*node
	id     string
	config *criv1.PodSandboxConfig
}

func startNode(t testing.TB) *node {
	t.Helper()
	n := &node{image: &criv1.ImageSpec{Image: "example.test/" + image + ":1"}}
	n.containerd = startContainerdBy(t, func(d *containerd) string {
		d.space = "k8s.io" // the plugin's own
		return fmt.Sprintf(`[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = %q
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = %q
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = %q
bin_dir = %[3]q
`, n.image.Image, snapshotter(t), d.dir+"/cni")
	})
	conn, err := grpc.NewClient("unix://"+n.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	n.cri = criv1.NewRuntimeServiceClient(conn)
	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(archive, imageArchive(t, n.image.Image, rootTar(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	n.do("images", "import", "--snapshotter", snapshotter(t), archive)
	images := criv1.NewImageServiceClient(conn)
	hosttest.Until(t, soon, "the plugin knows the image", func() bool {
		r, err := images.ImageStatus(t.Context(), &criv1.ImageStatusRequest{Image: n.image})
		return err == nil && r.Image != nil
	})
	return n
}

// snapshotter is containerd's name of docker's [storage].
func snapshotter(t testing.TB) string {
	if storage(t) == "vfs" {
		return "native"
	}
	return "overlayfs"
}

// imageArchive packs one layer as docker save does. Its program waits: as a pod's pause does.
func imageArchive(t testing.TB, name string, layer []byte) []byte {
	t.Helper()
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/bin/sleep", "1000"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	var manifest []byte
	if err == nil {
		manifest, err = json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		data []byte
	}{{"config.json", config}, {"layer.tar", layer}, {"manifest.json", manifest}} {
		if err == nil {
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o644, Size: int64(len(f.data))})
		}
		if err == nil {
			_, err = w.Write(f.data)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pod runs a sandbox, which is removed with all that is in it before the daemon ends.
func (n *node) pod(namespace, name string) *pod {
	n.t.Helper()
	const uid = "5ad5ed8d-60ee-4f4e-8b8e-1b1f4a7e5c11"
	p := &pod{node: n, config: &criv1.PodSandboxConfig{
		Metadata: &criv1.PodSandboxMetadata{Name: name, Uid: uid, Namespace: namespace},
		Labels:   map[string]string{"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace, "io.kubernetes.pod.uid": uid},
		Linux: &criv1.LinuxPodSandboxConfig{
			CgroupParent:    "/" + filepath.Base(work) + "/kubepods/besteffort/pod" + uid,
			SecurityContext: &criv1.LinuxSandboxSecurityContext{NamespaceOptions: &criv1.NamespaceOption{Network: criv1.NamespaceMode_NODE}},
		},
	}}
	r, err := n.cri.RunPodSandbox(n.t.Context(), &criv1.RunPodSandboxRequest{Config: p.config})
	if err != nil {
		n.t.Fatalf("run a pod: %v\n%s", err, n.logged())
	}
	p.id = r.PodSandboxId
	n.t.Cleanup(p.remove)
	return p
}

func (p *pod) remove() {
	p.signal(syscall.SIGCONT)
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	if _, err := p.cri.StopPodSandbox(ctx, &criv1.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		p.t.Errorf("stop the pod: %v\n%s", err, p.logged())
	}
	if _, err := p.cri.RemovePodSandbox(ctx, &criv1.RemovePodSandboxRequest{PodSandboxId: p.id}); err != nil {
		p.t.Errorf("remove the pod: %v\n%s", err, p.logged())
	}
}

// run starts a container in a pod, with a directory of the host's at /data, and returns
// its id and the pid of its first process.
func (p *pod) run(name, data string, argv ...string) (id string, pid int) {
	p.t.Helper()
	created, err := p.cri.CreateContainer(p.t.Context(), &criv1.CreateContainerRequest{PodSandboxId: p.id, SandboxConfig: p.config, Config: &criv1.ContainerConfig{
		Metadata: &criv1.ContainerMetadata{Name: name}, Image: p.image, Command: argv,
		Labels: p.config.Labels,
		Mounts: []*criv1.Mount{{HostPath: data, ContainerPath: "/data"}},
		Linux:  &criv1.LinuxContainerConfig{},
	}})
	if err == nil {
		id = created.ContainerId
		_, err = p.cri.StartContainer(p.t.Context(), &criv1.StartContainerRequest{ContainerId: id})
	}
	if err != nil {
		p.t.Fatalf("run %s in the pod: %v\n%s", name, err, p.logged())
	}
	return id, p.taskPID(id)
}

// What is wrong in a pod is told of the pod, by its namespace and name, and of the
// container in it: dead children, who holds a mount, the shim that serves all of it.
// Above stands the kubelet, where one is seen.
func TestCRI(t *testing.T) {
	n := startNode(t)
	at := n.dir + "/volume"
	err := os.Mkdir(at, 0o755)
	if err == nil {
		err = syscall.Mount("volume", at, "tmpfs", 0, "size=64k")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(at, syscall.MNT_DETACH) })
	p := n.pod("shop", "web-0")
	id, pid := p.run("nginx", at, "/e2e/children", "leave", "3", "ignored")
	hosttest.Until(t, soon, "dead children", func() bool { return len(zombies(pid)) == 3 })
	shim := parentOf(t, pid)
	if sandbox := n.taskPID(p.id); parentOf(t, sandbox) != shim {
		t.Errorf("the pod has more than one shim: %d and %d", shim, parentOf(t, sandbox))
	}
	leavesNothing(t)
	kubelet := play(t, "kubelet", "hangs up", n.dir+"/kubelet.sock", "/")
	here := world{containerd: n.socket, patience: wholeScan}

	t.Run("healthy", func(t *testing.T) {
		r := here.scan(t, findings)
		f := r.only(t, "unreaped-children", "nginx")
		if f.Subject.Container != id || f.Subject.Pod != "shop/web-0" || f.Subject.PID != pid || !strings.Contains(f.Title, "in container nginx of pod shop/web-0") {
			t.Errorf("%+v: %s", f.Subject, f.Title)
		}
		if len(r.Unknown) > 0 || len(r.of("runtime-hung")) > 0 {
			t.Error(r.titles())
		}
		here.sexton(t, "why", "shop/web-0").exits(t, findings).says(t, "pod shop/web-0", f.ID)
		here.sexton(t, "ps").exits(t, clean).says(t, "container nginx, containerd, "+n.image.Image+", running, pod shop/web-0")
	})
	t.Run("holders", func(t *testing.T) {
		h, code := holders(t, here, at)
		var of []string
		for _, x := range h.Holders {
			of = append(of, x.Pod+" "+x.Container)
		}
		if code != findings || !slices.Contains(of, "shop/web-0 "+id) {
			t.Errorf("exit %d, holders of %q", code, of)
		}
	})
	t.Run("shim stopped", func(t *testing.T) {
		stopDaemon(t, shim)
		f := here.hungAt(t, "shim", p.id, shim, "state T")
		if f.Subject.Container != p.id || f.Subject.Pod != "shop/web-0" || !strings.HasPrefix(f.Title, "the shim of pod shop/web-0 (nginx) is the first silent layer") {
			t.Errorf("%+v: %s", f.Subject, f.Title)
		}
		p.laddered(t, f, kubelet, "client containerd shim program program")
	})
	t.Run("containerd stopped", func(t *testing.T) {
		p.logLink(t, "nginx", id)
		stopDaemon(t, n.pid())
		f := here.hungAt(t, "containerd", "", n.pid(), "state T")
		p.laddered(t, f, kubelet, "client containerd")
		if text := fmt.Sprint(f.Evidence); !strings.Contains(text, "nginx of pod shop/web-0") {
			t.Errorf("which pods that concerns is not told: %s", text)
		}
		here.sexton(t, "scan", "--check=unreaped-children").exits(t, findings).says(t, "in container nginx of pod shop/web-0")
	})
}

// logLink makes the link to a container's log that the kubelet makes, where no other
// is: no runtime needs to answer for its names.
func (p *pod) logLink(t *testing.T, name, id string) {
	t.Helper()
	err := syscall.Mount("log", "/var/log", "tmpfs", 0, "size=64k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount("/var/log", syscall.MNT_DETACH) })
	if err = os.Mkdir("/var/log/containers", 0o755); err == nil {
		m := p.config.Metadata
		err = os.Symlink("/nowhere", fmt.Sprintf("/var/log/containers/%s_%s_%s-%s.log", m.Name, m.Namespace, name, id))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// laddered fails the test unless a ladder has these rungs, the kubelet's on top.
func (p *pod) laddered(t *testing.T, f finding, kubelet int, layers string) {
	t.Helper()
	if layersOf(f) != layers || f.Ladder[0].Name != "kubelet" || f.Ladder[0].PID != kubelet {
		t.Errorf("want rungs %s, the first of kubelet (pid %d)\n%s", layers, kubelet, drawn(f))
	}
}
