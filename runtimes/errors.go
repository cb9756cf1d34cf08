package runtimes

import "errors"

// What a caller may test an error of a client for. The text of such an error
// says the rest in words; the sentinel's own text is never part of it.
var (
	// ErrSilent is the error of a socket that took the connection, or whose queue
	// of connections is full, and did not answer in time. The Answer beside it
	// holds what was said before the silence.
	ErrSilent = errors.New("no answer in time")
	// ErrPartial is the error of an Answer that lacks something that its text
	// names, most often the states of some containers. What is there is true, and
	// the daemon itself is not silent.
	ErrPartial = errors.New("answer is not complete")
	// ErrOtherAPI is the error of a socket that answers, but not in the language
	// that it was asked in: containerd without its CRI plugin, another daemon.
	ErrOtherAPI = errors.New("another API")
	// ErrGone is the error of an act on a container that the runtime does not know
	// any more.
	ErrGone = errors.New("no such container")
	// ErrRefused is the error of an act that was not begun, as the container is not
	// the one, or not in the state, that it is for.
	ErrRefused = errors.New("refused")
)
