package heal

import "sexton.dev/snapshot"

// A NestedError says that sexton is in a PID namespace of its own: who is outside of
// it, and would lose a mount or stand still, is not seen.
type NestedError struct{}

func (*NestedError) Error() string {
	return "nothing was done: this PID namespace is not the host's, so who is outside and would lose a mount is not seen"
}

// Hint says what to do.
func (*NestedError) Hint() string {
	return "in the host's: docker run --pid=host, or nsenter -t 1 -a; or --nested if nobody outside shares mounts with it"
}

// Nested is a [NestedError] if a look was taken from such a place.
func Nested(h *snapshot.Host) error {
	if h.Nested {
		return &NestedError{}
	}
	return nil
}
