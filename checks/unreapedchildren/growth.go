package unreapedchildren

import (
	"fmt"
	"time"

	"sexton.dev/check"
)

// growth is how fast the dead gather.
type growth struct {
	perMinute float64       // 0: not told
	over      time.Duration // that the count is taken over
}

func (g growth) String() string {
	rate := fmt.Sprintf("+%.0f/min", g.perMinute)
	switch perHour := g.perMinute * 60; {
	case g.perMinute < 1 && perHour < 10:
		rate = fmt.Sprintf("+%.1f/h", perHour)
	case g.perMinute < 1:
		rate = fmt.Sprintf("+%.0f/h", perHour)
	case g.perMinute < 10:
		rate = fmt.Sprintf("+%.1f/min", g.perMinute)
	}
	return rate + " over the last " + check.Age(g.over)
}

// many is how many dead tell a rate within ten minutes, and that they began to
// come where older ones stand before a pause.
const many = 8

// growth counts the dead that started in the last ten minutes, or in the last
// hour if those are few or tell nothing. It is a lower bound where children live long.
// Only what comes steadily has a rate: what started in one burst, or stopped
// to come, does not tell when a limit is reached. Without the host's uptime all
// started after now, which is no rate either.
func (f *family) growth() growth {
	var ages []time.Duration // oldest first
	for _, z := range f.dead {
		ages = append(ages, f.host.Taken.Sub(f.host.Started(z)))
	}
	for _, window := range []time.Duration{10 * time.Minute, time.Hour} {
		within := ages
		for len(within) > 0 && within[0] > window {
			within = within[1:]
		}
		n := len(within)
		if n < 2 || n < many && window < time.Hour {
			continue
		}
		if n < len(ages) && steady(within, window) { // older ones show that it has gone on for all of it
			return growth{float64(n) / window.Minutes(), window}
		}
		if oldest := within[0]; (n == len(ages) || n >= many) && steady(within, oldest) {
			return growth{float64(n-1) / oldest.Minutes(), oldest}
		}
	}
	return growth{}
}

// steady reports whether each half of a span has at least a quarter of what started in it.
func steady(ages []time.Duration, over time.Duration) bool {
	early := 0
	for _, age := range ages {
		if age > over/2 {
			early++
		}
	}
	return over >= 2*time.Second && 4*early >= len(ages) && 4*(len(ages)-early) >= len(ages)
}
