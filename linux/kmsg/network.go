package kmsg

import "strings"

// silentServer reads that the server of a file system, or of the device below one,
// does not answer: whoever uses it waits in the kernel. That it answers again is no trouble.
//
// Source: Linux 3.10 to 6.18 net/sunrpc/clnt.c, rpc_check_timeout; fs/smb/client/connect.c,
// server_unresponsive; fs/ceph/mds_client.c; net/ceph/mon_client.c, osd_client.c.
func silentServer(rest, _ string) (Event, bool) {
	for _, words := range []string{" not responding", " has not responded in ", " hung", "session lost", " down", " blocklisted", " blacklisted"} {
		if strings.Contains(rest, words) {
			return Event{Family: FSError}, true
		}
	}
	return Event{}, false
}

// rbd reads "rbd: rbd0: write at objno 12 0~4096 result -108" and its warnings; it
// says how large a device is in the same way.
//
// Source: Linux 3.10 to 6.18 drivers/block/rbd.c, rbd_warn.
func rbd(rest, _ string) (Event, bool) {
	number, message, ok := strings.Cut(rest, ": ")
	return Event{Family: FSError, Device: "rbd" + number}, ok && allDigits(number) && (strings.Contains(message, " result -") || trouble(message))
}

// nbd reads "block nbd0: Connection timed out".
//
// Source: Linux 3.10 to 6.18 drivers/block/nbd.c.
func nbd(rest, _ string) (Event, bool) {
	number, message, ok := strings.Cut(rest, ": ")
	return Event{Family: FSError, Device: "nbd" + number}, ok && allDigits(number) && (strings.HasSuffix(message, "timed out") || trouble(message))
}
