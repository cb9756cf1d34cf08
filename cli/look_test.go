package cli

import (
	"strings"
	"testing"
	"time"
)

// A host that is only busy is not told to have a kernel that hangs.
func TestOverdue(t *testing.T) {
	for _, tt := range []struct {
		blocked   bool
		want, not string
	}{
		{true, "within 30s: the kernel does not return from a read", "busy"},
		{false, "--timeout 2m0s", "kernel"},
	} {
		text := overdue(30*time.Second, tt.blocked)
		if !strings.Contains(text, tt.want) || strings.Contains(text, tt.not) || strings.Count(text, "\n") != 2 {
			t.Errorf("blocked %v: %s", tt.blocked, text)
		}
	}
}
