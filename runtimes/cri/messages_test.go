package cri

import (
	"testing"

	"google.golang.org/protobuf/proto"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
	"pgregory.net/rapid"
)

// What the library writes is read back field by field, whatever it holds.
func TestMessagesAsTheLibraryWritesThem(t *testing.T) {
	text := rapid.StringN(0, 40, -1)
	rapid.Check(t, func(t *rapid.T) {
		p := &criv1.PodSandbox{Id: text.Draw(t, "id"), State: criv1.PodSandboxState(rapid.IntRange(0, 1).Draw(t, "state")), CreatedAt: 7,
			Metadata: &criv1.PodSandboxMetadata{Name: text.Draw(t, "name"), Uid: text.Draw(t, "uid"), Namespace: text.Draw(t, "namespace"), Attempt: 3}}
		c := &criv1.Container{Id: text.Draw(t, "id"), PodSandboxId: text.Draw(t, "pod"), Metadata: &criv1.ContainerMetadata{Name: text.Draw(t, "name")},
			Image:    &criv1.ImageSpec{Image: text.Draw(t, "image"), UserSpecifiedImage: text.Draw(t, "user image")},
			ImageRef: text.Draw(t, "image ref"), State: criv1.ContainerState(rapid.IntRange(0, 3).Draw(t, "state")),
			Labels: map[string]string{"a": text.Draw(t, "label")}, Annotations: map[string]string{"b": "c"}}
		b, err := proto.Marshal(&criv1.ListPodSandboxResponse{Items: []*criv1.PodSandbox{p, p}})
		if err != nil {
			t.Fatal(err)
		}
		pods, err := parsePods(b)
		want := pod{id: p.Id, name: p.Metadata.Name, uid: p.Metadata.Uid, namespace: p.Metadata.Namespace, state: uint64(p.State)}
		if err != nil || len(pods) != 2 || pods[0] != want || pods[1] != want {
			t.Errorf("got %+v, %v, want %+v", pods, err, want)
		}
		if b, err = proto.Marshal(&criv1.ListContainersResponse{Containers: []*criv1.Container{c}}); err != nil {
			t.Fatal(err)
		}
		list, err := parseRecords(b)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d, %v", len(list), err)
		}
		r := list[0]
		if r.id != c.Id || r.pod != c.PodSandboxId || r.name != c.Metadata.Name || r.image != c.Image.Image || r.userImage != c.Image.UserSpecifiedImage ||
			r.imageReference != c.ImageRef || r.state != uint64(c.State) || len(r.labels) != 1 || r.labels["a"] != c.Labels["a"] {
			t.Errorf("got %+v, want %v", r, c)
		}
	})
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("\x0a\x04\x0a\x02p1"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _, _ = parseVersion(b)
		_, _ = parsePods(b)
		_, _ = parseRecords(b)
	})
}
