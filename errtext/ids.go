package errtext

import "strings"

// Directories whose entries with a name of 64 hex digits are no containers:
// layers, images, volumes, networks.
var notContainers = []string{
	"overlay2", "overlay", "aufs", "diff", "mnt", "layers", "metadata", "devicemapper", "subvolumes", "dir", "l", "volumes", "networks", "netns", "blobs", "sha256", "snapshots", "image", "images", "imagedb", "layerdb", "mounts", "graph", "overlay-layers", "overlay-images", "tmp", "content", "dev", "mapper", "exec",
}

// Words before an id that make it a container's or say that it is none.
var (
	containerWords = []string{"container", "containers", "containerid", "container_id", "containerd", "filesystem", "rootfs", "sandbox", "podsandboxid", "sandboxid", "task", "shim"}
	otherWords     = []string{"layer", "layers", "device", "image", "snapshot", "volume", "network", "endpoint", "digest", "blob", "diff", "parent", "base", "dataset", "exec", "key", "process", "commit", "checkpoint", "execid", "image_id", "mount", "umount", "dm", "lv"}
	linkWords      = []string{"for", "of", "with", "id", "the", "by", "ids", "named", "name", "is", "from", "in", "root"}
)

// containerIDOf finds the container or sandbox that a text is about: the id that
// the words or the path around it call one, else an id that nothing calls
// anything else. In a path the innermost counts: kind's nodes are containers.
func containerIDOf(low string) string {
	if _, task, ok := strings.Cut(low, "task_memcg="); ok {
		low = task // oom_memcg= before it may be a parent
	}
	best, weight, end := "", 0, 0
	ofTool := isOfTool(low[:min(len(low), 64)])
	for i := 0; i < len(low); {
		n := leading(low[i:], isHex)
		if n == 64 || n == 12 || n == 13 {
			w := idWeight(low, i, n)
			if account := n == 12 && allDigits(low[i:i+n]) && i+n+1 < len(low) && low[i+n] == '.' && isLetter(low[i+n+1]); account {
				w = 0 // a registry's name has it
			}
			if short := n == 13; short && (w < 4 || allDigits(low[i:i+n])) { // crictl's; a time in milliseconds is as long
				w = 0
			}
			if w == 1 && (ofTool || isLayer(low, low[i:i+n])) {
				w = 0 // nothing calls it a container, and a path calls it a layer
			}
			if w > 0 && best != "" && len(best) < n && strings.HasPrefix(low[i:], best) {
				w = max(w, weight+1) // the same one in full
			}
			inside := best != "" && w >= 2 && i-end < 256 && !strings.ContainsAny(low[end:i], " \t\n\"'=,") && len(best) == n
			if w > weight || inside {
				best, weight = low[i:i+n], max(w, weight)
				end = i + n
			}
		}
		i += max(n, 1)
	}
	return best
}

// isLayer tells that a path in the text has the id where layers are.
func isLayer(low, id string) bool {
	for from := 0; ; {
		i := strings.Index(low[from:], "/"+id)
		if i < 0 {
			return false
		}
		dir := low[:from+i]
		if contains(notContainers, dir[strings.LastIndexByte(dir, '/')+1:]) {
			return true
		}
		from += i + 1
	}
}

// idWeight is how sure it is that the n hex digits at i are a container's id:
// 0, they are not.
func idWeight(low string, i, n int) int {
	after := low[i+n:]
	if after != "" && (isLetter(after[0]) || isDigit(after[0])) || strings.HasPrefix(after, "-init") || strings.HasPrefix(after, "-removing") || strings.HasPrefix(after, ": volume is in use - ") {
		return 0
	}
	before := low[max(0, i-300):i]
	scoped := false
	for _, p := range []string{"docker-", "cri-containerd-", "crio-", "libpod-", "nerdctl-", "crio-conmon-", "libpod-conmon-", "docker://", "containerd://", "cri-o://"} {
		scoped = scoped || strings.HasSuffix(before, p)
	}
	switch {
	case scoped:
		return 4
	case before != "" && (isLetter(before[len(before)-1]) || isDigit(before[len(before)-1]) || strings.HasSuffix(before, "-") || strings.HasSuffix(before, "sha256:") || strings.HasSuffix(before, "_") || strings.HasSuffix(before, "@")):
		return 0
	case strings.HasSuffix(before, "/"):
		return pathIDWeight(before, n)
	}
	return wordIDWeight(before, n)
}

