package errtext

import (
	"slices"
	"strings"
	"testing"
)

// Headers come off, however many; what only looks like one stays.
func TestHeaders(t *testing.T) {
	for _, tt := range []struct{ name, in, text, program string }{
		{"none", "rm: cannot remove 'x'", "rm: cannot remove 'x'", ""},
		{"an error chain", "Error: a: b", "Error: a: b", ""},
		{"syslog", "Jul  4 15:22:06 node1 dockerd[7]: text", "text", "dockerd"},
		{"syslog without a host", "Apr 30 09:15:10 kubelet[24584]: text", "text", "kubelet"},
		{"syslog with an error chain", "Apr 30 09:15:10 remove /x: busy", "remove /x: busy", ""},
		{"a moment's fraction", "Aug 30 06:58:55.050705 node1 kernel: text", "text", "kernel"},
		{"short-iso, klog", "2020-01-01T00:00:00+0000 node1 kubelet[1]: E0101 00:00:00.000000       1 a.go:1] text", "text", "kubelet"},
		{"klog, its beginning cut off", "nestedpendingoperations.go:301] text", "text", ""},
		{"CRI", "2020-01-01T00:00:00.000000000Z stderr F text", "text", ""},
		{"grep -n", "/var/log/messages-1:12:Jul 14 15:22:06 node1 dockerd: text", "text", "dockerd"},
		{"a path that is no grep's", "/var/log: device is busy", "/var/log: device is busy", ""},
		{"compose", "web_1  | text", "text", ""},
		{"a container's name before klog", "csi-plugin E0101 00:00:00.000000       1 a.go:1] text", "text", ""},
		{"a word before an error", "csi-plugin error: text", "csi-plugin error: text", ""},
		{"a log line in a test's output", "# time=x msg=text", "time=x msg=text", ""},
		{"a heading", "# text", "# text", ""},
		{"syslog's priority, kernel's time", "<4>[  123.456789] text", "text", "kernel"},
		{"a newer syslog", "<3>1 2020-12-02T21:55:55.886277+01:00 node1 kernel - - - text", "text", "kernel"},
		{"a newer syslog with data", `<3>1 2020-12-02T21:55:55Z node1 dockerd 7 x [a@1 b="c d"] text`, "text", "dockerd"},
		{"hostile: a newer syslog cut off", "<3>1 2020-12-02T21:55:55Z node1", "node1", ""},
		{"dmesg -T", "[Thu Apr  1 16:45:10 2021] text", "text", "kernel"},
		{"/dev/kmsg", "4,123,456,-;text", "text", "kernel"},
		{"logrus on a terminal", "ERRO[0000] text", "text", ""},
		{"a level", "[ERROR] text", "text", ""},
		{"mail in mail", "> > text", "text", ""},
		{"hostile: a priority of many digits", "<99999>text", "<99999>text", ""},
		{"hostile: a bracket without end", "[ 1.2", "[ 1.2", ""},
		{"hostile: a month alone", "Jan", "Jan", ""},
		{"a month in French", "sept. 21 00:57:44 node1 kubelet[1408]: E0921 00:57:44.921844    1408 a.go:1] text", "text", "kubelet"},
		{"a month in Chinese", "1月 29 22:38:32 node1 dockerd[7]: text", "text", "dockerd"},
		{"a program's line in the kernel's log", "[  812.123456] systemd-shutdown[1]: text", "text", "systemd-shutdown"},
		{"journalctl -o short-monotonic", "[12345.678901] node1 dockerd[795]: text", "text", "dockerd"},
		{"a chain in the kernel's log", "[12345.678901] EXT4-fs (sdb1): a[7]: text", "EXT4-fs (sdb1): a[7]: text", "kernel"},
		{"grep's file before a time", "logs/csi.log:2025-07-23T03:20:48.4-04:00 text", "text", ""},
		{"LXD on a terminal", "EROR[08-24|14:08:08] text", "text", "lxd"},
		{"time, level and place", "[2023-01-16T21:02:37.6+00:00 ERROR a::b:b.rs:83] text", "text", ""},
		{"a container's name in brackets", "[longhorn-manager] time=x msg=text", "time=x msg=text", ""},
		{"hostile: a place without end", "[2023-01-16T21:02:37.6+00:00 ERROR a::b", "a::b", ""},
		{"thread and level of Ceph", "2023-01-01T00:00:00.000+0000 7f00e1ffb700 -1 librbd: text", "librbd: text", ""},
		{"a host before the kernel's line", "node1 kernel: [  812.123456] text", "text", "kernel"},
		{"the task that printed", "[  812.123456][ T1234] text", "text", "kernel"},
		{"a name in brackets that is no task", "[  812.123456] [T12x] text", "[T12x] text", "kernel"},
		{"dmesg -d", "[  +0.000003] text", "text", "kernel"},
		{"a pod's and a container's name", "a-b c-d E0101 00:00:00.000000       1 a.go:1] text", "text", ""},
		{"a pod's and a container's name before a date", "a-b c-d 2023/01/01 00:00:00 text", "text", ""},
		{"a number before the kernel's time", "  12  [   49.251880] text", "text", "kernel"},
		{"a number before the kernel's date", "  12  [Mo Jun  3 05:16:06 2024] text", "text", "kernel"},
		{"a level behind a number", "12 [ERROR] text", "12 [ERROR] text", ""},
		{"labels before a tool's error", "12 [x] ERROR c.e.App - umount: /x: text", "umount: /x: text", ""},
		{"words before a tool's error", "it says umount: /x: text", "it says umount: /x: text", ""},
		{"a tool before a tool's error", "mount: umount: /x: text", "mount: umount: /x: text", ""},
		{"a newer syslog without its priority", "2024-01-02T03:04:05Z node1 dockerd 123 - - text", "text", "dockerd"},
		{"a logger's name between dashes", "2024-01-02 03:04:05,123 - worker - ERROR - text", "text", ""},
		{"a zone behind a time", "2024-01-02 03:04:05 UTC [7] text", "[7] text", ""},
		{"hostile: labels alone", "12 [x] 34 |", "12 [x] 34 |", ""},
		{"hostile: a string of YAML without end", "message: \"text", "message: \"text", ""},
		{"names before a header", "a-b c-d e-f g-h E0101 00:00:00.000000       1 a.go:1] text", "text", ""},
		{"pid and level of OpenStack", "2023-01-01 00:00:00.000 419064 ERROR a.b [-] text", "a.b [-] text", ""},
		{"level and a mark", "2023/01/01 00:00:00 ERROR : text", "text", ""},
		{"hostile: a level alone", "2023/01/01 00:00:00 ERROR", "ERROR", ""},
		{"a program that is called as a level", "2023/01/01 00:00:00 ERRORS text", "ERRORS text", ""},
		{"a number before a header", "  12  Jul 14 15:22:06 node1 dockerd[7]: text", "text", "dockerd"},
		{"words before a header", "job: E0101 00:00:00.000000       1 a.go:1] text", "text", ""},
		{"what failed before a header", "it failed: E0101 00:00:00.000000       1 a.go:1] text", "it failed: E0101 00:00:00.000000       1 a.go:1] text", ""},
		{"an id before a header", id1 + ": E0101 00:00:00.000000       1 a.go:1] text", id1 + ": E0101 00:00:00.000000       1 a.go:1] text", ""},
		{"a host without a tag", "Jul 14 15:22:06 node1 E0101 00:00:00.000000       1 a.go:1] text", "text", ""},
		{"a mark before a tool", "2024-01-02T03:04:05Z ##[error]umount: /x: target is busy", "umount: /x: target is busy", ""},
		{"a row", "| text |", "text", ""},
		{"a clock", "15:22:06.123 text", "text", ""},
		{"seconds", "1700000000.123 text", "text", ""},
		{"a date with slashes", "1/2/2024 3:04:05 PM text", "text", ""},
		{"a build server's mark", "##[error]text", "text", ""},
		{"a level behind a date", "2024-01-02 03:04:05,123 - worker - ERROR - text", "text", ""},
		{"JSON of several lines", `  "message": "a \"b\"",`, `a "b"`, ""},
		{"a tool's own name", "Jul 14 15:22:06 node1 umount: /x: target is busy", "umount: /x: target is busy", "umount"},
		{"hostile: a clock alone", "12:13:14", "12:13:14", ""},
		{"hostile: a mark without end", "##[error", "##[error", ""},
		{"hostile: a name without a value", `"message": "`, "", ""},
		{"hostile: a value without a name", `": "x"`, `": "x"`, ""},
		{"syslog, its beginning cut off", "0 15:35:31 node1 crio[84998]: text", "text", "crio"},
		{"klog, its level and date cut off", " 09:10:11.121314    1234 csi_mount.go:1] text", "text", ""},
		{"hostile: a bar alone", "| ", "", ""},
		{"hostile: no month", "X: 14 15:22:06 node1 a: text", "X: 14 15:22:06 node1 a: text", ""},
		{"hostile: a tag without a pid", "[  812.123456] a[]: text", "a[]: text", "kernel"},
		{"hostile: a date cut off", "2020-01-01T00:00:0", "2020-01-01T00:00:0", ""},
		{"hostile: headers without end", "> > > > > > > > > > text", "> > text", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := line{text: tt.in, times: 1}
			l.peel()
			if l.text != tt.text || l.program != tt.program {
				t.Errorf("got %q by %q, want %q by %q", l.text, l.program, tt.text, tt.program)
			}
		})
	}
}

