package stacks

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

// A Match is a known signature and how many goroutines have it.
type Match struct {
	Name       string `json:"name"`
	Says       string `json:"says"`
	Source     string `json:"source"` // where somebody had it
	Goroutines int    `json:"goroutines"`
	Minutes    int    `json:"minutes"` // of the longest wait; -1: the text does not say
	Function   string `json:"function"`
	Dump       int    `json:"dump"`
}

//go:embed signatures.json
var signatures []byte

// known are the signatures and the functions that are known to wait with a lock
// held. Most runs of the program do not need them.
var known = sync.OnceValue(func() knowledge { return load(signatures) })

type knowledge struct {
	Signatures []signature
	Holders    []struct{ Lock, By string } // parts of functions' names, split by |
}

// A signature is told by the functions of a stack: each entry of frames, or one of
// its alternatives, is part of the name of one of them.
type signature struct {
	Name, State, Says, Source string
	Minutes                   int // the least wait
	Frames                    []string
}

func load(text []byte) (k knowledge) {
	if err := json.Unmarshal(text, &k); err != nil {
		panic("signatures.json: " + err.Error()) // it is part of the program, and a test reads it
	}
	return k
}

// has tells whether a name has one of the parts, which are split by |.
func has(name, parts string) bool {
	for part := range strings.SplitSeq(parts, "|") {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// matching finds the signatures of a group, whatever the age of its goroutines.
func matching(n *Group) (out []*signature) {
	all := known().Signatures
	for i := range all {
		s := &all[i]
		if s.State != "" && s.State != n.State {
			continue
		}
		if !slices.ContainsFunc(s.Frames, func(parts string) bool {
			return !slices.ContainsFunc(n.Functions, func(f string) bool { return has(f, parts) })
		}) {
			out = append(out, s)
		}
	}
	return out
}

// matches lists the signatures that goroutines have.
func (f *Folder) matches() []Match {
	out := []Match{}
	for _, n := range f.order {
		if n.blocked() == Idle {
			continue
		}
		for _, s := range matching(&n.Group) {
			if n.Minutes < s.Minutes && (n.Minutes >= 0 || s.Minutes > 1) {
				continue
			}
			i := slices.IndexFunc(out, func(m Match) bool { return m.Name == s.Name && m.Dump == n.Dump })
			if i < 0 {
				i = len(out)
				out = append(out, Match{Name: s.Name, Says: s.Says, Source: s.Source, Dump: n.Dump, Minutes: -2})
			}
			out[i].Goroutines += n.Goroutines
			if n.Minutes > out[i].Minutes {
				out[i].Minutes, out[i].Function = n.Minutes, n.Function
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Match) int { return b.Minutes - a.Minutes })
	return out
}
