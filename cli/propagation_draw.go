package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sexton.dev/propagation"
	"sexton.dev/propagation/verdict"
)

// draw prints the parent chains, then the verdicts, those that read alike as one.
func (r *propagationReport) draw(p *page, wide bool) {
	if r.Target != "" {
		p.line("%s", styled{bold, r.Target})
	}
	for _, n := range r.Namespaces {
		p.line("  in %s: %s%s", n.Name, groups(n.Propagation, n.Shared, n.Master), lockWords[n.Locked])
		r.drawChain(p, n.Name)
	}
	for _, from := range r.froms() {
		p.line("")
		p.line("an unmount in %s", styled{bold, from})
		for _, f := range r.Refused {
			if f.From == from {
				p.para("  ", f.Why)
			}
		}
		r.drawVerdicts(p, from, wide)
	}
	r.drawLocks(p)
	if r.Differ {
		p.line("")
		p.para("", "Kernels before 6.17 and later ones do not agree here; this is the answer for "+r.Kernel+". See --kernel and --self-test.")
	}
	r.drawRule(p)
	for _, u := range r.Unknown {
		p.para("unknown  ", u)
	}
}

// drawRule says which rule the self-test has found.
func (r *propagationReport) drawRule(p *page) {
	if r.Rule.By != "self-test" {
		return
	}
	text := "This kernel unmounts by the rule of kernels " + r.Rule.Kernel + ": found by trying."
	if r.Rule.Against {
		text += " Its release suggests the other one: the change was ported, or taken back."
	}
	if r.Target != "" {
		p.line("")
	}
	p.para("", text)
}

var lockWords = map[string]string{"yes": ", locked", "likely": ", likely locked", "no": ", not locked", "unlikely": ", likely not locked"}

// drawLocks says what a lock is and how sure that is, where one is spoken of.
func (r *propagationReport) drawLocks(p *page) {
	words := map[string]string{}
	for _, n := range r.Namespaces {
		if n.Locked != "" {
			words[n.Locked] = n.Name
		}
	}
	if words["yes"]+words["likely"] != "" {
		p.line("")
		p.para("", "A locked mount came with its parent from a more privileged user namespace: it cannot be unmounted there on its own, not by root either (EINVAL), but it goes with its parent and with the original.")
	}
	if words["likely"]+words["unlikely"] != "" {
		p.para("", "No table shows locks: \"likely\" is what the owners of the namespaces and the numbers of the mounts suggest. --probe-locks asks the kernel.")
	}
}

// drawChain prints the mounts from the root down to the target as a tree.
func (r *propagationReport) drawChain(p *page, name string) {
	var chain []verdict.Link
	for _, l := range r.Chain {
		if l.Namespace == name {
			chain = append(chain, l)
		}
	}
	for i := len(chain) - 1; i >= 0; i-- {
		l, depth := chain[i], len(chain)-1-i
		mark := ""
		if l.Propagation == "private" && i > 0 {
			mark = "   <- private: nothing passes here"
		}
		indent := "    "
		if depth > 0 {
			indent += strings.Repeat("   ", depth-1) + "└─ "
		}
		p.line("%s%s  %s%s", indent, l.Path, styled{dim, groups(l.Propagation, l.Shared, l.Master)}, mark)
	}
}

// groups is the tags of a mount, or its kind if it has none.
func groups(kind string, shared, master uint64) string {
	return cmp.Or(propagation.Tags(shared, master), kind)
}

func (r *propagationReport) froms() []string {
	var out []string
	for _, v := range r.Verdicts {
		if len(out) == 0 || out[len(out)-1] != v.From {
			out = append(out, v.From)
		}
	}
	for _, f := range r.Refused {
		if !slices.Contains(out, f.From) {
			out = append(out, f.From) // nobody else has it
		}
	}
	return out
}

func (r *propagationReport) drawVerdicts(p *page, from string, wide bool) {
	type answer struct{ verdict, why string }
	names, reasons := map[answer][]string{}, map[answer]string{}
	var order []answer
	for _, v := range r.Verdicts {
		if v.From != from {
			continue
		}
		a := answer{v.Verdict, v.Why}
		if wide || v.Why == "" {
			a.why = v.Why
		} else { // the same reason in two namespaces differs in the name alone
			a.why = strings.Replace(v.Why, " in "+v.To, " there", 1)
			a.why = strings.Replace(a.why, "in "+v.To+" ", "there ", 1)
		}
		if names[a] == nil {
			order = append(order, a)
		}
		names[a], reasons[a] = append(names[a], v.To), v.Why
	}
	colors := map[string]style{verdict.Stays: yellow, verdict.Unknown: dim}
	for _, a := range order {
		who := names[a]
		const most = 3
		text := strings.Join(who[:min(most, len(who))], ", ")
		if len(who) > most {
			text += fmt.Sprintf(" and %d more", len(who)-most)
		}
		p.line("  %s in %s", styled{colors[a.verdict], fmt.Sprintf("%-7s", a.verdict)}, text)
		if !slices.ContainsFunc(r.Refused, func(f verdict.Refusal) bool { return f.From == from && f.Why == reasons[a] }) {
			p.para("          ", a.why)
		}
	}
}

// dot writes the verdicts as a graph for Graphviz.
func (r *propagationReport) dot() string {
	var b strings.Builder
	quote := func(text string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(printable(text)) + `"`
	}
	b.WriteString("digraph propagation {\n\trankdir=LR;\n\tnode [shape=box];\n")
	for _, n := range r.Namespaces {
		fmt.Fprintf(&b, "\tsubgraph %s {\n\t\tlabel=%s;\n", quote("cluster "+n.Name), quote(n.Name))
		below := ""
		for i, l := range r.Chain {
			if l.Namespace != n.Name {
				continue
			}
			node := fmt.Sprintf("%s#%d", n.Name, i)
			fmt.Fprintf(&b, "\t\t%s [label=%s];\n", quote(node), quote(l.Path+" ("+groups(l.Propagation, l.Shared, l.Master)+")"))
			if below == "" {
				fmt.Fprintf(&b, "\t\t%s [shape=point];\n", quote("at "+n.Name))
				fmt.Fprintf(&b, "\t\t%s -> %s [style=invis];\n", quote("at "+n.Name), quote(node))
			} else {
				fmt.Fprintf(&b, "\t\t%s -> %s [arrowhead=none];\n", quote(node), quote(below))
			}
			below = node
		}
		b.WriteString("\t}\n")
	}
	looks := map[string]string{verdict.Goes: "solid", verdict.Stays: "dashed", verdict.Unknown: "dotted"}
	for _, v := range r.Verdicts {
		fmt.Fprintf(&b, "\t%s -> %s [style=%s,label=%s,tooltip=%s];\n", quote("at "+v.From), quote("at "+v.To), looks[v.Verdict], quote(v.Verdict), quote(v.Why))
	}
	b.WriteString("}\n")
	return b.String()
}
