package runtimes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePodLog(t *testing.T) {
	id := strings.Repeat("0f", 32)
	for _, tt := range []struct {
		name, in string
		want     Container // zero: it is none
	}{
		{"plain", "web-0_shop_nginx-" + id + ".log", Container{ID: id, Name: "nginx", Pod: "web-0", PodNS: "shop"}},
		{"dashes", "kube-proxy-x7_kube-system_kube-proxy-" + id + ".log", Container{ID: id, Name: "kube-proxy", Pod: "kube-proxy-x7", PodNS: "kube-system"}},
		{"no log", "web-0_shop_nginx-" + id, Container{}},
		{"cut", "web-0_shop_nginx-" + id[:60] + ".log", Container{}},
		{"another's id", "web-0_shop_nginx-" + strings.ToUpper(id) + ".log", Container{}},
		{"no dash", "web-0_shop_nginx_" + id + ".log", Container{}},
		{"no container", "web-0_shop_-" + id + ".log", Container{}},
		{"no pod", "_shop_nginx-" + id + ".log", Container{}},
		{"too many words", "web_0_shop_nginx-" + id + ".log", Container{}},
		{"empty", "", Container{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parsePodLog(tt.in)
			if !ok {
				got = Container{}
			}
			if ok != (tt.want.ID != "") || !cmp.Equal(got, tt.want) {
				t.Errorf("%+v, %v, want %+v", got, ok, tt.want)
			}
		})
	}
}

func TestPodLogs(t *testing.T) {
	root, id := t.TempDir(), strings.Repeat("0f", 32)
	if got, err := PodLogs(root); err != nil || len(got) > 0 {
		t.Errorf("no kubelet: %+v, %v", got, err)
	}
	dir := filepath.Join(root, podLogs)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web-0_shop_nginx-" + id + ".log", "README"} {
		if err := os.Symlink("/nowhere", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := PodLogs(root)
	if want := []Container{{ID: id, Name: "nginx", Pod: "web-0", PodNS: "shop"}}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
