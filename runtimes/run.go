package runtimes

import (
	"fmt"
	"time"
)

// A Run is one run of one container. It is what must still be so when somebody
// acts on the container: a restart gives it another start.
type Run struct {
	ID      string    `json:"id"`            // 64 hex digits
	State   string    `json:"state"`         // as in [Container]
	PID     int       `json:"pid,omitempty"` // of its first process; 0 if it has none, or the API does not say (CRI)
	Started time.Time `json:"started"`       // zero if it never was
}

// Check says how a run differs from the one that the caller saw, nil if it does not.
// The error wraps [ErrRefused].
func (r Run) Check(was Run) error {
	switch {
	case was.Started.IsZero():
		return refuse(was.ID, "when it was started was not named: inspect it first")
	case r.ID != was.ID:
		return refuse(was.ID, fmt.Sprintf("the runtime answers with another id, %.80q", r.ID))
	case !r.Started.Equal(was.Started):
		return refuse(was.ID, fmt.Sprintf("it was started at %s, not at %s: this is another run of it; scan again", at(r.Started), at(was.Started)))
	case r.PID != was.PID:
		return refuse(was.ID, fmt.Sprintf("its first process is pid %d, not %d: this is another run of it; scan again", r.PID, was.PID))
	}
	return nil
}

// CheckID refuses what is not a full id, since a runtime takes a prefix or a name
// for an id and both may be another container's by now. The error wraps [ErrRefused].
func CheckID(id string) error {
	const digits = 64
	ok := len(id) == digits
	for _, c := range []byte(id) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'f')
	}
	if !ok {
		return refuse(id, fmt.Sprintf("this is not a full id of %d hex digits, and a name or a prefix may be another container's", digits))
	}
	return nil
}

// A refusal is an error that wraps [ErrRefused] without its text.
type refusal struct{ id, why string }

func (r *refusal) Error() string { return fmt.Sprintf("container %.12q: %s", r.id, r.why) }
func (r *refusal) Unwrap() error { return ErrRefused }

func refuse(id, why string) error { return &refusal{id, why} }

func at(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
