package errtext

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

const (
	id1   = "c89c2aeff6e3e6414dfc7f448b4a560b4aac96d69a82ba021b78ee576bf6771c"
	id2   = "526c823031c2065c6fb3b92f9aaded4477eccceb65f245391a1d8a6acae13d0e"
	lay   = "6c77cfb6c0c4b1e809c47af3c5ff6a4732a783cc14ff53270a7709c837c96346"
	uid1  = "0008e5b2-6008-45b9-89cd-1aa60f896e24"
	busy1 = "Error response from daemon: driver \"overlay2\" failed to remove root filesystem for " + id1 + ": remove /var/lib/docker/overlay2/" + lay + "/merged: device or resource busy"
)

// One thing that several lines tell of is one event; two things are two.
func TestEvents(t *testing.T) {
	type want struct {
		family          Family
		container, path string
		line, times     int
	}
	merged := "/var/lib/docker/overlay2/" + lay + "/merged"
	one := want{MountBusy, id1, merged, 1, 1}
	twice := want{MountBusy, id1, merged, 1, 2}
	for _, tt := range []struct {
		name, in string
		want     []want
	}{
		{"nothing", "", nil},
		{"empty lines", "\n\r\n \n\x00\n", nil},
		{"an ordinary log", "time=\"2020-01-01T00:00:00Z\" level=info msg=\"Loading containers: done.\"\nJul 14 15:22:06 node1 systemd[1]: Started Docker Application Container Engine.\n", nil},
		{"a command alone", "$ umount /mnt/busy && echo device or resource busy\n", nil},
		{"a daemon and its client", "Jul 14 15:22:06 node1 dockerd[7]: time=\"2017-07-14T15:22:06Z\" level=error msg=\"Handler for DELETE /v1.24/containers/" + id1 + " returned error: remove " + merged + ": device or resource busy\"\n\n$ docker rm web\n" + busy1 + "\n", []want{twice}},
		{"two containers", busy1 + "\n" + strings.ReplaceAll(strings.ReplaceAll(busy1, id1, id2), lay, id1), []want{one, {MountBusy, id2, "/var/lib/docker/overlay2/" + id1 + "/merged", 2, 1}}},
		{"two paths of a container", busy1 + "\n" + strings.ReplaceAll(busy1, "/merged", "/work"), []want{one, {MountBusy, id1, "/var/lib/docker/overlay2/" + lay + "/work", 2, 1}}},
		{"rsyslog's note", busy1 + "\nJul 14 15:22:07 node1 dockerd: message repeated 3 times: [ " + busy1 + "]", []want{{MountBusy, id1, merged, 1, 4}}},
		{"syslogd's note", busy1 + "\nlast message repeated 3 times", []want{{MountBusy, id1, merged, 1, 4}}},
		{"colors and CR", "\x1b[31m" + busy1 + "\x1b[0m\r\n", []want{one}},
		{"UTF-16", strings.Join(strings.Split(busy1, ""), "\x00"), []want{one}},
		{"quoted mail", "> " + busy1, []want{one}},
		{"an id cut by the terminal", strings.Replace(busy1, lay[:40], lay[:40]+"\n", 1), []want{one}},
		{"docker's JSON file", `{"log":"` + strings.ReplaceAll(busy1, `"`, `\"`) + `\n","stream":"stderr","time":"2020-01-01T00:00:00Z"}`, []want{one}},
		{"journalctl -o json of logrus", `{"SYSLOG_IDENTIFIER":"dockerd","MESSAGE":"time=\"2020-01-01T00:00:00Z\" level=error msg=\"` + strings.ReplaceAll(busy1, `"`, `\\\"`) + `\""}`, []want{one}},
		{"journalctl's bytes", `{"MESSAGE":[114,109,58,32,99,97,110,110,111,116,32,114,101,109,111,118,101,32,39,47,120,39,58,32,68,101,118,105,99,101,32,111,114,32,114,101,115,111,117,114,99,101,32,98,117,115,121]}`, []want{{MountBusy, "", "/x", 1, 1}}},
		{"grep's file and line", "/var/log/messages-1:12:Jul 14 15:22:06 node1 dockerd: " + busy1, []want{one}},
		{"compose's name", "web_1  | " + busy1, []want{one}},
		{"a CRI log file", "2020-01-01T00:00:00.000000000Z stderr F " + busy1, []want{one}},
		{"an event's count", "  Warning  FailedKillPod  3m (x12 over 27m)  kubelet  error killing pod: " + busy1, []want{{MountBusy, id1, merged, 1, 12}}},
		{"an error of which nothing is known", "ERRO[0000] it failed", []want{{Other, "", "", 1, 1}}},
		{"the same beside another", "ERRO[0000] it failed\n\n\n\n" + busy1, []want{{MountBusy, id1, merged, 5, 1}}},
		{"what is busy but does not say so, alone", "Device or resource busy", []want{{Other, "", "", 1, 1}}},
		{"the same before one that does", "npm ERR! code EBUSY\nnpm ERR! EBUSY: resource busy or locked, rmdir '/x'", []want{{MountBusy, "", "/x", 2, 1}}},
		{"an error of which nothing is known, of a client", "Error: it failed", []want{{Other, "", "", 1, 1}}},
		{"a failure of which nothing is known", "it failed", nil},
		{"a path with spaces", `rm: cannot remove '/srv/my files/x': Device or resource busy`, []want{{MountBusy, "", "/srv/my files/x", 1, 1}}},
		{"what a command named whose error does not", "sh-4.4# sudo rmdir /mnt\nrmdir: Device or resource busy", []want{{MountBusy, "", "/mnt", 2, 1}}},
		{"a command that named two", "$ rmdir /mnt /srv\nrmdir: Device or resource busy", []want{{MountBusy, "", "", 2, 1}}},
		{"a command and another's error", "$ rmdir /mnt\numount: Device or resource busy", []want{{MountBusy, "", "", 2, 1}}},
		{"hostile: a prompt alone", "$ a", nil},
		{"kubelet's output over lines", "E0714 15:22:06.123456     123 nestedpendingoperations.go:301] Operation failed for pod \"" + uid1 + "\": unmount failed: exit status 32\nUnmounting arguments: /var/lib/kubelet/pods/" + uid1 + "/volumes/kubernetes.io~secret/t\nOutput: umount: /var/lib/kubelet/pods/" + uid1 + "/volumes/kubernetes.io~secret/t: target is busy.\n        (In some cases useful info about processes that use\n         the device is found by lsof(8) or fuser(1))\n", []want{{MountBusy, "", "/var/lib/kubelet/pods/" + uid1 + "/volumes/kubernetes.io~secret/t", 1, 1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events := Read([]byte(tt.in))
			var got []want
			for _, e := range events {
				got = append(got, want{e.Family, e.Container, e.Path, e.Line, e.Times})
			}
			if len(got) != len(tt.want) {
				t.Fatalf("got %+v\nwant %+v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("got %+v\nwant %+v", got[i], tt.want[i])
				}
			}
		})
	}
}

// Fields of an event are pieces of the text, a pod's UID with dashes; counts and
// lines are those of the text; and no input takes the reader down.
func FuzzRead(f *testing.F) {
	for _, file := range []string{"errors.jsonl", "kmsg.jsonl", "thinpool.jsonl"} {
		for _, r := range rows(f, file) {
			f.Add([]byte(r.Text))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var unwrapped strings.Builder
		for r := range records(text) {
			unwrapped.WriteString(r.text + "\n")
		}
		whole := unwrapped.String()
		dashed := strings.ReplaceAll(lower(whole), "_", "-")
		for _, e := range Read(text) {
			for _, field := range []string{e.Path, e.Device, e.Process} {
				if !strings.Contains(whole, field) {
					t.Errorf("%q is not in %q", field, whole)
				}
			}
			if !strings.Contains(lower(whole), e.Container) || !strings.Contains(dashed, e.PodUID) {
				t.Errorf("container %q or pod %q is not in %q", e.Container, e.PodUID, whole)
			}
			if e.Line < 1 || e.Line > bytes.Count(text, []byte("\n"))+1 || e.Times < 1 || len(e.Text) > longestText || e.Family == "" || e.Cause == "" {
				t.Errorf("event %+v of %q", e, text)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var corpus bytes.Buffer
	for _, r := range rows(b, "errors.jsonl") {
		corpus.WriteString(r.Text + "\n")
	}
	quiet := []byte("Jul 14 15:22:06 node1 dockerd[7]: time=\"2017-07-14T15:22:06.567346680+08:00\" level=info msg=\"Container " + id1 + " started with network bridge and 3 volumes\"\n")
	for _, bb := range []struct {
		name string
		text []byte
	}{
		{"errors", bytes.Repeat(corpus.Bytes(), 100)},
		{"quiet log", bytes.Repeat(quiet, 10000)},
		{"long lines", bytes.Repeat(append(bytes.Repeat([]byte("/a \"b: (busy "), 4600), '\n'), 20)},
		{"paths in one word", bytes.Repeat(append(bytes.Repeat([]byte("/,"), 30000), " busy failed\n"...), 20)},
		{"one word", bytes.Repeat(append(bytes.Repeat([]byte("/a"), 30000), " busy failed\n"...), 20)},
		{"quotes", bytes.Repeat([]byte("x=\"\n"), 300000)},
		{"ids", bytes.Repeat([]byte(id1+"\n"), 30000)},
		{"UUIDs", bytes.Repeat(append(bytes.Repeat([]byte(uid1+"_"), 1600), " failed\n"...), 20)},
		{"busy", bytes.Repeat([]byte("rm: /x: device or resource busy\n"), 30000)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(bb.text)))
			for b.Loop() {
				Read(bb.text)
			}
		})
	}
}

// A report of an incident, with commands, tables and prose in Chinese, tells of
// what its errors say and of nothing else.
func TestReport(t *testing.T) {
	text, err := os.ReadFile("testdata/report.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range Read(text) {
		got = append(got, strings.TrimSpace(string(e.Family)+" "+e.Container[:min(6, len(e.Container))]+" "+e.Device))
	}
	want := "mount-busy 593d8a, mount-busy 3a2739, thinpool  65, mount-busy c8d3ee, mount-busy a5144c, mount-busy bdd60d, mount-busy 847b5b, mount-busy a85e44, mount-busy 526c82, thinpool  86"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
}

// An EBUSY that is no leaked mount says why; one that may be says nothing.
func TestNoLeak(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want string // part of the reason; "" for none
	}{
		{"rm: cannot remove '/x': Device or resource busy", ""},
		{"rbd: unmap failed: (16) Device or resource busy", ""},
		{"/dev/sdb is apparently in use by the system; will not make a filesystem here!", ""},
		{"umount: /sys/fs/cgroup/memory: target is busy.", ""},
		{"rmdir: failed to remove '/sys/fs/cgroup/memory/x': Device or resource busy", "cgroup"},
		{"write /sys/fs/cgroup/x/memory.limit_in_bytes: device or resource busy", "memory limit"},
		{"write /sys/fs/cgroup/x/cgroup.subtree_control: device or resource busy", "leaf"},
		{"bash: ./app: Text file busy", "ETXTBSY"},
		{"ioctl(KVM_CREATE_VM) failed: 16 Device or resource busy", "KVM"},
		{"listen tcp :80: bind: address already in use", "port"},
		{"E: Could not get lock /var/lib/dpkg/lock - open (11: Resource temporarily unavailable)", "lock file"},
		{"  Can't open /dev/sdc exclusively.  Mounted filesystem?", "alone"},
	} {
		t.Run(tt.in, func(t *testing.T) {
			events := Read([]byte(tt.in))
			if len(events) != 1 || (events[0].NoLeak != "") != (tt.want != "") || !strings.Contains(events[0].NoLeak, tt.want) {
				t.Errorf("got %+v, want a reason with %q", events, tt.want)
			}
		})
	}
}

// The seven fields are always printed, as null where the text does not say.
func TestJSON(t *testing.T) {
	got, err := json.Marshal(Event{Family: MountBusy, Path: "/x"})
	want := `{"family":"mount-busy","runtime":null,"driver":null,"container":null,"path":"/x","device":null,"podUID":null}`
	if err != nil || string(got) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}
