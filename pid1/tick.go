package pid1

import (
	"cmp"
	"os"
	"slices"
	"syscall"
	"time"
)

const (
	minute     = 60 * time.Second
	orphanTick = time.Second            // --kill-orphans looks this often
	stillDead  = 250 * time.Millisecond // a parent that waits does so sooner
	orphanTime = 300 * time.Millisecond // between TERM and KILL of an orphan
)

// period is the seconds between ticks; 0: nothing to do on any.
func (j *job) period() int64 {
	var d time.Duration
	for _, want := range []struct {
		on    bool
		every time.Duration
	}{{j.KillOrphans, orphanTick}, {j.WarnZombies > 0, min(j.WarnZombies, minute)}, {j.Status != "", minute}} {
		if want.on && (d == 0 || want.every < d) {
			d = want.every
		}
	}
	return int64((d + time.Second - 1) / time.Second)
}

// tick does what is due.
func (j *job) tick(a *answer) {
	if j.KillOrphans {
		j.killOrphans()
	}
	if j.WarnZombies == 0 && j.Status == "" {
		return
	}
	now := time.Now()
	every := j.WarnZombies
	if every == 0 {
		every = minute
	}
	if last := time.Unix(a.memo[memoWarned], 0); now.Sub(last) < every-time.Second/2 && !now.Before(last) {
		return
	}
	a.memo[memoWarned] = now.Unix()
	unwaited := j.unwaited()
	remember(a, unwaited, now)
	if j.WarnZombies > 0 {
		for _, u := range unwaited[:min(len(unwaited), named)] {
			say(j.Name + ": " + u.String())
		}
	}
	j.writeStatus(unwaited)
}

// unwaited are the dead children of a living parent that does not wait for them.
type unwaited struct {
	parent process
	dead   int
	age    time.Duration // at least
}

func (u unwaited) String() string {
	children := " dead children"
	if u.dead == 1 {
		children = " dead child"
	}
	return itoa(u.dead) + children + " of " + u.parent.String() + ", which lives and does not wait for them, for " +
		cmp.Or(u.age.Round(time.Second), u.age).String() + " at least; nobody else can reap them: that program must call wait, or be restarted"
}

// unwaited looks twice, as a parent may be about to wait. What the init itself
// has adopted it reaps.
func (j *job) unwaited() []unwaited {
	before := dead()
	if len(before) == 0 {
		return nil
	}
	time.Sleep(stillDead)
	by := map[int]int{}
	for key := range dead() {
		if before[key] != 0 {
			by[before[key]]++
		}
	}
	var list []unwaited
	for _, p := range j.ours().list { // without the init, this process, and other containers'
		if n := by[p.pid]; n > 0 && p.state != 'Z' {
			list = append(list, unwaited{parent: p, dead: n})
		}
	}
	slices.SortFunc(list, func(a, b unwaited) int {
		return cmp.Or(cmp.Compare(b.dead, a.dead), cmp.Compare(a.parent.pid, b.parent.pid))
	})
	return list
}

// dead maps each dead process, by number and start time, to its parent.
func dead() map[string]int {
	all, _ := processes()
	parents := map[string]int{}
	for _, p := range all {
		if p.state == 'Z' {
			parents[itoa(p.pid)+" "+p.start] = p.parent
		}
	}
	return parents
}

// remember keeps since when each parent leaves children dead, a word each: its
// number and the Unix time, 32 bits each. It fills in the ages.
func remember(a *answer, list []unwaited, now time.Time) {
	seen := map[int]int64{}
	for _, w := range a.memo[memoSeen:] {
		seen[int(w>>32)] = w & 0xffffffff
	}
	clear(a.memo[memoSeen:])
	for i := range list {
		pid := list[i].parent.pid
		since, ok := seen[pid]
		if !ok {
			since = now.Unix()
		}
		list[i].age = max(now.Sub(time.Unix(since, 0)), stillDead)
		if memoSeen+i < len(a.memo) {
			a.memo[memoSeen+i] = int64(pid)<<32 | since
		}
	}
}

// killOrphans ends what was re-parented to the init: TERM, a moment, KILL.
func (j *job) killOrphans() {
	orphans := j.adopted()
	for _, p := range orphans {
		syscall.Kill(p.pid, syscall.SIGTERM)
		syscall.Kill(p.pid, syscall.SIGCONT)
	}
	if len(orphans) == 0 {
		return
	}
	say(j.Name + ": " + leftovers{list: orphans}.String() + " lost its parent: ended")
	time.Sleep(orphanTime)
	for _, p := range orphans {
		if still, ok := readProcess(p.pid); ok && still.start == p.start && still.parent == j.init {
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

// adopted lists the living children of the init that it did not make.
func (j *job) adopted() []process {
	all, _ := processes()
	return slices.DeleteFunc(all, func(p process) bool {
		return p.parent != j.init || p.pid == int(j.main) || p.pid == os.Getpid() || p.state == 'Z' ||
			p.pid == int(j.memo[memoRunit])
	})
}
