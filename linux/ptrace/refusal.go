package ptrace

import "fmt"

// A Refusal says why a parent was left as it was found, and what to do instead.
type Refusal struct {
	Why     string // "process 7 is stopped"
	Instead string // "send it SIGCONT and try again"
}

func (r *Refusal) Error() string { return r.Why }

// Hint is what to do instead.
func (r *Refusal) Hint() string { return r.Instead }

func refuse(instead, why string, args ...any) *Refusal {
	return &Refusal{Why: fmt.Sprintf(why, args...), Instead: instead}
}

const (
	lookAgain  = "look again: another scan names what is there now"
	restart    = "restart the container, with an init that reaps: docker run --init, shareProcessNamespace, or sexton init"
	restartAll = "a restart of the machine is what is left, or a program that reaps as its process 1"
)
