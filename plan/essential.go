package plan

import "strings"

// essential says why a unit must not be restarted by a program, "" if it may: what
// else depends on it is more than what it holds.
func essential(unit string) string {
	name, kind := unit, ""
	if at := strings.LastIndexByte(unit, '.'); at >= 0 {
		name, kind = unit[:at], unit[at+1:]
	}
	name, instance, _ := strings.Cut(name, "@")
	switch {
	case name == "init" && kind == "scope":
		return "it is the host's own init: reboot the host when it can be spared"
	case kind == "scope" && strings.HasPrefix(name, "session-"):
		return "it is a login session, which nobody can begin anew for its user: let the user log out, or end it by hand: loginctl terminate-session " + strings.TrimPrefix(name, "session-")
	case kind != "service":
		return "it is no service, and nobody starts it again: end it by hand: systemctl stop " + quote(unit)
	case name == "user" || name == "user-runtime-dir":
		return "all that user " + instance + " runs would end with it: let the user log out, or end it by hand: loginctl terminate-user " + quote(instance)
	case strings.HasPrefix(name, "systemd-"):
		return "it is a part of systemd, by which the host runs: restart it by hand when the host can be spared: systemctl restart " + quote(unit)
	case name == "dbus" || name == "dbus-broker":
		return "sessions and services of the whole host would lose their bus: reboot the host when it can be spared"
	case name == "ssh" || name == "sshd" || name == "getty" || name == "serial-getty" || name == "console-getty" || name == "display-manager" || strings.HasPrefix(name, "gdm") || name == "sddm" || name == "lightdm":
		return "people are logged in by it, maybe you: restart it by hand: systemctl restart " + quote(unit)
	}
	return ""
}
