//go:build vm

package vm

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A storageReport is what a scan says of thin pools.
type storageReport struct {
	Findings []storageFinding
	Unknown  []struct{ Check, What, Why string }
}

type storageFinding struct {
	ID, Check, Severity, Title, Cause, Harm string
	Subject                                 struct{ Name, Device string }
	Holders                                 []holderSeen
	Remedies                                []struct{ Action string }
	Evidence                                []struct{ Source, Text string }
	Advice                                  []string
}

type holderSeen struct {
	Kind, Comm string
	PID        int
}

// storage scans for what is wrong with pools.
func storage(t *testing.T, flags ...string) storageReport {
	t.Helper()
	var got storageReport
	r := sexton(t, append([]string{"scan", "--interval", "0", "--check", "thin-pool-space,thin-pool-missing,thin-delete-failed,held-device", "-o", "json"}, flags...)...)
	r.exits(t, 3, &got)
	for _, u := range got.Unknown {
		if u.Check != "" {
			t.Errorf("cannot tell %s: %s: %s", u.Check, u.What, u.Why)
		}
	}
	return got
}

// one is the finding with this id, or the first of a check with this name.
func (r storageReport) one(t *testing.T, id string) storageFinding {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f storageFinding) bool { return f.ID == id || f.Check == id })
	if i < 0 {
		t.Fatalf("no finding %s: %+v", id, r.Findings)
	}
	return r.Findings[i]
}

// says fails the test unless the finding is of this severity and has these words.
func (f storageFinding) says(t *testing.T, severity string, words ...string) {
	t.Helper()
	text := f.Title + ". " + f.Cause + ". " + strings.Join(f.Advice, " ")
	for _, e := range f.Evidence {
		text += " " + e.Source + ": " + e.Text
	}
	for _, word := range words {
		if f.Severity != severity || !strings.Contains(text, word) {
			t.Errorf("%s is %s, want %s and %q: %s", f.ID, f.Severity, severity, word, text)
		}
	}
}

const busyDelete = "thin-delete-failed/sexton-lab-pool/1"

// Each fault of pools is found with its cause, and what can be healed is.
func TestThin(t *testing.T) {
	up(t, "thin-pool")
	t.Run("another is taken down", func(t *testing.T) { up(t, "zombies") }) // and leaves all of this
	t.Run("found", thinFound)
	t.Run("explained", thinExplained)
	t.Run("missing", thinMissing)
	t.Run("acts compare", thinActs)
	t.Run("healed", thinHealed)
}

func thinFound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "recording.tar.zst")
	got := storage(t, "--record", file)
	if again := storage(t, "--from", file); !reflect.DeepEqual(again, got) {
		t.Errorf("the recording says %+v, the host %+v", again, got)
	}
	busy := got.one(t, busyDelete)
	busy.says(t, "warning", "it is mapped as sexton-lab-thin-1", "EBUSY", "sexton-lab:unit", "another mount namespace still has it", "Deletion of thin device 1 failed", "holds device 1", "open count 1")
	if len(busy.Holders) != 1 || busy.Holders[0].Kind != "process" || busy.Holders[0].Comm != "sexton-lab:unit" {
		t.Errorf("held by %+v", busy.Holders)
	}
	got.one(t, "thin-delete-failed/99").says(t, "info", "no pool holds it", "ENODATA")
	got.one(t, "thin-pool-space/sexton-lab-full").says(t, "critical", "is full", "data 32/32 blocks of 64 KiB", "error_if_no_space")
	got.one(t, "thin-pool-space/sexton-lab-bad").says(t, "critical", "thin_check")
	for _, f := range got.Findings {
		t.Logf("%s %s: %s. %s", f.Severity, f.ID, f.Title, f.Cause)
	}
}

