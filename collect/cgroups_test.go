package collect

import (
	"testing"

	"sexton.dev/linux/cgroupfs"
)

// The unit of a process is known also where its controllers do not go as deep.
func TestPlaceOfUnit(t *testing.T) {
	const unit = "/system.slice/httpd.service"
	for _, tt := range []struct{ name, text, want string }{
		{"no accounting", "3:pids:/\n1:name=systemd:" + unit + "\n", unit},
		{"accounting of the slice", "3:pids:/system.slice\n1:name=systemd:" + unit + "\n", unit},
		{"accounting", "3:pids:" + unit + "\n1:name=systemd:" + unit + "\n", unit},
		{"moved by hand", "3:pids:/mine\n1:name=systemd:/user.slice/session-1.scope\n", "/mine"},
		{"a name that begins alike", "3:pids:/system\n1:name=systemd:" + unit + "\n", "/system"},
		{"version 2", "0::" + unit + "\n", unit},
	} {
		all, err := cgroupfs.ParseMembership([]byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		if got := (&hierarchies{}).place(all).Path; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
