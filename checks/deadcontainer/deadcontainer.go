package deadcontainer

import (
	_ "embed"
	"fmt"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "dead-container"

// Check reports each container that its runtime calls dead.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Names, snapshot.MountTables},
	Run:   run,
}

func run(p check.Pass) []check.Finding {
	var found []check.Finding
	for i := range p.Now.Containers {
		if c := &p.Now.Containers[i]; c.State == "dead" {
			found = append(found, finding(p.Now, c))
		}
	}
	return found
}

func finding(h *snapshot.Host, c *snapshot.Container) check.Finding {
	label := check.ContainerName(h, c.ID)
	f := check.Finding{
		ID:       name + "/" + c.ID,
		Severity: check.Warning,
		Subject:  check.Subject{Kind: "container", Name: label, Container: c.ID, Pod: c.Pod},
		Title:    fmt.Sprintf("container %s is dead: its removal began and failed", label),
		Cause:    "Something kept what the removal had to delete; nothing has it mounted now",
		Harm:     "Its name, and the space of its layer, stay taken, and its pod stays Terminating; nobody tries again by itself",
		Evidence: []check.Evidence{{Source: c.Runtime, Text: "state " + c.State}},
		Remedies: []check.Remedy{{Action: "retry-remove", Risk: "disruptive", Why: "a removal that somebody asked for succeeds when nothing holds its layer any more"}},
		Advice:   []string{"if it fails again, see who holds it: sexton holders " + c.ID},
	}
	if h.Mounts == nil {
		f.Cause = "Something kept what the removal had to delete; which mounts there are was not read"
		return f
	}
	for _, word := range []string{c.ID, c.RootFS} {
		if word == "" {
			continue
		}
		if f.Holders = holding.Of(h, holding.Find(h, word)); len(f.Holders) > 0 {
			f.Cause = "Its root file system is still mounted by " + holding.WhoAll(h, f.Holders)
			break
		}
	}
	return f
}
