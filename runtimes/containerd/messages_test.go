package containerd

import (
	"testing"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// What the library writes is read back field by field, whatever it holds.
func TestRecordsAsTheLibraryWritesThem(t *testing.T) {
	text := rapid.StringN(0, 40, -1)
	rapid.Check(t, func(t *rapid.T) {
		var list containersapi.ListContainersResponse
		for range rapid.IntRange(0, 5).Draw(t, "containers") {
			list.Containers = append(list.Containers, &containersapi.Container{
				ID: text.Draw(t, "id"), Image: text.Draw(t, "image"), Snapshotter: text.Draw(t, "snapshotter"),
				Runtime: &containersapi.Container_Runtime{Name: text.Draw(t, "runtime")},
				Labels:  rapid.MapOf(text, text).Draw(t, "labels"),
				Spec:    ociSpec(text.Draw(t, "spec")),
			})
		}
		b, err := proto.Marshal(&list)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseRecords(b)
		if err != nil || len(got) != len(list.Containers) {
			t.Fatalf("%d of %d, %v", len(got), len(list.Containers), err)
		}
		for i, want := range list.Containers {
			r := got[i]
			if r.id != want.ID || r.image != want.Image || r.runtime != want.Runtime.Name || r.specType != want.Spec.TypeUrl ||
				string(r.spec) != string(want.Spec.Value) || len(r.labels) != len(want.Labels) {
				t.Errorf("got %+v, want %v", r, want)
			}
			for k, v := range want.Labels {
				if r.labels[k] != v {
					t.Errorf("label %q is %q, want %q", k, r.labels[k], v)
				}
			}
		}
	})
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("\x0a\x06\x0a\x04web1"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = parseVersion(b)
		_, _ = parseNamespaces(b)
		_, _ = parseRecords(b)
		_, _ = parseProcess(b)
	})
}