// What people paste is explained with who holds the device here.
func thinExplained(t *testing.T) {
	const file = "/tmp/pasted"
	text := "device-mapper: thin: Deletion of thin device 1 failed.\nName: sexton-lab-thin-1\nState: ACTIVE\nOpen count: 1\nMajor, minor: " + strings.Replace(mappedNumber(t, "sexton-lab-thin-1"), ":", ", ", 1) + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file)
	r := sexton(t, "why", file, "--parse")
	r.exits(t, 0, nil)
	if !strings.Contains(r.stdout, `"openCount":1`) || !strings.Contains(r.stdout, `"next":"who has it open: sexton holders `) {
		t.Error(r)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd := exec.Command("/bin/sexton", "why", "-", "--interval", "0")
	cmd.Stdin = in
	out, _ := cmd.Output() // 3: something is wrong
	said := strings.Join(strings.Fields(string(out)), " ")
	for _, want := range []string{"the line is the same for both", "Found here: thin device 1 of pool sexton-lab-pool cannot be deleted", "sexton-lab:unit", "Device sexton-lab-thin-1", "is open (count 1)"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said: %s", want, out)
		}
	}
}

// The machine has no LVM and no docker: files alone say which pool is wanted.
func thinMissing(t *testing.T) {
	for file, text := range map[string]string{
		"/etc/docker/daemon.json":     `{"storage-driver": "devicemapper", "storage-opts": ["dm.thinpooldev=/dev/mapper/docker-thinpool"]}`,
		"/etc/containerd/config.toml": "version = 2\n[plugins.\"io.containerd.snapshotter.v1.devmapper\"]\npool_name = \"sexton-lab-pool\"\n",
		"/etc/lvm/backup/docker":      "contents = \"Text Format Volume Group\"\ncreation_time = 1544757611\ndocker {\nid = \"x\"\nlogical_volumes {\nthinpool {\nsegment1 {\ntype = \"thin-pool\"\n}\n}\n}\n}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(file) })
	}
	got := storage(t)
	got.one(t, "thin-pool-missing/docker/docker-thinpool").says(t, "critical", "no device of that name exists", "volume thinpool of group docker", "/etc/docker/daemon.json: storage-opts: dm.thinpooldev",
		"vgchange -ay docker", "cp -a /var/lib/docker", "lvremove docker/thinpool", "vgremove docker", "sexton does none of this", "couldn't read superblock")
	if slices.ContainsFunc(got.Findings, func(f storageFinding) bool { return strings.Contains(f.ID, "missing/containerd") }) {
		t.Errorf("containerd's pool is there: %+v", got.Findings)
	}
}

