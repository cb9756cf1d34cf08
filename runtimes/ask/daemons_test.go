package ask

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sexton.dev/internal/hosttest"
	"sexton.dev/runtimes"
)

// imageName is that of an image with a static busybox, made by hand.
const imageName = "sexton.test/sleep:1"

// layer is the image's file system, also the input of docker import.
func layer(t *testing.T) []byte {
	t.Helper()
	p, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	return tarOf(t, "bin/sleep", busybox)
}

func tarOf(t *testing.T, nameAndBytes ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(nameAndBytes); i += 2 {
		text := nameAndBytes[i+1].([]byte)
		if err := w.WriteHeader(&tar.Header{Name: nameAndBytes[i].(string), Mode: 0o755, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writeImage writes what docker save would.
//
// Source: moby image/spec/spec.md v1.2.
func writeImage(t *testing.T, dir string) string {
	t.Helper()
	files := layer(t)
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/sleep","1000"],"Env":["PATH=/bin"]},
		"rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, sha256.Sum256(files))
	manifest := fmt.Appendf(nil, `[{"Config":"config.json","RepoTags":[%q],"Layers":["layer.tar"]}]`, imageName)
	p := filepath.Join(dir, "image.tar")
	if err := os.WriteFile(p, tarOf(t, "manifest.json", manifest, "config.json", config, "layer.tar", files), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func testContainerd(t *testing.T, dir string, s runtimes.Socket, daemon int) {
	rootfs := filepath.Join(dir, "rootfs")
	bin := filepath.Join(rootfs, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tar", "x", "-C", rootfs)
	cmd.Stdin = bytes.NewReader(layer(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, id := range []string{"c1", "c2"} {
		ctr(t, "run", "-d", "--rootfs", "--cgroup", group(dir)+"/"+id, "--env", "PASSWORD=SECRET", "--label", "token=SECRET",
			"--label", "nerdctl/name=name-of-"+id, rootfs, id, "/bin/sleep", "1000")
	}
	ctr(t, "containers", "create", "--rootfs", rootfs, "c3", "/bin/sleep", "1000")

	got := healthy(t, s).Containers
	if len(got) != 3 || got[0].PID == 0 {
		t.Fatalf("%+v", got)
	}
	const tasks = "/run/containerd/io.containerd.runtime.v2.task/default/"
	want := []runtimes.Container{
		{ID: "c1", Namespace: "default", Name: "name-of-c1", State: "running", PID: got[0].PID, Bundle: tasks + "c1", RootFS: rootfs, CgroupPath: group(dir) + "/c1"},
		{ID: "c2", Namespace: "default", Name: "name-of-c2", State: "running", PID: got[1].PID, Bundle: tasks + "c2", RootFS: rootfs, CgroupPath: group(dir) + "/c2"},
		{ID: "c3", Namespace: "default", Bundle: tasks + "c3", RootFS: rootfs, CgroupPath: "/default/c3"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if config, err := os.ReadFile(got[0].Bundle + "/config.json"); err != nil || !bytes.Contains(config, []byte("SECRET")) {
		t.Errorf("not a bundle: %v, %s", err, config)
	}
	if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", got[0].PID)); string(comm) != "sleep\n" {
		t.Errorf("pid %d is %q, %v", got[0].PID, comm, err)
	}

	stopped(t, parent(t, got[0].PID), func() {
		a := sick(t, s, "state unknown: c1 in default (", runtimes.ErrPartial)
		if len(a.Containers) != 3 || a.Containers[0].State != "unknown" || a.Containers[1].State != "running" {
			t.Errorf("%+v", a.Containers)
		}
	})
	stopped(t, daemon, func() { sick(t, s, `accepted the connection, did not answer "version"`, runtimes.ErrSilent) })
	if diff := cmp.Diff(want, healthy(t, s).Containers); diff != "" {
		t.Errorf("after it all (-want +got):\n%s", diff)
	}
}

func testCRI(t *testing.T, dir, image string, sockets []runtimes.Socket) {
	ctr(t, "-n", "k8s.io", "images", "import", image)
	cc, err := grpc.NewClient("unix://"+sockets[1].Path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	api := criv1.NewRuntimeServiceClient(cc)
	host := &criv1.NamespaceOption{Network: criv1.NamespaceMode_NODE, Pid: criv1.NamespaceMode_CONTAINER}
	podConfig := &criv1.PodSandboxConfig{
		Metadata: &criv1.PodSandboxMetadata{Name: "web-0", Namespace: "shop", Uid: "u1"}, LogDirectory: dir,
		Labels: map[string]string{"io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "u1", "token": "SECRET"},
		Linux:  &criv1.LinuxPodSandboxConfig{CgroupParent: group(dir), SecurityContext: &criv1.LinuxSandboxSecurityContext{NamespaceOptions: host}},
	}
	pod, err := api.RunPodSandbox(t.Context(), &criv1.RunPodSandboxRequest{Config: podConfig})
	if err != nil {
		t.Fatal(err)
	}
	made, err := api.CreateContainer(t.Context(), &criv1.CreateContainerRequest{PodSandboxId: pod.PodSandboxId, SandboxConfig: podConfig,
		Config: &criv1.ContainerConfig{Metadata: &criv1.ContainerMetadata{Name: "nginx"}, Image: &criv1.ImageSpec{Image: imageName},
			Labels: map[string]string{"io.kubernetes.container.name": "nginx", "io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "u1"},
			Envs:   []*criv1.KeyValue{{Key: "PASSWORD", Value: []byte("SECRET")}},
			Linux:  &criv1.LinuxContainerConfig{SecurityContext: &criv1.LinuxContainerSecurityContext{NamespaceOptions: host}}}})
	if err != nil {
		t.Fatal(err)
	}
	got := healthy(t, sockets[1])
	if got.APIVersion != "v1" {
		t.Errorf("API %q", got.APIVersion)
	}
	c := one(t, got, func(c runtimes.Container) bool { return !c.Sandbox })
	want := runtimes.Container{ID: made.ContainerId, Name: "nginx", Image: c.Image, State: "created", Pod: "web-0", PodNS: "shop", PodUID: "u1"}
	if diff := cmp.Diff(want, c); diff != "" || c.Image == "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := api.StartContainer(t.Context(), &criv1.StartContainerRequest{ContainerId: made.ContainerId}); err != nil {
		t.Fatal(err)
	}
	both := healthy(t, sockets[1])
	want.State = "running"
	if diff := cmp.Diff(want, one(t, both, func(c runtimes.Container) bool { return !c.Sandbox })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = runtimes.Container{ID: pod.PodSandboxId, State: "running", Pod: "web-0", PodNS: "shop", PodUID: "u1", Sandbox: true}
	if diff := cmp.Diff(want, one(t, both, func(c runtimes.Container) bool { return c.Sandbox })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	sameByContainerd(t, sockets[0], both.Containers)
	t.Run("acts", func(t *testing.T) { testCRIActs(t, sockets[1].Path, made.ContainerId) })
	if _, err := api.RemovePodSandbox(t.Context(), &criv1.RemovePodSandboxRequest{PodSandboxId: pod.PodSandboxId}); err != nil {
		t.Error(err)
	}
}

// sameByContainerd checks that containerd's own API names a pod's containers as
// the CRI does.
func sameByContainerd(t *testing.T, s runtimes.Socket, containers []runtimes.Container) {
	t.Helper()
	answer := healthy(t, s)
	for _, want := range containers {
		got := one(t, answer, func(c runtimes.Container) bool { return c.ID == want.ID })
		if got.Namespace != "k8s.io" || got.PID == 0 || !strings.HasSuffix(got.CgroupPath, "/"+want.ID) || got.RootFS != got.Bundle+"/rootfs" {
			t.Errorf("%+v", got)
		}
		if _, err := os.Stat(got.RootFS + "/bin/sleep"); err != nil {
			t.Error(err)
		}
		want.Namespace, want.PID, want.Image = got.Namespace, got.PID, got.Image
		want.Bundle, want.RootFS, want.CgroupPath = got.Bundle, got.RootFS, got.CgroupPath
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-cri +containerd):\n%s", diff)
		}
	}
}

func testDocker(t *testing.T, dir string, ctrd runtimes.Socket, containerd int) {
	start(t, dir, "dockerd", "--data-root", filepath.Join(dir, "docker"), "--exec-root", "/run/docker", "--pidfile", filepath.Join(dir, "dockerd.pid"),
		"--containerd", ctrd.Path, "-H", "unix:///run/docker.sock", "--bridge=none", "--iptables=false", "--ip6tables=false",
		"--storage-driver=vfs", "--oom-score-adjust=0")
	s := runtimes.Socket{Kind: runtimes.Docker, Path: "/run/docker.sock"}
	if a := healthy(t, s); len(a.Containers) > 0 || a.APIVersion == "" || a.Version == "" {
		t.Errorf("%+v", a)
	}
	cli, err := client.NewClientWithOpts(client.WithHost("unix:///run/docker.sock"), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	ctx := t.Context()
	said, err := cli.ImageImport(ctx, image.ImportSource{Source: bytes.NewReader(layer(t)), SourceName: "-"}, imageName, image.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, said)
	said.Close()
	made, err := cli.ContainerCreate(ctx, &container.Config{Image: imageName, Cmd: []string{"/bin/sleep", "1000"}, Env: []string{"PASSWORD=SECRET"},
		Labels:      map[string]string{"token": "SECRET"},
		Healthcheck: &container.HealthConfig{Test: []string{"CMD", "/bin/sleep", "0"}}},
		&container.HostConfig{NetworkMode: "none", Resources: container.Resources{CgroupParent: group(dir)}}, nil, nil, "web")
	if err != nil {
		t.Fatal(err)
	}
	want := runtimes.Container{ID: made.ID, Name: "web", Image: imageName, State: "created", Status: "Created"}
	if diff := cmp.Diff([]runtimes.Container{want}, healthy(t, s).Containers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := cli.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	var got runtimes.Container
	hosttest.Until(t, enough, "web is up", func() bool {
		got = one(t, healthy(t, s), func(runtimes.Container) bool { return true })
		return got.State == "running"
	})
	if !got.Health || !strings.HasPrefix(got.Status, "Up ") {
		t.Errorf("%+v", got)
	}
	moby := one(t, healthy(t, ctrd), func(c runtimes.Container) bool { return c.ID == made.ID })
	if moby.Namespace != "moby" || moby.State != "running" || moby.PID == 0 || moby.CgroupPath != group(dir)+"/"+made.ID ||
		!strings.HasPrefix(moby.RootFS, dir) || !strings.HasSuffix(moby.Bundle, "/moby/"+made.ID) {
		t.Errorf("%+v", moby)
	}
	stopped(t, containerd, func() {
		a := sick(t, s, `the version is not told (the daemon asks containerd for it): accepted the connection, did not answer "version"`, runtimes.ErrPartial)
		if len(a.Containers) != 1 {
			t.Errorf("%+v", a)
		}
	})
}
