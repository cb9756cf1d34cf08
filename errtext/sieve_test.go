package errtext

import (
	"strings"
	"testing"
)

// A sieve finds what a search for each phrase finds.
func TestSieve(t *testing.T) {
	phrases := []string{"busy", "err", "not ", "目标忙"}
	s := newSieve(phrases)
	for _, text := range []string{"", "b", "bu", "bus", "busy", "xbusy", "er", "terr", "not", "not ", "this is not it", "umount: /x: 目标忙", "目标", strings.Repeat("bus", 99)} {
		if _, want := hasAny(text, phrases...); s.in(text) != want {
			t.Errorf("%q: %v, want %v", text, !want, want)
		}
	}
}
