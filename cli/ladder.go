package cli

import (
	"fmt"

	"sexton.dev/check"
)

// drawLadder prints the layers of a runtime, the highest first, and marks the first
// that does not answer.
func drawLadder(p *page, ladder []check.Rung) {
	for _, r := range ladder {
		mark, said := "  ", r.Said
		if r.Name != "" && r.Name != r.Layer {
			said = r.Name + ", " + said
		}
		if r.PID != 0 {
			said = fmt.Sprintf("pid %d: %s", r.PID, said)
		}
		if r.Silent {
			mark = "->"
		}
		p.para(fmt.Sprintf("  %s %-12s", mark, r.Layer), said)
		if r.Wait != "" {
			p.para(fmt.Sprintf("     %-12s", ""), "waits: "+r.Wait)
		}
	}
}
