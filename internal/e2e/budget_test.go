package e2e

import (
	"strings"
	"testing"
)

// A limit that is nearly spent is a warning, one that refuses forks now is
// critical; each names its container and who uses it.
func TestPIDBudget(t *testing.T) {
	d := startDocker(t)
	crowd := d.run("crowd", []string{"--pids-limit=50"}, "/e2e/children", "hold", "44").ready()
	press := d.run("press", []string{"--pids-limit=20"}, "/e2e/children", "press").ready()
	d.run("roomy", []string{"--pids-limit=50"}, "/e2e/children", "hold", "30").ready()
	leavesNothing(t)
	r := world{docker: d.socket}.scan(t, findings)
	for _, tt := range []struct {
		*container
		severity, title, harm string
	}{
		{crowd, "warning", "45 of 50 pids", "When it is spent fork and clone fail with EAGAIN"},
		{press, "critical", "20 of 20 pids", "refused between the two looks: fork and clone fail with EAGAIN now"},
	} {
		f := r.only(t, "pid-budget", tt.name)
		if f.Severity != tt.severity || f.Subject.Kind != "container" || f.Subject.Container != tt.id {
			t.Errorf("%s: severity %s, subject %+v", tt.name, f.Severity, f.Subject)
		}
		if !strings.Contains(f.Title, tt.title) || !strings.Contains(f.Harm, tt.harm) || !strings.Contains(f.Cause, "children (pid ") {
			t.Errorf("%s: %s. %s. %s", tt.name, f.Title, f.Cause, f.Harm)
		}
	}
	if n := len(r.of("pid-budget")); n != 2 {
		t.Errorf("%d budgets, want 2: %s", n, r.titles())
	}
}
