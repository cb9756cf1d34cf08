package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sexton.dev/snapshot"
)

// SubjectOf makes a process the subject of a finding. Its name is that of its
// container, else its own.
func SubjectOf(h *snapshot.Host, p *snapshot.Process) Subject {
	s := Subject{Kind: "process", Name: p.Comm, PID: p.PID, Container: p.Container}
	if p.Container != "" {
		s.Name = ContainerName(h, p.Container)
		if c := h.Container(p.Container); c != nil {
			s.Pod = c.Pod
		}
	}
	return s
}

// ContainerSubject makes a container the subject of a finding, also one that is gone.
func ContainerSubject(h *snapshot.Host, id string) Subject {
	s := Subject{Kind: "container", Name: ContainerName(h, id), Container: id}
	if c := h.Container(id); c != nil {
		s.Pod = c.Pod
	}
	return s
}

// HolderOf makes a process the holder of a finding.
func HolderOf(h *snapshot.Host, p *snapshot.Process) Holder {
	s := SubjectOf(h, p)
	return Holder{Kind: "process", PID: p.PID, Comm: p.Comm, Container: s.Container, Pod: s.Pod}
}

// ContainerName is how people know a container: its name, else the first 12
// digits of its id. An id that is not 64 digits was chosen by somebody (ctr run
// redis), and is a name.
func ContainerName(h *snapshot.Host, id string) string {
	if c := h.Container(id); c != nil && c.Name != "" {
		return c.Name
	}
	if len(id) != 64 {
		return id
	}
	return id[:12]
}

// Label names a process in a sentence: "sleep (pid 7) in container web of pod default/web-1".
func Label(h *snapshot.Host, p *snapshot.Process) string {
	s := fmt.Sprintf("%s (pid %d)", p.Comm, p.PID)
	if p.Container == "" {
		return s
	}
	s += " in container " + ContainerName(h, p.Container)
	if c := h.Container(p.Container); c != nil && c.Pod != "" {
		s += " of pod " + c.Pod
	}
	return s
}

// Identity is a finding's id: the check and a process that cannot be mistaken for a later one.
func Identity(name string, id snapshot.ID) string {
	return fmt.Sprintf("%s/%d.%d", name, id.PID, id.Start)
}

// Count prints a number with its noun: "1 thread", "1,573 threads", "2 dead children", "2 processes".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	switch {
	case strings.HasSuffix(noun, "child"):
		noun += "ren"
	case strings.HasSuffix(noun, "s"):
		noun += "es"
	default:
		noun += "s"
	}
	return Number(n) + " " + noun
}

// Number prints a number with commas: 1,573.
func Number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Age prints a duration in its two largest units: "3 d 4 h", "40 s". What is
// older than any host comes of a time that was not read.
func Age(d time.Duration) string {
	if d > 100*365*24*time.Hour {
		return "an unknown time"
	}
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		s := fmt.Sprintf("%d %s", d/u.size, u.name)
		if i+1 < len(units) {
			if rest := d % u.size / units[i+1].size; rest > 0 {
				s += fmt.Sprintf(" %d %s", rest, units[i+1].name)
			}
		}
		return s
	}
	return "0 s"
}

// Tally prints how often each name comes, most frequent first, at most most names: "sh × 12, curl × 3".
func Tally(names []string, most int) string {
	count := map[string]int{}
	for _, n := range names {
		count[n]++
	}
	var keys []string
	for k := range count {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for i, k := range keys {
		if i == most {
			parts = append(parts, fmt.Sprintf("%d more", len(keys)-most))
			break
		}
		if count[k] > 1 {
			k = fmt.Sprintf("%s × %s", k, Number(count[k]))
		}
		parts = append(parts, k)
	}
	return strings.Join(parts, ", ")
}

// PIDs prints process numbers, at most most of them.
func PIDs(pids []int, most int) string {
	var parts []string
	for i, pid := range pids {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %s more", Number(len(pids)-most)))
			break
		}
		parts = append(parts, strconv.Itoa(pid))
	}
	return strings.Join(parts, " ")
}
