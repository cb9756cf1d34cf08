package errtext

import (
	"strings"
	"sync"
)

// A sieve tells whether a text has one of many phrases, in one pass over it.
type sieve struct {
	bits    [1 << 10]uint64     // of each triple's hash that a phrase begins with
	phrases map[uint16][]string // by that hash
}

// newSieve takes phrases of three bytes and more.
func newSieve(phrases []string) *sieve {
	s := &sieve{phrases: map[uint16][]string{}}
	for _, p := range phrases {
		h := triple(p[0], p[1], p[2])
		s.bits[h>>6] |= 1 << (h & 63)
		s.phrases[h] = append(s.phrases[h], p)
	}
	return s
}

func triple(a, b, c byte) uint16 { return uint16(a) ^ uint16(b)<<4 ^ uint16(c)<<8 }

// in tells whether text has one of the phrases.
func (s *sieve) in(text string) bool {
	for i := 0; i+2 < len(text); i++ {
		h := triple(text[i], text[i+1], text[i+2])
		if s.bits[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, p := range s.phrases[h] {
			if strings.HasPrefix(text[i:], p) {
				return true
			}
		}
	}
	return false
}

// lazySieve makes a sieve when it is asked for first.
func lazySieve(phrases []string) func() *sieve {
	return sync.OnceValue(func() *sieve { return newSieve(phrases) })
}

// ruleset are rules of which most texts have no phrase.
type ruleset struct {
	rules   []rule
	phrases func() *sieve
}

func newRuleset(rules []rule) ruleset {
	return ruleset{rules, sync.OnceValue(func() *sieve {
		var all []string
		for _, r := range rules {
			all = append(all, r.any...)
		}
		return newSieve(all)
	})}
}

// first gives the verdict of the first rule that matches.
func (s ruleset) first(low string) (verdict, bool) {
	if !s.phrases().in(low) {
		return verdict{}, false
	}
	return first(s.rules, low)
}

var certainRules, noLeakRules, likelyRules, restRules = newRuleset(certain), newRuleset(noLeaks), newRuleset(likely), newRuleset(rest)
