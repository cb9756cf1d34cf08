package collect

import (
	"fmt"
	"strings"
	"testing"

	"sexton.dev/snapshot"
)

// What no runtime names is named by the kubelet's links to logs, and nothing else is.
func TestPodLogs(t *testing.T) {
	const uid = "5ad5ed8d-60ee-4f4e-8b8e-1b1f4a7e5c11"
	id := func(digit string) string { return strings.Repeat(digit, 64) }
	f := newHost()
	for pid, place := range map[int]string{
		71: "/kubepods/besteffort/pod" + uid + "/" + id("a"), // nginx
		72: "/kubepods/besteffort/pod" + uid + "/" + id("b"), // its sandbox, which has no log
		73: "/docker/" + id("c"),                             // of no pod, though a log has its id
		74: "/kubepods/pod" + strings.Replace(uid, "5", "6", 1) + "/" + id("d"),
	} {
		f.process(pid, 1, "S", "program", map[string]any{"cgroup": "0::" + place + "\n"})
	}
	f["ask/sockets"] = "[]"
	log := func(digit, pod string) string {
		return fmt.Sprintf(`{"id":%q,"name":"nginx","pod":%q,"podNamespace":"shop"}`, id(digit), pod)
	}
	f["ask/pod-logs"] = "[" + log("a", "web-0") + "," + log("c", "forged") + "," + log("e", "gone") + "]"
	_, h := Looks(t.Context(), f, nil, Options{Parts: []snapshot.Part{snapshot.Names, snapshot.Places}})
	got := map[string]string{}
	for _, c := range h.Containers {
		got[c.ID[:1]] = c.Pod + " " + c.Name
	}
	want := map[string]string{"a": "shop/web-0 nginx", "b": "shop/web-0 ", "c": " ", "d": " "}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("named %q, want %q", got, want)
	}
}