// A text falls into messages: what continues one is put to it, what begins another is not.
func TestRecords(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"fields with quotes that are not escaped", `time="x" level=error msg="a "b" failed" error="c \"d\"" id=7`, []string{`a "b" failed: c "d" id=7`}},
		{"fields that are cut off", `level=error msg="a \"b`, []string{`a "b`}},
		{"JSON", `{"level":"error","msg":"a","err":"b","podUID":"c"}`, []string{`a: b podUID="c"`}},
		{"a host before its JSON", `10.0.0.1: {"msg":"a"}`, []string{"a"}},
		{"JSON that is cut off", `{"msg":"a`, []string{`{"msg":"a`}},
		{"nested quotes", `Error: \\\"a\\\"\\n\tb`, []string{"Error: \"a\"\n\tb"}},
		{"an escaped tab", `a\tb`, []string{"a\tb"}},
		{"a header in an object", `{"log":"Jul 14 15:22:06 node1 dockerd[7]: a\n","stream":"stderr"}`, []string{"a"}},
		{"an octal line end", `a\012b`, []string{"a\nb"}},
		{"a quote that is open", "time=\"x\" level=error msg=\"a\nb: c\"", []string{"a b: c"}},
		{"a field on the next line", "time=\"x\"\nlevel=error msg=a", []string{"a"}},
		{"another's line before it", "Jul 14 15:22:06 node1 sshd[1]: a\nb c\nd", []string{"a", "b c", "d"}},
		{"journalctl's lines of one message", "Jul 14 15:22:06 node1 x[1]: a\n                          b", []string{"a\nb"}},
		{"journald's headers on each line", "Jul 14 15:22:06 node1 kubelet[1]: a\nJul 14 15:22:06 node1 kubelet[1]: Output: b", []string{"a\nOutput: b"}},
		{"a line that mail broke", "Jul 14 15:22:06 node1 kernel: XFS (dm-0): Filesystem has been\nshut down", []string{"XFS (dm-0): Filesystem has been shut down"}},
		{"a text that is indented", "    a:\n      b", []string{"a:\nb"}},
		{"a quoted line", "\"a b\"", []string{"a b"}},
		{"code of Markdown", "`a b`", []string{"a b"}},
		{"hostile: marks of code alone", "```", nil},
		{"a list", "1 error occurred:\n\t* b", []string{"1 error occurred:\n* b"}},
		{"a parenthesis that is open", "a (b\nc)", []string{"a (b c)"}},
		{"output of a command", "Jul 14 15:22:06 node1 kubelet[1]: failed\nOutput: x", []string{"failed\nOutput: x"}},
		{"a client's error behind a daemon's", "Jul 14 15:22:06 node1 dockerd[1]: failed\nError response from daemon: x", []string{"failed", "Error response from daemon: x"}},
		{"two messages of tools", "rm: a\numount: b", []string{"rm: a", "umount: b"}},
		{"kernel lines", "[  1.000000] a\n[  2.000000] b", []string{"a", "b"}},
		{"an empty line ends", "a:\n\nb", []string{"a:", "b"}},
		{"a cause behind one does not", "Error: a\n\nCaused by:\n    b", []string{"Error: a\nCaused by:\nb"}},
		{"a value of several lines, with the container's name", "csi-x E0101 00:00:00.000000       1 a.go:1] \"a\" err=<\ncsi-x \tError: b\ncsi-x  >\nError: c", []string{"\"a\" err=<\nError: b\n>", "Error: c"}},
		{"what a program said that failed", "E0101 00:00:00.000000       1 a.go:1] detach failed: exit status 2\niscsiadm: b", []string{"detach failed: exit status 2\niscsiadm: b"}},
		{"a tool behind another message", "E0101 00:00:00.000000       1 a.go:1] detach failed\niscsiadm: b", []string{"detach failed", "iscsiadm: b"}},
		{"a line that a terminal cut", "Error: " + strings.Repeat("x", 73) + "\n y", []string{"Error: " + strings.Repeat("x", 73) + " y"}},
		{"a line as wide as a terminal, then another", "Error: " + strings.Repeat("x", 73) + "\nY", []string{"Error: " + strings.Repeat("x", 73), "Y"}},
		{"a line cut twice at one width", "Error: " + strings.Repeat("x", 80) + "\n" + strings.Repeat("y", 87) + "\n z", []string{"Error: " + strings.Repeat("x", 80) + strings.Repeat("y", 87) + " z"}},
		{"a comma on the next line", "a\n, b", []string{"a\n, b"}},
		{"the same line again", "rm /" + strings.Repeat("x", 60) + "\nrm /" + strings.Repeat("x", 60), []string{"rm /" + strings.Repeat("x", 60), "rm /" + strings.Repeat("x", 60)}},
		{"a box that cuts words", "│ Error: xyz │\n│ abc d      │\n│ e          │", []string{"Error: xyzabc d", "e"}},
		{"output behind an empty line", "a: exit status 1\n\nOutput: b", []string{"a: exit status 1\nOutput: b"}},
		{"a tool behind journald's header", "Jul 14 15:22:06 node1 kubelet[1]: exit status 32\nJul 14 15:22:06 node1 kubelet[1]: umount: /x: y", []string{"exit status 32\numount: /x: y"}},
		{"an errno that is cut off in an object", `"a": "unlinkat /x: device or reso"}`, []string{`"a": "unlinkat /x: device or resource busy`}},
		{"an errno that a pager cut off", "unlinkat /x: device or resour>", []string{"unlinkat /x: device or resource busy"}},
		{"two messages of one width", "unlinkat /" + strings.Repeat("x", 80) + ": busy\nunlinkat /" + strings.Repeat("y", 80) + ": busy", []string{"unlinkat /" + strings.Repeat("x", 80) + ": busy", "unlinkat /" + strings.Repeat("y", 80) + ": busy"}},
		{"a line cut in a word", "Error: " + strings.Repeat("x", 60) + " filesys\ntem y", []string{"Error: " + strings.Repeat("x", 60) + " filesystem y"}},
		{"a line cut in a path", "Error: " + strings.Repeat("x", 60) + " /var/li\nb/x: y", []string{"Error: " + strings.Repeat("x", 60) + " /var/lib/x: y"}},
		{"a line cut in a UUID", "Error: " + strings.Repeat("x", 60) + " pod " + uid1[:20] + "\n" + uid1[20:] + " y", []string{"Error: " + strings.Repeat("x", 60) + " pod " + uid1 + " y"}},
		{"a line cut in quotes", "Error: " + strings.Repeat("x", 60) + " 'pvc-a\nbc' y", []string{"Error: " + strings.Repeat("x", 60) + " 'pvc-abc' y"}},
		{"a line cut between words", "Error: " + strings.Repeat("x", 60) + " device \nor resource busy", []string{"Error: " + strings.Repeat("x", 60) + " device or resource busy"}},
		{"a line cut before a colon", "Error: " + strings.Repeat("x", 60) + "\n: y", []string{"Error: " + strings.Repeat("x", 60) + ": y"}},
		{"an errno cut off", "unlinkat /x: device or reso...", []string{"unlinkat /x: device or resource busy"}},
		{"hostile: words that could be one's beginning", "what is open: de", []string{"what is open: de"}},
		{"a command and a program's error", "$ " + strings.Repeat("x", 60) + " ls /mnt/x\nls: it failed", []string{"$ " + strings.Repeat("x", 60) + " ls /mnt/x", "ls: it failed"}},
		{"a path and a program's error", "Error: " + strings.Repeat("x", 60) + " /mnt/x\nls: /x: y", []string{"Error: " + strings.Repeat("x", 60) + " /mnt/x", "ls: /x: y"}},
		{"a list of paths", "Error: " + strings.Repeat("x", 60) + " /a/b\n/c/d: y", []string{"Error: " + strings.Repeat("x", 60) + " /a/b", "/c/d: y"}},
		{"a list with empty lines", "2 errors occurred:\n\t* a\n\n\t* b", []string{"2 errors occurred:\n* a\n* b"}},
		{"a list whose lines have headers", "web_1  | 1 error occurred:\nweb_1  | \t* b", []string{"1 error occurred:\n* b"}},
		{"lines of two programs", "Jul 14 15:22:06 node1 a[1]: x:\nJul 14 15:22:06 node1 b[1]: * y", []string{"x:", "* y"}},
		{"a tool's sentence", "mount: a\n       b", []string{"mount: a\nb"}},
		{"YAML", "  message: 'a \"b\"\n    pod \"c\" : d\n    e'\n  reason: f", []string{"message: 'a \"b\" pod \"c\" : d e'", "reason: f"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantRecords(t, tt.in, tt.want)
		})
	}
}

