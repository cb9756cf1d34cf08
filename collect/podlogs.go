package collect

import (
	"encoding/json"

	"sexton.dev/runtimes"
	"sexton.dev/snapshot"
)

// podLogs names the pods that no runtime named, as where containerd is stopped, by the
// kubelet's links to the logs of their containers. A sandbox has no log: it is of the
// same pod as those.
func (l *looker) podLogs(byID map[string]*snapshot.Container) {
	nameless := false
	for _, c := range byID {
		nameless = nameless || c.PodUID != "" && c.Pod == ""
	}
	if !nameless || !l.wants(snapshot.Names) {
		return
	}
	all, err := askFor[[]runtimes.Container](l, "pod-logs", func() ([]byte, error) {
		all, err := runtimes.PodLogs(l.Root)
		if err != nil {
			return nil, err
		}
		return json.Marshal(all)
	})
	l.unread(snapshot.Names, "logs of pods", err)
	pods := map[string]string{} // by uid
	for _, from := range all {
		if c := byID[from.ID]; c != nil && c.PodUID != "" && c.Pod == "" {
			c.Name, c.Pod = from.Name, from.PodNS+"/"+from.Pod
			pods[c.PodUID] = c.Pod
		}
	}
	for _, c := range byID {
		if c.Pod == "" {
			c.Pod = pods[c.PodUID]
		}
	}
}
