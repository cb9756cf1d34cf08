package systemd

import (
	"errors"
	"testing"
)

// What can be refused without systemd is not asked of it. The real one restarts
// in internal/e2e.
func TestRestartRefused(t *testing.T) {
	if _, err := Restart(t.Context(), t.TempDir(), "a.service", Run{}); !errors.Is(err, ErrRefused) {
		t.Errorf("no run named: %v", err)
	}
	if _, err := Restart(t.Context(), t.TempDir(), "a.service", Run{MainPID: 7}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no systemd: %v", err)
	}
	if _, err := runOf(t.Context(), nil, "init.scope"); !errors.Is(err, ErrRefused) {
		t.Errorf("no service: %v", err)
	}
}