// wantRecords fails the test unless a text has these records.
func wantRecords(t *testing.T, in string, want []string) {
	t.Helper()
	var got []string
	for r := range records([]byte(in)) {
		got = append(got, r.text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The outermost layer that the text shows is who reports.
func TestRuntime(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"kubelet quotes docker", "E0101 00:00:00.000000       1 remote_runtime.go:1] failed: Error response from daemon: x", "kubelet"},
		{"docker quotes runc", "Error response from daemon: container_linux.go:1: failed", "docker"},
		{"runc alone", "container_linux.go:1: failed", "runc"},
		{"logfmt is never kubelet's", `time="x" level=error msg="RunPodSandbox for web failed" error="failed to create pod sandbox: containerd: x"`, "containerd"},
		{"a CSI driver's klog", "E0101 00:00:00.000000       1 utils.go:1] GRPC error: failed", ""},
		{"cri-o by its tag", "Jul 14 15:22:06 node1 crio[1]: failed", "cri-o"},
		{"a tool", "umount: /x: target is busy", ""},
		{"a caller, which no engine adds", `time="x" level=error msg="remove /var/lib/docker/x: device or resource busy" func=csi.unmount file="util.go:1"`, ""},
		{"a driver of volumes", `time="x" level=error msg="NodeUnpublishVolume failed"`, ""},
		{"not the kernel's overlayfs", "fuse-overlayfs: cannot mount: x", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for r := range records([]byte(tt.in)) {
				if got := runtimeOf(&r); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			}
		})
	}
}
