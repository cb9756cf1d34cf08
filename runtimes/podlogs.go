package runtimes

import "strings"

// podLogs is where the kubelet keeps a link to each container's log.
const podLogs = "/var/log/containers"

// PodLogs names the containers of pods below root by what the kubelet calls the links to
// their logs: id, name and pod, which it tells also where no runtime answers. There are
// more than run. None are told where there is no kubelet; no link is followed.
//
// Source: Kubernetes 1.36 pkg/kubelet/kuberuntime/legacy.go, logSymlink.
func PodLogs(root string) ([]Container, error) {
	table, err := readMounts()
	if err != nil {
		return nil, err
	}
	var found []Container
	for _, name := range newLookup(root, table).list(podLogs) {
		if c, ok := parsePodLog(name); ok {
			found = append(found, c)
		}
	}
	return found, nil
}

// parsePodLog reads POD_NAMESPACE_CONTAINER-ID.log. Of one that the kubelet had to cut,
// to 255 bytes, the id is not whole.
func parsePodLog(name string) (Container, bool) {
	const digits = 64
	name, isLog := strings.CutSuffix(name, ".log")
	words := strings.Split(name, "_") // none of the three may have one
	if !isLog || len(words) != 3 || len(words[2]) < digits+2 {
		return Container{}, false
	}
	dash := len(words[2]) - digits - 1
	c := Container{ID: words[2][dash+1:], Name: words[2][:dash], Pod: words[0], PodNS: words[1]}
	return c, words[2][dash] == '-' && CheckID(c.ID) == nil && c.Pod != "" && c.PodNS != ""
}