// An act refuses what is not the very device that its step names, also when the plan said so.
func thinActs(t *testing.T) {
	number := mappedNumber(t, "sexton-lab-thin-1")
	pool := mappedNumber(t, "sexton-lab-pool")
	for _, tt := range []struct{ name, action, target, want string }{
		{"open", "deferred-remove", `{"kind":"mapped","name":"sexton-lab-thin-1","device":"` + number + `","thin":1}`, "open 1 times"},
		{"another name", "deferred-remove", `{"kind":"mapped","name":"other","device":"` + number + `","thin":1}`, "not other"},
		{"another UUID", "deferred-remove", `{"kind":"mapped","name":"sexton-lab-thin-1","uuid":"LVM-x","device":"` + number + `","thin":1}`, `not sexton-lab-thin-1 (UUID "LVM-x")`},
		{"another id", "deferred-remove", `{"kind":"mapped","name":"sexton-lab-thin-1","device":"` + number + `","thin":2}`, "thin device 1, not 2"},
		{"a pool", "deferred-remove", `{"kind":"mapped","name":"sexton-lab-pool","device":"` + pool + `","thin":1}`, "no thin device"},
		{"no mapped device", "deferred-remove", `{"kind":"mapped","name":"loop0","device":"7:0","thin":1}`, "not of device-mapper"},
		{"gone", "deferred-remove", `{"kind":"mapped","name":"x","device":"` + strings.Split(number, ":")[0] + `:99","thin":1}`, "gone already"},
		{"mapped", "delete-thin", `{"kind":"thin","name":"sexton-lab-pool","device":"` + pool + `","thin":1}`, "is mapped"},
		{"not there", "delete-thin", `{"kind":"thin","name":"sexton-lab-pool","device":"` + pool + `","thin":98}`, "gone already"},
		{"transaction", "delete-thin", `{"kind":"thin","name":"sexton-lab-pool","device":"` + pool + `","thin":1,"transaction":7}`, "transaction 0, not 7"},
		{"no pool", "delete-thin", `{"kind":"thin","name":"sexton-lab-thin-1","device":"` + number + `","thin":1}`, "no thin pool"},
		{"a full pool", "delete-thin", `{"kind":"thin","name":"sexton-lab-full","device":"` + mappedNumber(t, "sexton-lab-full") + `","thin":2}`, "out_of_data_space"},
	} {
		cmd := exec.Command("/bin/sexton", "__act")
		cmd.Stdin = strings.NewReader(`{"step":{"action":"` + tt.action + `","target":` + tt.target + "}}\n")
		text, err := cmd.CombinedOutput()
		var said struct {
			Outcome struct{ Status, Why string }
		}
		if err != nil || json.Unmarshal(text, &said) != nil {
			t.Errorf("%s: %v: %s", tt.name, err, text)
			continue
		}
		if o := said.Outcome; o.Status != "refused" && o.Status != "not-needed" || !strings.Contains(o.Why, tt.want) {
			t.Errorf("%s: want %q: %s", tt.name, tt.want, text)
		}
	}
	if now := mappedNumber(t, "sexton-lab-thin-1"); now != number {
		t.Errorf("the device is %q now", now)
	}
}

// mappedNumber is the number of a mapped device, "" if there is none of that name.
func mappedNumber(t *testing.T, name string) string {
	t.Helper()
	files, err := filepath.Glob("/sys/block/dm-*/dm/name")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(text)) == name {
			number, err := os.ReadFile(filepath.Dir(filepath.Dir(file)) + "/dev")
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(number))
		}
	}
	return ""
}

type steps struct {
	Steps []struct{ Action, Status, Why string }
}

func (s steps) of(action string) (status, why string) {
	for _, step := range s.Steps {
		if step.Action == action {
			return step.Status, step.Why
		}
	}
	return "", ""
}

// The holder is freed, then what is mapped removed, then the device deleted: each
// only when its risk was named.
func thinHealed(t *testing.T) {
	for _, tt := range []struct {
		risk   string
		code   int
		status map[string]string
	}{
		{"safe", 5, map[string]string{"unmount-in-namespace": "done", "deferred-remove": "refused", "delete-thin": "refused"}},
		{"destructive", 0, map[string]string{"deferred-remove": "done", "delete-thin": "done"}},
	} {
		var did steps
		r := sexton(t, "heal", busyDelete, "--check", "thin-delete-failed", "--apply", "--yes", "--max-risk", tt.risk, "--interval", "0", "-o", "json")
		r.exits(t, tt.code, &did)
		for action, want := range tt.status {
			if got, why := did.of(action); got != want {
				t.Errorf("--max-risk %s: %s is %q (%s), want %q", tt.risk, action, got, why, want)
			}
		}
		t.Logf("--max-risk %s: %+v", tt.risk, did.Steps)
	}
	if left := mappedNumber(t, "sexton-lab-thin-1"); left != "" {
		t.Errorf("it is still mapped: %s", left)
	}
	got := storage(t)
	got.one(t, "thin-delete-failed/1").says(t, "info", "no pool holds it", "holds 0 devices, and no 1")
	if slices.ContainsFunc(got.Findings, func(f storageFinding) bool { return f.Check == "held-device" }) {
		t.Errorf("it is still held: %+v", got.Findings)
	}
}
