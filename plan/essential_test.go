package plan

import (
	"strings"
	"testing"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// What the host or its people stand on is not restarted, and each time it is said why.
func TestEssential(t *testing.T) {
	for unit, want := range map[string]string{
		"httpd.service": "", "sexton-lab.service": "", "kubelet.service": "", "containerd.service": "", "app@1.service": "", "userd.service": "", "sshfs.service": "",
		"init.scope": "it is the host's own init", "session-12.scope": "loginctl terminate-session 12", "run-r1.scope": "it is no service",
		"system.slice": "it is no service", "docker.socket": "it is no service", "nothing": "it is no service", "": "it is no service",
		"user@1000.service": "all that user 1000 runs would end", "user-runtime-dir@0.service": "loginctl terminate-user 0",
		"systemd-udevd.service": "a part of systemd", "systemd-journald@x.service": "a part of systemd", "systemd-logind.service": "a part of systemd",
		"dbus.service": "lose their bus", "dbus-broker.service": "lose their bus", "ssh.service": "maybe you", "sshd@1.service": "maybe you", "getty@tty1.service": "maybe you", "gdm3.service": "maybe you",
		"user@$(reboot).service": "terminate-user '$(reboot)'",
	} {
		if got := essential(unit); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", unit, got, want)
		}
	}
	h := &snapshot.Host{Processes: []snapshot.Process{{PID: 7, Start: 70, Comm: "dbus-daemon"}}}
	h.Sort()
	f := finding("leaked-mount/1", check.Remedy{Action: "restart-holder", Risk: "disruptive"})
	f.Holders = []check.Holder{{Kind: "process", PID: 7, Unit: "dbus.service"}}
	if s := Make(h, []check.Finding{f}).Steps; len(s) != 1 || !strings.Contains(s[0].Refused, "lose their bus") {
		t.Errorf("%+v", s)
	}
}
