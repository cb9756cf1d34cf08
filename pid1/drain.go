package pid1

import (
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	lastWait = 2 * time.Second // for what got KILL: past that it is stuck in the kernel
	leastEnd = time.Second     // for what the main child left, if it used up the time itself
	named    = 5               // processes that a line names
)

// drain ends what the main child left: TERM, time until end, KILL. It returns when
// all are gone, or when what is left does not end by KILL.
func (j *job) drain(end time.Time) {
	told := map[int]string{} // start times of those that got TERM, by process id
	if j.KillAfter > 0 {
		end = time.Now().Add(j.KillAfter)
	} else if least := time.Now().Add(leastEnd); end.Before(least) {
		end = least
	}
	pause := time.Millisecond
	for {
		began := time.Now()
		left := j.ours()
		if left.none() {
			return
		}
		if !began.Before(end) {
			break
		}
		left.tell(told)
		// Looking costs little beside waiting, however many there are.
		pause = max(min(pause*2, step), 8*time.Since(began))
		time.Sleep(min(pause, time.Until(end)))
	}
	j.kill()
}

// tell sends TERM once to each process, and CONT, without which a stopped one
// would not act on it.
func (l leftovers) tell(told map[int]string) {
	if l.blind {
		if told[-1] == "" {
			told[-1] = "all"
			syscall.Kill(-1, syscall.SIGTERM)
			syscall.Kill(-1, syscall.SIGCONT)
		}
		return
	}
	for _, p := range l.list {
		if told[p.pid] != p.start {
			told[p.pid] = p.start
			syscall.Kill(p.pid, syscall.SIGTERM)
			syscall.Kill(p.pid, syscall.SIGCONT)
		}
	}
}

// kill sends KILL to what is left, says so in one line, and waits for the end.
func (j *job) kill() {
	left := j.ours()
	if left.none() {
		return
	}
	say(j.Name + ": KILL to " + left.String() + " left at the end of the time")
	end := time.Now().Add(lastWait)
	for time.Now().Before(end) {
		if left.whole || left.blind {
			syscall.Kill(-1, syscall.SIGKILL) // no fork gets away
		} else {
			for _, p := range left.list {
				syscall.Kill(p.pid, syscall.SIGKILL)
			}
		}
		time.Sleep(step / 4)
		if left = j.ours(); left.none() {
			return
		}
	}
	var pids []int
	for _, p := range left.list {
		pids = append(pids, p.pid)
	}
	j.reportStuck(pids)
}

// reportStuck says of processes that KILL did not end what they wait for.
func (j *job) reportStuck(pids []int) {
	for _, pid := range pids[:min(len(pids), named)] {
		p, ok := readProcess(pid)
		if !ok || p.state == 'Z' {
			continue
		}
		line := j.Name + ": " + p.String() + " does not end by KILL: state " + string(p.state)
		if at := wchan(pid); at != "" {
			line += ", waits in the kernel in " + at
		}
		say(line)
	}
}

// String names the first few.
func (l leftovers) String() string {
	if l.blind {
		return "all that is"
	}
	var names []string
	for _, p := range l.list {
		if p.state != 'Z' && len(names) < named {
			names = append(names, p.String())
		}
	}
	slices.Sort(names)
	text := strings.Join(names, ", ")
	if more := len(l.list) - len(names); more > 0 {
		text += " and " + itoa(more) + " more"
	}
	return text
}
