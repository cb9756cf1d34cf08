package pid1

import (
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"unsafe"
)

// descriptors undoes the letters of the entry, low nibbles of the init's end of
// the socket and of ours, then high ones. It closes the former, and ours at exec.
func descriptors(letters string) (ours int) {
	if len(letters) != 4 {
		say("sexton-init: its name begins with " + mark + ", which is for its own children\n  try: another name")
		os.Exit(1)
	}
	n := func(i int) int { return int(letters[i]-'a') & 0xf }
	syscall.Close(n(0) | n(2)<<4)
	ours = n(1) | n(3)<<4
	if ours < 3 { // stdio was closed: what we say must not be taken for an answer
		low := ours
		if fd, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(low), syscall.F_DUPFD, 3); errno == 0 {
			ours = int(fd)
			syscall.Close(low)
		}
	}
	syscall.CloseOnExec(ours)
	return ours
}

// letters are what descriptors reads: both must be below 256.
func letters(inits, childs int) string {
	l := func(n int) byte { return 'a' + byte(n&0xf) }
	return string([]byte{l(inits), l(childs), l(inits >> 4), l(childs >> 4)})
}

// asBytes is the memory of a struct of words.
func asBytes[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// say writes a line to stderr, if there is one.
func say(line string) { write(2, line+"\n") }

func write(fd int, text string) {
	if text != "" {
		syscall.Write(fd, []byte(text))
	}
}

func itoa[T int | int64](n T) string { return strconv.Itoa(int(n)) }

// catch takes the signals that would end a Go child, and those of the init that
// a further stop signal came. Only the last are of interest.
func catch() chan os.Signal {
	again, others := make(chan os.Signal, 4), make(chan os.Signal, 1)
	signal.Notify(again, syscall.Signal(ourSignal))
	signal.Notify(others, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	return again
}
