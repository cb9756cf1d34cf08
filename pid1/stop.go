package pid1

import (
	"syscall"
	"time"

	"sexton.dev/pid1/options"
)

// What a Go child leaves to later ones.
const (
	memoStopped = iota // 1: a stop signal came
	memoWarned         // Unix time of the last warning
	memoRunit          // process id of runsvdir
	memoSeen           // from here on: parents with dead children
)

// stop passes a stop signal on and sees the container end: the main child, then
// what it left.
func (j *job) stop(a *answer) {
	a.memo[memoStopped] = 1
	j.stopHooks()
	j.delay()
	main := aim(int(j.main))
	sig := syscall.Signal(j.actions[j.woken-1] &^ askGo)
	main.signal(sig, j.Group)
	end := time.Now().Add(j.Grace)
	if !j.Drain {
		return
	}
	if !j.escalate(main, sig, end) {
		say(j.Name + ": the main child (pid " + itoa(main.pid) + ") did not end within " + j.Grace.String() + ": KILL")
		main.signal(syscall.SIGKILL, j.Group)
		if gone, _ := main.wait(time.Now().Add(lastWait), nil); !gone {
			j.reportStuck([]int{main.pid})
		}
	}
	j.drain(end)
}

// escalate waits for the main child: INT and the like become TERM when half of
// the time is over, and each further stop signal is passed on.
func (j *job) escalate(main target, sig syscall.Signal, end time.Time) (gone bool) {
	half := end.Add(-j.Grace / 2)
	until := half
	if sig == syscall.SIGTERM {
		until = end
	}
	for {
		gone, more := main.wait(until, j.again)
		switch {
		case gone:
			return true
		case more:
			main.signal(sig, j.Group)
		case until == end:
			return false
		default:
			sig, until = syscall.SIGTERM, end
			main.signal(sig, j.Group)
		}
	}
}

// delay lets the world notice that the container is about to stop. A second stop
// signal, or the end of the main child, ends it.
func (j *job) delay() {
	if j.DrainDelay > 0 {
		aim(int(j.main)).wait(time.Now().Add(j.DrainDelay), j.again)
	}
}

// left is the end: the main child is gone.
func (j *job) left(a *answer) {
	if a.memo[memoStopped] == 0 && j.Dialect == options.MyInit {
		j.stopHooks()
	}
	j.finishHooks()
	if j.Drain {
		j.drain(time.Now().Add(j.Grace))
	}
	j.writeStatus(nil)
	a.leave = leaving | int64(j.remap[exitCode(j.status)])
}

// exitCode is a wait status as a shell has it: 128 and the signal for a death by one.
func exitCode(status int64) int64 {
	if sig := status & 0x7f; sig != 0 {
		return 128 + sig
	}
	return status >> 8 & 0xff
}
