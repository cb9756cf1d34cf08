package runtimes

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListeners(t *testing.T) {
	forged := unixTable + "x\n0: 2 0 00010000 0001 01 652 /tmp/elsewhere\n"
	for text, want := range map[string]map[uint64]string{
		"":        {},
		unixTable: {652: "/run/docker.sock", 41000: "/var/run/podman/podman.sock"},
		forged:    {41000: "/var/run/podman/podman.sock"},
	} {
		if diff := cmp.Diff(want, listeners([]byte(text))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}