// pathIDWeight judges an id in a path by the directory that it is in.
func pathIDWeight(before string, n int) int {
	dirs := before[strings.LastIndexAny(before, " \t\"'=")+1:]
	name := strings.TrimSuffix(dirs, "/")
	name = name[strings.LastIndexByte(name, '/')+1:]
	switch {
	case contains(notContainers, name) || strings.Contains(dirs, "/dev/"):
		return 0
	case name == "docker" && !strings.HasPrefix(dirs, "/") && dirs != "docker/":
		return 0 // a dataset's name
	case name == "containers" || name == "sandboxes" || name == "overlay-containers" || name == "k8s.io" || name == "moby" || name == "docker":
		return 3
	case n == 64:
		if _, layer := hasAny(dirs, "/overlay2/", "/overlay/", "/aufs/", "/subvolumes/", "/volumes/", "/plugins/"); layer || !strings.HasPrefix(dirs, "/") {
			return 0 // below a layer's directory, or a dataset's name
		}
		if _, runtime := hasAny(dirs, "contain", "docker", "moby", "balena", "k8s", "kube", "/cri", "runc", "crun", "runsc", "youki", "kata", "/vc/", "cgroup", "libpod", "podman", "sandbox", "rootfs", "shim", "exits"); !runtime {
			return 0 // any program may name a directory by a digest
		}
		return 2
	}
	return 0
}

// wordIDWeight judges an id by the words before it.
func wordIDWeight(before string, n int) int {
	words := strings.FieldsFunc(before, func(r rune) bool { return strings.ContainsRune(" \t\n\"'=:,()[]{}/", r) })
	named := false
	for k := len(words) - 1; k >= 0 && k >= len(words)-4; k-- {
		w := words[k]
		switch {
		case k > 0 && (w == "layer" && words[k-1] == "mounted" || w == "mount" && words[k-1] == "container"):
			return 4 // docker calls a container's own layer by the container's id
		case contains(otherWords, w):
			return 0
		case contains(containerWords, w):
			return 4
		case strings.HasSuffix(w, "container") || strings.HasSuffix(w, "sandbox") || strings.HasSuffix(w, "podsandboxstatus") || strings.HasSuffix(w, "containerstatus") || w == "execsync" || w == "stats":
			return 4
		case !contains(linkWords, w) && named:
			k = -1
		case !contains(linkWords, w):
			named = true // one name may stand between: network web (ID)
		}
	}
	if n == 64 {
		return 1
	}
	return 0
}

// podOf finds the UID of the pod that a text is about, with dashes. A volume's
// UUID is not one, and the two look the same: the words before it decide.
func podOf(low string) string {
	for dash := 8; dash+28 <= len(low); dash++ { // the first dash: "pod" before the digits ends in one
		if low[dash] != '-' && low[dash] != '_' {
			continue
		}
		uid := uuidAt(low[dash-8 : dash+28])
		if uid != "" && isPod(low[:dash-8], low[dash+28:]) {
			return uid
		}
	}
	if _, static, ok := strings.Cut(low, "/pods/"); ok && leading(static, isHex) == 32 {
		return static[:32] // the hash of its manifest
	}
	return ""
}

// uuidAt normalises 36 bytes that are a UUID with dashes or underscores.
func uuidAt(s string) string {
	for k := range len(s) {
		dash := k == 8 || k == 13 || k == 18 || k == 23
		if dash && s[k] != '-' && s[k] != '_' || !dash && !isHex(s[k]) {
			return ""
		}
	}
	return strings.ReplaceAll(s, "_", "-")
}

// podCues are what stands directly before a pod's UID.
var podCues = []string{
	"/pods/", "pods/", "pod", "kubepods-pod", "uid: ", "uid:", "uid=", "poduid=", "pod=", "pod ", "podname:", "pod uid ", "pod_uid=", "pod.uid=", "pod_uid:", "poduid:", "poduid: ", "pod uid: ", "pod id ", "pods ", "pod with uid ", "pod.uid:", "poduid\":", "poduid\": ", "podsandbox\" for ",
}

func isPod(before, after string) bool {
	if after != "" && (isLetter(after[0]) || isDigit(after[0]) || after[0] == '-') {
		return false
	}
	before = before[max(0, len(before)-300):] // names of containers are under 256 bytes
	named := before[strings.LastIndexAny(before, " /\"'")+1:]
	if strings.HasPrefix(named, "k8s_") && strings.HasSuffix(before, "_") {
		return true // a container's name: k8s_NAME_POD_NAMESPACE_UID_ATTEMPT
	}
	if _, mentioned := hasAny(before, "pod \"", "pod '", "pod ", "pods "); mentioned && strings.HasSuffix(before, "(") && strings.Contains(named, "_") {
		return true // NAME_NAMESPACE(UID)
	}
	before = strings.TrimRight(before[max(0, len(before)-32):], "\"'([{")
	for _, cue := range podCues {
		if rest, ok := strings.CutSuffix(before, cue); ok && !(strings.HasPrefix(cue, "uid") && strings.HasSuffix(rest, "u")) { // UUID
			return true
		}
	}
	return false
}
