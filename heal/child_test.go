package heal

import (
	"errors"
	"testing"
)

func TestUnanswered(t *testing.T) {
	for _, tt := range []struct {
		ended     error
		complaint string
		want      string
	}{
		{nil, "", "the child process ended without an answer"},
		{nil, "panic: x\ngoroutine 1", "the child process ended without an answer: panic: x"},
		{errors.New("exit status 2"), "", "the child process ended without an answer: exit status 2"},
		{errors.New("signal: killed"), "no memory\n", "the child process ended without an answer: signal: killed: no memory"},
	} {
		if got := unanswered(tt.ended, tt.complaint).Error(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
