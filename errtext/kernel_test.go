package errtext

import (
	"slices"
	"strconv"
	"testing"
)

// kernelFamilies are the names that the kernel log's corpus has for families.
var kernelFamilies = map[string]Family{
	"oom": OOM, "hung-task": RuntimeHang, "soft-lockup": RuntimeHang, "thin-delete-failed": ThinPool, "thinpool": ThinPool,
	"fs-error": Other, "netdevice": Other, "overlay-in-use": MountBusy, "pid-exhaustion": Pids,
}

// Each excerpt of a kernel log gives an event with its family, victim, container and pod.
func TestKernelLog(t *testing.T) {
	for _, r := range rows(t, "kmsg.jsonl") {
		t.Run(r.ID, func(t *testing.T) {
			events := Read([]byte(r.Text))
			if len(events) == 0 {
				t.Fatal("no event")
			}
			if len(events) > 1 && r.ID != "k016" { // three devices
				t.Errorf("%d events: %+v", len(events), events)
			}
			e := events[0]
			pid := ""
			if e.PID != 0 {
				pid = strconv.Itoa(e.PID)
			}
			for _, tt := range []struct{ name, got string }{
				{"container_id", e.Container}, {"pod_uid", e.PodUID}, {"victim_process", e.Process}, {"victim_pid", pid}, {"device", e.Device},
			} {
				var right []string
				add := func(v any) {
					switch v := v.(type) {
					case nil:
						right = append(right, "")
					case string:
						right = append(right, v)
					case float64:
						right = append(right, strconv.Itoa(int(v)))
					}
				}
				add(r.Expect[tt.name])
				more, _ := r.Expect[tt.name+"_alt"].([]any)
				for _, v := range more {
					add(v)
				}
				if !slices.Contains(right, tt.got) {
					t.Errorf("%s is %q, want one of %q\n%s", tt.name, tt.got, right, r.Text)
				}
			}
			if want := kernelFamilies[r.Expect["family"].(string)]; e.Family != want || e.Runtime != "kernel" {
				t.Errorf("%s by %q, want %s by kernel", e.Family, e.Runtime, want)
			}
		})
	}
}
