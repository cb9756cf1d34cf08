package cli

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

// A target is what a user asks about, found on the host.
type target struct {
	process    *snapshot.Process // a pid
	containers []string          // ids: a container, or those of a pod
	cgroup     string
	pod        string
	finding    string          // a finding's id
	mount      *holding.Target // what mount tables say of the word
}

// resolve finds what a word means: a finding, a pid, a cgroup path, a
// container, a pod, a mount or device, in this order. Prefixes count where they are unambiguous.
func (v *sight) resolve(word string) (*target, error) {
	if t, err := v.findingTarget(word); t != nil || err != nil {
		return t, err
	}
	if pid, err := strconv.Atoi(word); err == nil {
		if p := v.now.Process(pid); p != nil {
			return &target{process: p}, nil
		}
	}
	if strings.HasPrefix(word, "/") {
		if t := v.cgroupTarget(path.Clean(strings.TrimPrefix(word, "/sys/fs/cgroup"))); t != nil {
			return t, nil
		}
	}
	for _, find := range []func(string) (*target, error){v.containerTarget, v.podTarget} {
		if t, err := find(word); t != nil || err != nil {
			return t, err
		}
	}
	if t := v.mountTarget(word); t != nil {
		return t, nil
	}
	if t, err := v.goneTarget(word); t != nil || err != nil {
		return t, err
	}
	return nil, v.notFound(word)
}

func (v *sight) findingTarget(word string) (*target, error) {
	var ids []string
	for _, f := range v.Findings {
		if f.ID == word {
			return &target{finding: word}, nil
		}
		if strings.Contains(word, "/") && strings.HasPrefix(f.ID, word) {
			ids = append(ids, f.ID)
		}
	}
	if len(ids) == 1 {
		return &target{finding: ids[0]}, nil
	}
	return nil, ambiguous("finding", word, ids)
}

// mountTarget is a mount, a device or any text in the mount tables.
func (v *sight) mountTarget(word string) *target {
	t := search(v.now, word, v.follow).In(v.now)
	if len(t.Mounts) == 0 && len(holding.Of(v.now, t)) == 0 && !(v.now.Mounts != nil && holding.DeviceOf(v.now.Mounts, word) != "") {
		return nil
	}
	return &target{mount: &t}
}

// cgroupTarget accepts the path with a controller of version 1 in front of it too.
func (v *sight) cgroupTarget(word string) *target {
	for _, skip := range []int{0, 1} {
		parts := strings.SplitN(word, "/", skip+2)
		at := "/" + parts[len(parts)-1]
		for i := range v.now.Processes {
			if c := v.now.Processes[i].Cgroup; at != "/" && (c == at || strings.HasPrefix(c, at+"/")) {
				return &target{cgroup: at}
			}
		}
	}
	return nil
}

// containerTarget matches a full id or name, then the beginning of an id, then that of a name.
func (v *sight) containerTarget(word string) (*target, error) {
	matches := []func(c *snapshot.Container) bool{
		func(c *snapshot.Container) bool { return c.ID == word || c.Name == word },
		func(c *snapshot.Container) bool { return strings.HasPrefix(c.ID, word) },
		func(c *snapshot.Container) bool { return c.Name != "" && strings.HasPrefix(c.Name, word) },
	}
	for _, match := range matches {
		var ids, names []string
		for i := range v.now.Containers {
			if c := &v.now.Containers[i]; match(c) {
				ids = append(ids, c.ID)
				names = append(names, cmp.Or(c.Name, c.ID[:min(12, len(c.ID))]))
			}
		}
		if len(ids) == 1 {
			return &target{containers: ids}, nil
		}
		if len(ids) > 1 {
			return nil, ambiguous("container", word, names)
		}
	}
	return nil, nil
}

// goneTarget matches a container of which only a finding tells, by its id or the
// beginning of that: the kernel's log knows those that are gone.
func (v *sight) goneTarget(word string) (*target, error) {
	var ids []string
	for _, f := range v.Findings {
		if id := f.Subject.Container; id != "" && strings.HasPrefix(id, word) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 1 {
		return &target{containers: ids}, nil
	}
	return nil, ambiguous("container", word, ids)
}

// podTarget matches a pod by UID, namespace/name or name.
func (v *sight) podTarget(word string) (*target, error) {
	pods := map[string][]string{}
	for _, c := range v.now.Containers {
		_, name, _ := strings.Cut(c.Pod, "/")
		uid := c.PodUID != "" && (c.PodUID == word || len(word) >= 4 && strings.HasPrefix(c.PodUID, word))
		if uid || c.Pod != "" && (c.Pod == word || name == word) {
			key := cmp.Or(c.Pod, c.PodUID)
			pods[key] = append(pods[key], c.ID)
		}
	}
	var names []string
	for pod := range pods {
		names = append(names, pod)
	}
	if len(names) == 1 {
		return &target{pod: names[0], containers: pods[names[0]]}, nil
	}
	return nil, ambiguous("pod", word, names)
}

func ambiguous(kind, word string, matches []string) error {
	if len(matches) < 2 {
		return nil
	}
	slices.Sort(matches)
	return withHint(fmt.Errorf("%q is the beginning of %d %ss", word, len(matches), kind), "one of "+strings.Join(matches[:min(8, len(matches))], ", "))
}

// notFound says what was searched, and what is near.
func (v *sight) notFound(word string) error {
	near, there := v.nearest(word), "sexton ps lists what there is"
	if v.now.Nested {
		there += "; what is outside of this PID namespace is not seen"
	}
	err := fmt.Errorf("%q is no pid, container, pod, cgroup, mount, device or finding here (searched %s, %s, %s)", word,
		check.Count(len(v.now.Processes), "process"), check.Count(len(v.now.Containers), "container"), check.Count(len(v.Findings), "finding"))
	if len(near) == 0 {
		return withHint(err, there)
	}
	return withHint(err, "did you mean "+strings.Join(near, ", ")+"? "+there)
}

// nearest returns up to three names that contain the word or differ from it in few letters.
func (v *sight) nearest(word string) []string {
	type candidate struct {
		name string
		far  int
	}
	var all []candidate
	add := func(name string) {
		far := distance(word, name)
		if strings.Contains(name, word) {
			far = 1
		}
		if name != "" && far <= max(2, len(word)/3) && !slices.ContainsFunc(all, func(c candidate) bool { return c.name == name }) {
			all = append(all, candidate{name, far})
		}
	}
	for _, c := range v.now.Containers {
		add(c.Name)
		add(c.Pod)
		add(c.ID[:min(12, len(c.ID))])
	}
	for _, f := range v.Findings {
		add(f.ID)
	}
	for i := range v.now.Processes {
		if p := &v.now.Processes[i]; p.Comm == word {
			add(strconv.Itoa(p.PID))
			all = append(all, candidate{fmt.Sprintf("%d (%s)", p.PID, p.Comm), 1})
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.far, b.far) })
	var out []string
	for _, c := range all[:min(3, len(all))] {
		out = append(out, c.name)
	}
	return out
}

// distance is the number of letters to add, drop or change to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := last
			if a[i] != b[j] {
				change++
			}
			last = row[j+1]
			row[j+1] = min(change, last+1, row[j]+1)
		}
	}
	return row[len(b)]
}
