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
		switch c := &p.Now.Containers[i]; c.State {
		case "dead":
			found = append(found, dead(p.Now, c))
		case "removing":
			found = append(found, removing(p.Now, c))
		}
	}
	return found
}

func dead(h *snapshot.Host, c *snapshot.Container) check.Finding {
	f := finding(h, c)
	f.Title = fmt.Sprintf("container %s is dead: its removal began and failed", f.Subject.Name)
	f.Cause = "Something kept what the removal had to delete; nothing has it mounted now"
	switch {
	case h.Mounts == nil:
		f.Cause = "Something kept what the removal had to delete; which mounts there are was not read"
	case len(f.Holders) > 0:
		f.Cause = "Its root file system or shared memory is still mounted by " + holding.WhoAll(h, f.Holders)
	}
	return f
}

// removing is of a container whose removal goes on or has failed. Docker's list
// shows what was when the removal began until the daemon restarts: it does not tell.
func removing(h *snapshot.Host, c *snapshot.Container) check.Finding {
	f := finding(h, c)
	if len(f.Holders) > 0 {
		f.Title = fmt.Sprintf("container %s cannot be removed: %s keeps what is mounted of it", f.Subject.Name, holding.WhoAll(h, f.Holders))
		f.Cause = "Its removal began, and its root file system or shared memory is still mounted by " + holding.WhoAll(h, f.Holders)
		return f
	}
	f.Severity = check.Info
	f.Title = fmt.Sprintf("container %s is being removed, or its removal failed", f.Subject.Name)
	f.Cause = "Its runtime lists it as being removed, and does so for ever if that has failed"
	f.Harm = "None if it is gone at the next look; else its name, and the space of its layer, stay taken, and its pod stays Terminating"
	return f
}

// finding is what all have in common, with who has something of it mounted.
func finding(h *snapshot.Host, c *snapshot.Container) check.Finding {
	f := check.Finding{
		ID:       name + "/" + c.ID,
		Severity: check.Warning,
		Subject:  check.ContainerSubject(h, c.ID),
		Harm:     "Its name, and the space of its layer, stay taken, and its pod stays Terminating; nobody tries again by itself",
		Evidence: []check.Evidence{{Source: c.Runtime, Text: "state " + c.State}},
		Remedies: []check.Remedy{{Action: "retry-remove", Risk: "disruptive", Why: "a removal that somebody asked for succeeds when nothing holds its layer any more"}},
		Advice:   []string{"if it fails again, see who holds it: sexton holders " + c.ID},
	}
	for _, word := range []string{c.ID, c.RootFS} {
		if h.Mounts == nil || word == "" || len(f.Holders) > 0 {
			continue
		}
		f.Holders = holding.Of(h, holding.Find(h, word))
	}
	return f
}
