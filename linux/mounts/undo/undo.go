package undo

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// A Mount is one to act on. The kernel uses an id that is not unique again at once,
// and the device number of a file system without a device as well. Super is then
// all that tells an overlay from the next one on the same path, and a plain tmpfs
// is told from the next by nothing.
type Mount struct {
	ID     uint64 // of statmount, Linux 6.8; else that of mountinfo
	Unique bool   // ID is never used again; without it Device and Root must be given
	Point  string // below the root of its namespace, any bytes
	Device string // of the superblock, "8:16"; "" is not compared
	Root   string // "" is not compared
	Super  string // options of the superblock as in mountinfo; compared without Unique; "" is not compared
}

// A Kind says which way an act ended that was not done.
type Kind int

const (
	Failed     Kind = iota // the kernel said no, and why
	Gone                   // it is not mounted any more: there is nothing to do
	Other                  // what is there is not what was wanted
	Root                   // it is the root of the mount namespace
	Locked                 // it came with its parent from a more privileged user namespace
	Busy                   // in use
	Unverified             // done, but not with the wanted effect
)

// An Error says why an act was not done, and what to try.
type Error struct {
	Kind Kind
	Text string
	Try  string
}

func (e *Error) Error() string {
	if e.Try == "" {
		return e.Text
	}
	return e.Text + ": " + e.Try
}

// Is makes errors.Is tell the kinds apart.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Kind == e.Kind
}

// One of each kind, for errors.Is.
var (
	ErrFailed     = &Error{Kind: Failed, Text: "it failed"}
	ErrGone       = &Error{Kind: Gone, Text: "it is not mounted any more"}
	ErrOther      = &Error{Kind: Other, Text: "it is another one"}
	ErrRoot       = &Error{Kind: Root, Text: "it is the root of its mount namespace"}
	ErrLocked     = &Error{Kind: Locked, Text: "it is locked"}
	ErrBusy       = &Error{Kind: Busy, Text: "it is in use"}
	ErrUnverified = &Error{Kind: Unverified, Text: "it is still there"}
)

const lookAgain = "look again and make a new plan"

func other(format string, args ...any) error {
	return &Error{Other, fmt.Sprintf(format, args...), lookAgain}
}

// failed keeps an Error as it is, and tells the errors of the kernel that need a hint.
func failed(doing string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	try := ""
	if errors.Is(err, unix.EPERM) {
		try = "run as root of the host, with CAP_SYS_ADMIN and CAP_SYS_CHROOT"
	}
	return &Error{Failed, fmt.Sprintf("%s: %v", doing, err), try}
}

// check refuses what no look at a host can have given.
func (m Mount) check() error {
	if err := checkPath(m.Point); err != nil {
		return err
	}
	return m.identified()
}

func (m Mount) identified() error {
	if m.ID == 0 || !m.Unique && (m.Device == "" || m.Root == "") {
		return &Error{Other, fmt.Sprintf("mount %d on %q cannot be told from a later one with its number", m.ID, m.Point), "give its device and root as well"}
	}
	return nil
}

// checkPath refuses "/" and each path that is not in the form the kernel writes.
func checkPath(path string) error {
	if strings.Trim(path, "/") == "" && path != "" {
		return &Error{Root, "the mount on / is the root of its mount namespace and is never touched", "end the processes that live in it"}
	}
	rest, absolute := strings.CutPrefix(path, "/")
	if !absolute || strings.Contains(path, "\x00") {
		return other("%q is no absolute path", path)
	}
	for part := range strings.SplitSeq(rest, "/") {
		if part == "" || part == "." || part == ".." {
			return other("%q is not how the kernel writes a path", path)
		}
	}
	return nil
}
