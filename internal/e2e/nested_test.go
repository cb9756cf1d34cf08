package e2e

import (
	"path/filepath"
	"slices"
	"testing"
)

// In a PID namespace below the machine's first, as in a container without
// --pid=host, there is no clear answer but with --nested.
func TestNested(t *testing.T) {
	sandboxed(t)
	leavesNothing(t)
	file := filepath.Join(t.TempDir(), "host.tar.zst")
	const quick = "--interval=100ms"
	for _, tt := range []struct {
		name          string
		argv          []string
		alone, within int // exit codes
		says          string
	}{
		{"scan", []string{"scan", quick, "--check=no-init"}, cantTell, clean, "it cannot be told that nothing is wrong"},
		{"why", []string{"why", quick, "1"}, cantTell, clean, "it cannot be told that nothing is wrong with it"},
		{"why of whom it does not see", []string{"why", quick, "4194304"}, failed, failed, "what is outside of this PID namespace is not seen"},
		{"heal", []string{"heal", quick}, cantTell, clean, "Whether there is something to heal cannot be told"},
		{"holders", []string{"holders", "nobody-has-this"}, cantTell, clean, "cannot tell whether anything holds it"},
		{"ps", []string{"ps"}, clean, clean, "Cannot tell"},
		{"propagation", []string{"propagation", "/"}, clean, clean, "unknown"},
		{"record", []string{"record", quick, file}, clean, 0, "Cannot tell"},
		{"from a recording", []string{"scan", "--from", file, "--check=no-init"}, cantTell, clean, "it cannot be told that nothing is wrong"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			argv := append([]string{sexton()}, tt.argv...)
			says := []string{tt.says}
			if tt.alone != failed {
				says = append(says, "processes and mount namespaces outside of this PID namespace: this /proc does not show them")
			}
			world{}.exec(t, argv...).exits(t, tt.alone).says(t, says...)
			if !slices.Contains(tt.argv, "record") {
				world{}.exec(t, append(argv, "--nested")...).exits(t, tt.within)
			}
		})
	}
}
