package options

import (
	"strconv"
	"strings"
)

// The signals of Linux on every architecture but mips, sparc, alpha and parisc.
//
// Source: signal(7), "Signal numbering for standard signals".
const names = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"

const (
	sigHUP  = 1
	sigINT  = 2
	sigQUIT = 3
	sigILL  = 4
	sigTRAP = 5
	sigABRT = 6
	sigBUS  = 7
	sigFPE  = 8
	sigKILL = 9
	sigSEGV = 11
	sigTERM = 15
	sigCHLD = 17
	sigCONT = 18
	sigSTOP = 19
	sigTSTP = 20
	sigTTIN = 21
	sigTTOU = 22
	sigSYS  = 31

	sigRTMIN = 34 // as the C library counts: it keeps 32 and 33
	sigRTMAX = 64
)

// ParseSignal reads a signal: a number from 1 to 64, or a name with or without
// SIG, in any case, RTMIN+n and RTMAX-n among them.
func ParseSignal(text string) (sig uint8, ok bool) {
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		return uint8(n), n >= 1 && n <= sigRTMAX
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	for i, n := range strings.Fields(names) {
		if n == name {
			return uint8(i + 1), true
		}
	}
	switch name {
	case "IOT":
		return sigABRT, true
	case "CLD":
		return sigCHLD, true
	case "POLL":
		return 29, true
	case "RTMIN":
		return sigRTMIN, true
	case "RTMAX":
		return sigRTMAX, true
	}
	if offset, found := strings.CutPrefix(name, "RTMIN+"); found {
		n, err := strconv.ParseUint(offset, 10, 8)
		return uint8(sigRTMIN + n), err == nil && n <= sigRTMAX-sigRTMIN
	}
	if offset, found := strings.CutPrefix(name, "RTMAX-"); found {
		n, err := strconv.ParseUint(offset, 10, 8)
		return uint8(sigRTMAX - n), err == nil && n <= sigRTMAX-sigRTMIN
	}
	return 0, false
}

// SignalName is the name of a signal, as kill(1) takes it.
func SignalName(sig int) string {
	all := strings.Fields(names)
	switch {
	case sig >= 1 && sig <= len(all):
		return "SIG" + all[sig-1]
	case sig >= sigRTMIN && sig <= sigRTMAX:
		return "SIGRTMIN+" + strconv.Itoa(sig-sigRTMIN)
	}
	return strconv.Itoa(sig)
}
