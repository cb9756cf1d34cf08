package e2e

import (
	"encoding/json"
	"testing"
)

// A process is an item of ps -o json, by its contract.
type process struct {
	PID       int    `json:"pid"`
	PPID      int    `json:"ppid"`
	TIDs      []int  `json:"tids"`
	Comm      string `json:"comm"`
	State     string `json:"state"`
	Container string `json:"container"`
	Zombies   int    `json:"zombies"`
	SIGCHLD   string `json:"sigchld"`
}

// processes decodes what ps -o json printed.
func processes(t testing.TB, r run) map[int]process {
	t.Helper()
	var list struct {
		APIVersion string    `json:"apiVersion"`
		Kind       string    `json:"kind"`
		Items      []process `json:"items"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || list.APIVersion != "sexton/v1" || list.Kind != "Processes" {
		t.Fatalf("%v\n%s", err, r)
	}
	out := map[int]process{}
	for _, p := range list.Items {
		out[p.PID] = p
	}
	if out[1].PID != 1 || len(out[1].TIDs) == 0 {
		t.Fatalf("no process 1, or without threads\n%s", r)
	}
	return out
}
