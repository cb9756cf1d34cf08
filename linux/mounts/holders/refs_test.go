package holders

import (
	"fmt"
	"strings"
	"testing"
)

// A Ref prints whole: a part of it that has a String of its own must not stand for all.
func TestRefPrints(t *testing.T) {
	if got := fmt.Sprintf("%+v", Ref{PID: 7, Kind: Cwd, Link: "/a"}); !strings.Contains(got, "PID:7") || !strings.Contains(got, "/a") {
		t.Error(got)
	}
}
