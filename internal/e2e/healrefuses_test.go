package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// healRefuses asks for what heal must not do: it says why, ends with 5 and has done nothing.
func healRefuses(t *testing.T) {
	t.Run("plans", refusesPlans)
	t.Run("journals", refusesJournals)
	t.Run("nested", refusesNested)
	t.Run("busy", refusesBusy)
	t.Run("live", refusesLive)
	t.Run("stopped", refusesStopped)
	t.Run("traced", refusesTraced)
	t.Run("first", refusesFirst)
}

// leaking is a host with one mount that can be unmounted, and the words of a heal that would.
func leaking(t *testing.T) (h ownHost, heal []string, unchanged func(t *testing.T)) {
	h = newHost(t, slow)
	h.sexton(t, "lab", "up", "mount-private-root", "--on-this-host", "--for", "3m").exits(t, clean)
	t.Cleanup(func() { h.sexton(t, "lab", "down") })
	before := h.state(t)
	unchanged = func(t *testing.T) {
		t.Helper()
		same(t, "refused", before, h.state(t), false, nil)
	}
	return h, []string{"heal", "--interval=0", "--apply", "--yes"}, unchanged
}

// A plan is for one boot and its file for nobody else to write, and heal does no
// more than the live host's plan has, too.
func refusesPlans(t *testing.T) {
	h, heal, unchanged := leaking(t)
	good := h.sexton(t, "heal", "--interval=0", "-o", "json").exits(t, clean)
	if n := len(good.plan(t).Steps); n == 0 {
		t.Fatalf("no step\n%s", good)
	}
	dir := t.TempDir()
	journal := filepath.Join(dir, "journal")
	change := func(path string, value any) func(*testing.T, string) {
		return func(t *testing.T, file string) { rewrite(t, file, good.stdout, path, value) }
	}
	write := func(text string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, file string) {
			if err := os.WriteFile(file, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
			os.Chmod(file, mode)
		}
	}
	for _, tt := range []struct {
		name string
		make func(t *testing.T, file string)
		says string
	}{
		{"another boot", change("bootID", "7d2f1e5c-0000-4000-8000-000000000000"), "it was planned before the last boot: pids, mounts and namespaces are others now; plan again: sexton heal"},
		{"another risk", change("steps.0.risk", "disruptive"), "the plan's file was changed: this step is not the one that its id names; plan again: sexton heal"},
		{"another target", change("steps.0.target.mount", 2147483700), "the plan's file was changed: this step is not the one"},
		{"another path", change("steps.0.target.path", "/"), "the plan's file was changed: this step is not the one"},
		{"another action", change("steps.0.action", "restart-holder"), "the plan's file was changed: this step is not the one"},
		{"another id", change("steps.0.id", "0123456789abcdef"), "the plan's file was changed: this step is not the one"},
		{"for all to write", write(good.stdout, 0o666), "others may write it (mode -rw-rw-rw-): chmod go-w"},
		{"somebody's", func(t *testing.T, file string) {
			write(good.stdout, 0o644)(t, file)
			if err := os.Chown(file, 65534, 0); err != nil {
				t.Fatal(err)
			}
		}, "it belongs to uid 65534, and must be root's or yours"},
		{"a link", func(t *testing.T, file string) {
			write(good.stdout, 0o644)(t, file+".real")
			if err := os.Symlink(file+".real", file); err != nil {
				t.Fatal(err)
			}
		}, "it is a symbolic link"},
		{"a pipe", func(t *testing.T, file string) {
			if err := unix.Mkfifo(file, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "it is no regular file"},
		{"no JSON", write("steps: []\n", 0o644), "it is no plan: invalid character"},
		{"another kind", write(`{"apiVersion":"sexton/v1","kind":"Report"}`, 0o644), `it is no plan of sexton/v1: kind "Report"`},
		{"nothing", func(*testing.T, string) {}, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-"))
			tt.make(t, file)
			h.sexton(t, append(heal, "--plan", file, "--journal", journal)...).exits(t, unhealed).says(t, tt.says)
			unchanged(t)
		})
	}
	t.Run("nobody is asked", func(t *testing.T) {
		h.sexton(t, "heal", "--interval=0", "--apply", "--journal", journal).exits(t, unhealed).
			says(t, "nobody is asked: standard input is no terminal", "try: --yes, after a look at the plan: sexton heal")
		unchanged(t)
	})
	t.Run("and the plan as it was is carried out", func(t *testing.T) {
		file := filepath.Join(dir, "good")
		write(good.stdout, 0o644)(t, file)
		p := h.sexton(t, append(heal, "--plan", file, "--journal", journal, "-o", "json")...).exits(t, clean, unhealed).plan(t)
		if len(p.is("done")) != 1 {
			t.Error(p.run)
		}
	})
}

// rewrite writes a plan with one value changed, by a path such as steps.0.risk.
func rewrite(t *testing.T, file, text, path string, value any) {
	t.Helper()
	var all any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		t.Fatal(err)
	}
	at, words := all, strings.Split(path, ".")
	for _, word := range words[:len(words)-1] {
		if n, err := strconv.Atoi(word); err == nil {
			at = at.([]any)[n]
		} else {
			at = at.(map[string]any)[word]
		}
	}
	at.(map[string]any)[words[len(words)-1]] = value
	out, err := json.Marshal(all)
	if err == nil {
		err = os.WriteFile(file, out, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What cannot be written down is not done.
func refusesJournals(t *testing.T) {
	h, heal, unchanged := leaking(t)
	dir := t.TempDir()
	for _, tt := range []struct{ name, mount, says string }{
		{"full", "mount -t tmpfs -o size=4k full %[1]s; dd if=/dev/zero of=%[1]s/x bs=4k count=1 status=none", "no space left on device"},
		{"read-only", "mount -t tmpfs -o ro,size=4k shut %[1]s", "read-only file system"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := filepath.Join(dir, tt.name)
			if err := os.Mkdir(at, 0o755); err != nil {
				t.Fatal(err)
			}
			h.exec(t, "sh", "-ec", fmt.Sprintf(tt.mount, at)).exits(t, clean)
			journal := filepath.Join(at, "journal")
			h.sexton(t, append(heal, "--journal", journal)...).exits(t, unhealed).
				says(t, "journal "+journal, tt.says, "nothing is done that cannot be written down first", "try: --journal PATH on a disk that can be written")
			h.exec(t, "umount", at).exits(t, clean)
			unchanged(t)
		})
	}
	t.Run("a pipe", func(t *testing.T) { // nobody writes into it, and nobody waits for it
		pipe := filepath.Join(dir, "pipe")
		if err := unix.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		h.sexton(t, append(heal, "--journal", pipe)...).exits(t, unhealed).says(t, "journal "+pipe+": it is no regular file", "nothing is done")
		h.sexton(t, "heal", "--resume", "--journal", pipe).exits(t, unhealed).says(t, "journal "+pipe+": it is no regular file")
		h.sexton(t, "journal", "--journal", pipe).exits(t, 1).says(t, "journal "+pipe+": it is no regular file")
		unchanged(t)
	})
	t.Run("full amid an act", func(t *testing.T) { // of which nobody could know beforehand
		h.exec(t, "sh", "-ec", fmt.Sprintf("mkdir %[1]s/amid; mount -t tmpfs -o size=4k amid %[1]s/amid; yes '' | head -c 1500 >%[1]s/amid/journal", dir)).exits(t, clean)
		journal := filepath.Join(dir, "amid/journal")
		h.sexton(t, append(heal, "--journal", journal)...).exits(t, unhealed).says(t, "done: looked again: gone", "journal "+journal, "no space left on device")
		h.exec(t, "mount", "-o", "remount,size=64k", filepath.Join(dir, "amid")).exits(t, clean)
		h.sexton(t, "heal", "--resume", "--interval=0", "--journal", journal).exits(t, clean).says(t, "cut short, and it was done")
		h.sexton(t, "heal", "--resume", "--interval=0", "--journal", journal).exits(t, clean).says(t, "No act was cut short.")
	})
}

// From a PID namespace of its own heal does not see whose mounts would go outside.
func refusesNested(t *testing.T) {
	h, heal, unchanged := leaking(t)
	h.exec(t, append([]string{sexton()}, heal...)...).exits(t, unhealed).
		says(t, "nothing was done: this PID namespace is not the host's", "try: in the host's: docker run --pid=host, or nsenter -t 1 -a; or --nested")
	unchanged(t)
	journal := filepath.Join(t.TempDir(), "j")
	const begun = `{"event":"begin","plan":"p","step":{"id":"1","action":"unmount-in-namespace","target":{"kind":"mount","mount":1}}}` + "\n"
	if err := os.WriteFile(journal, []byte(begun), 0o600); err != nil {
		t.Fatal(err)
	}
	h.exec(t, sexton(), "heal", "--resume", "--interval=0", "--journal", journal).exits(t, unhealed).says(t, "nothing was done: this PID namespace is not the host's")
	if text, err := os.ReadFile(journal); err != nil || string(text) != begun {
		t.Errorf("%v: %s", err, text)
	}
}

// A process whose directory is in the leaked copy keeps it.
func refusesBusy(t *testing.T) {
	h, heal, _ := leaking(t)
	found := h.sexton(t, "scan", "--interval=0", "-o", "json").exits(t, findings).report(t).of("leaked-mount")
	i := slices.IndexFunc(found, func(f finding) bool { return f.Severity == "warning" })
	if i < 0 {
		t.Fatal("no leak")
	}
	h.start(t, fmt.Sprintf("cd /proc/%d/root%s && as lodger", found[i].Holders[0].PID, found[i].Subject.Path), "lodger")
	before := h.state(t)
	p := h.sexton(t, append(heal, "--journal", filepath.Join(t.TempDir(), "j"), "-o", "json")...).exits(t, unhealed).plan(t)
	refusedBecause(t, p, "unmount-in-namespace", "it is in use")
	same(t, "refused", before, h.state(t), false, nil)
}

// refusedBecause fails the test unless nothing was done and an action was refused with this sentence.
func refusedBecause(t *testing.T, p healPlan, action, why string) {
	t.Helper()
	ok := false
	for _, s := range p.Steps {
		if s.Status != "refused" {
			t.Errorf("%s is %s: %s", s.Does, s.Status, s.Why)
		}
		ok = ok || s.Action == action && strings.Contains(s.Why, why)
	}
	if !ok {
		t.Errorf("no %s was refused with %q\n%s", action, why, p.run)
	}
}

// An unmount reaches a slave that has something else on the same directory by now.
func refusesLive(t *testing.T) {
	h := newHost(t, slow)
	dir := t.TempDir()
	other := t.TempDir()
	at := filepath.Join(dir, "kubelet/plugins/kubernetes.io/csi/pv/pvc-1/globalmount")
	h.start(t, fmt.Sprintf(`cd %s; export AT=%s; mount -t tmpfs volumes .; mount --make-shared .; cd .; mkdir -p $AT; mount -t tmpfs vol $AT
		unshare -m --propagation private bash -ec '
			mount --make-shared %[1]s
			unshare -m --propagation slave bash -ec "umount $AT; mount --bind ${AT%%/*} %[3]s; mount -t tmpfs other %[3]s/globalmount; as neighbour" &
			as keeper' &
		until grep -q neighbour /proc/[0-9]*/comm; do sleep 0.02; done; umount $AT; as owner`, dir, at, other), "owner")
	before := h.state(t)
	p := h.sexton(t, "heal", "--interval=0", "--apply", "--yes", "--journal", "/run/sexton/j", "-o", "json").exits(t, unhealed).plan(t)
	refusedBecause(t, p, "unmount-in-namespace", "on "+other+"/globalmount in mnt:[")
	refusedBecause(t, p, "unmount-in-namespace", "would go along, and neighbour")
	same(t, "refused", before, h.state(t), false, nil)
}

// Whom somebody stops for a moment is not resumed; and one healer is enough.
func refusesStopped(t *testing.T) {
	h := newHost(t, slow)
	pid := h.start(t, "sleep 0 & as careless", "careless")
	outside := h.outer(t, pid)
	signal := func(s syscall.Signal, state string) {
		t.Helper()
		if err := syscall.Kill(outside, s); err != nil {
			t.Fatal(err)
		}
		hosttest.Until(t, soon, "state "+state, func() bool { return stateOf(outside) == state })
	}
	signal(syscall.SIGSTOP, "T")
	file, journal := filepath.Join(t.TempDir(), "plan"), filepath.Join(t.TempDir(), "journal")
	planned := h.sexton(t, "heal", quick, "-o", "json").exits(t, clean)
	if err := os.WriteFile(file, []byte(planned.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := planned.plan(t).Steps; len(s) != 1 || s[0].Action != "resume-process" || s[0].Target.PID != pid {
		t.Fatal(planned)
	}
	heal := []string{"heal", quick, "--apply", "--yes", "--nested", "--max-risk", "disruptive", "--journal", journal}

	t.Run("less than a minute ago", func(t *testing.T) {
		argv := slices.Concat(h.enter, []string{sexton()}, heal)
		cmd := exec.Command(argv[0], argv[1:]...)
		said := filepath.Join(t.TempDir(), "stderr")
		stderr, err := os.Create(said)
		if err != nil {
			t.Fatal(err)
		}
		defer stderr.Close()
		cmd.Stderr = stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		says := func() string { text, _ := os.ReadFile(said); return string(text) }
		const must = "must stay stopped for a minute, or somebody stopped it for a moment only"
		hosttest.Until(t, soon, "it waits", func() bool {
			_, err := os.Stat(h.proc + "/../run/sexton/heal.lock")
			return err == nil && h.pid("sexton") != 0
		})
		healer := h.pid("sexton")
		t.Run("second healer", func(t *testing.T) {
			h.sexton(t, heal...).exits(t, unhealed).
				says(t, fmt.Sprintf("another sexton heals this host: pid %d, uid 0", healer), "try: wait for it to end; a plan without --apply can be made meanwhile")
			elsewhere := append([]string{"unshare", "-m", "sh", "-c", `mount -t tmpfs other /run/sexton && exec "$0" "$@"`, sexton()}, heal...) // as in a container
			h.exec(t, elsewhere...).exits(t, unhealed).says(t, fmt.Sprintf("another sexton heals this host: pid %d, uid 0", healer))
			h.sexton(t, "heal", quick).exits(t, clean)
		})
		hosttest.Until(t, soon, "it says for what it waits", func() bool { return strings.Contains(says(), must) })
		if err := syscall.Kill(h.outer(t, healer), syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		err = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != unhealed || !strings.Contains(says(), "s: careless (pid "+fmt.Sprint(pid)+") "+must) {
			t.Errorf("exit %d, %v: %s", code, err, says())
		}
		if state := stateOf(outside); state != "T" {
			t.Errorf("state %s", state)
		}
	})
	t.Run("and again since", func(t *testing.T) {
		signal(syscall.SIGCONT, "S")
		signal(syscall.SIGSTOP, "T")
		p := h.sexton(t, append(heal, "--plan", file, "-o", "json")...).exits(t, unhealed).plan(t)
		refusedBecause(t, p, "resume-process", fmt.Sprintf("careless (pid %d) has run since it was planned: somebody stops it and lets it run on; plan again: sexton heal", pid))
		if state := stateOf(outside); state != "T" {
			t.Errorf("state %s", state)
		}
	})
	t.Run("risk", func(t *testing.T) {
		p := h.sexton(t, "heal", quick, "--apply", "--yes", "--journal", journal, "-o", "json").exits(t, unhealed).plan(t)
		refusedBecause(t, p, "resume-process", "its risk is disruptive; --max-risk disruptive allows it")
	})
}

// Nothing is put into a process that somebody debugs.
func refusesTraced(t *testing.T) {
	h := newHost(t, slow)
	h.sexton(t, "lab", "up", "zombies", "--on-this-host", "--for", "3m").exits(t, clean)
	t.Cleanup(func() { h.sexton(t, "lab", "down") })
	p := h.sexton(t, "heal", quick, "-o", "json").exits(t, clean).plan(t)
	if len(p.Steps) != 1 || p.Steps[0].Action != "reap-by-ptrace" {
		t.Fatal(p.run)
	}
	parent := fmt.Sprint(p.Steps[0].Target.PID)
	debugger := h.debugger(t, parent)
	heal := []string{"heal", quick, "--apply", "--yes", "--max-risk", "disruptive", "--journal", "/run/sexton/j", "-o", "json"}
	p = h.sexton(t, heal...).exits(t, unhealed).plan(t)
	refusedBecause(t, p, "reap-by-ptrace", "process "+parent+" is traced by process ")
	for _, s := range p.Steps { // the kernel names the thread
		_, by, _ := strings.Cut(s.Why, "is traced by process ")
		by, _, _ = strings.Cut(by, ":")
		if !fileExists(fmt.Sprintf("%s/%d/task/%s", h.proc, h.pid("debugger"), by)) {
			t.Errorf("%s is no thread of the debugger's", by)
		}
	}
	debugger()
	if p = h.sexton(t, heal...).exits(t, clean).plan(t); len(p.is("done")) != 1 {
		t.Errorf("without the debugger: %s", p.run)
	}
}

// The first process of a host is never signalled, nor reaped for, whatever a step says.
func refusesFirst(t *testing.T) {
	h := newHost(t, slow)
	first, _ := identity(h.proc + "/1")
	start := strings.Fields(first)[1]
	for action, says := range map[string]string{
		"resume-process": "it is the host's own init",
		"reap-by-ptrace": "process 1 is the first process of the machine, or of sexton's own container",
	} {
		order := fmt.Sprintf(`{"step":{"action":%q,"target":{"kind":"process","pid":1,"start":%s,"children":[{"pid":2,"start":1}]}}}`, action, start)
		r := h.exec(t, "sh", "-c", "printf '%s\\n' \"$1\" | "+sexton()+" __act", "sh", order).exits(t, clean)
		if !strings.Contains(r.stdout, `"status":"refused"`) || !strings.Contains(r.stdout, says) {
			t.Errorf("%s: %s", action, r)
		}
	}
}
