package kmsg

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// stamped puts a time before each line, step microseconds apart, as dmesg does.
func stamped(step int, lines ...string) string {
	var b strings.Builder
	for i, l := range lines {
		usec := 5_000_000 + i*step
		fmt.Fprintf(&b, "[%5d.%06d] %s\n", usec/1_000_000, usec%1_000_000, l)
	}
	return b.String()
}

// old is what Linux 3.10 to 4.18 prints of an OOM of a cgroup.
func old(comm, id string, table []string, victim, child string) []string {
	lines := []string{
		comm + " invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0",
		comm + " cpuset=" + id + " mems_allowed=0",
		"CPU: 2 PID: 32498 Comm: " + comm + " Not tainted 3.10.0-1160.el7.x86_64 #1",
		"Call Trace:", " [<ffffffff8163a909>] dump_stack+0x19/0x1b",
		"Task in /docker/" + id + " killed as a result of limit of /docker/" + id,
		"memory: usage 10240kB, limit 10240kB, failcnt 14",
		"memory+swap: usage 10240kB, limit 9007199254740988kB, failcnt 0",
		"kmem: usage 0kB, limit 9007199254740988kB, failcnt 0",
		"Memory cgroup stats for /docker/" + id + ": cache:0KB rss:10240KB",
	}
	if table != nil {
		lines = append(lines, "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name")
		lines = append(lines, table...)
	}
	lines = append(lines, "Memory cgroup out of memory: Kill process "+victim+" score 970 or sacrifice child")
	if child != "" {
		lines = append(lines, "Killed process "+child+" total-vm:20255636kB, anon-rss:466160kB, file-rss:13684kB")
	}
	return lines
}

func chosenLine(cpuset, limit, task, comm string, pid int) string {
	return fmt.Sprintf("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=%s,mems_allowed=0,oom_memcg=%s,task_memcg=%s,task=%s,pid=%d,uid=0", cpuset, limit, task, comm, pid)
}

func killedLine(comm string, pid int) string {
	return fmt.Sprintf("Memory cgroup out of memory: Killed process %d (%s) total-vm:26852kB, anon-rss:15884kB, file-rss:852kB, shmem-rss:0kB, UID:0 pgtables:80kB oom_score_adj:0", pid, comm)
}

func TestOOM(t *testing.T) {
	oom := func(id, pod, comm string, pid int) short { return short{OOM, id, pod, comm, pid, ""} }
	pod := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice"
	for _, tt := range []struct {
		name  string
		lines []string
		want  []short
	}{
		{"3.10, a child is killed", old("java", idA, nil, "24572 (java)", "28438 (worker)"), []short{oom(idA, "", "worker", 28438)}},
		{"3.10, cut off before the kill", old("java", idA, nil, "24572 (java)", ""), []short{oom(idA, "", "java", 24572)}},
		{"RHEL 7", append(old("java", idA, nil, "7 (java)", ""), "Killed process 7 (java), UID 0, total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB"), []short{oom(idA, "", "java", 7)}},
		{"RHEL 6", append(old("java", idA, nil, "7 (java)", ""), "Killed process 7, UID 679, (java) total-vm:11017300kB, anon-rss:1kB, file-rss:1kB"), []short{oom(idA, "", "java", 7)}},
		{"3.10, threads and the reaper", append(old("java", idA, nil, "7 (java)", "7 (java)"), "Kill process 8 (java) sharing same memory", "oom_reaper: reaped process 7 (java), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB"), []short{oom(idA, "", "java", 7)}},
		{"Task in, in two printks", []string{"a invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0", "Task in /docker/" + idA + " killed"}, []short{oom(idA, "", "", 0)}},
		{"a limit without a task", []string{"a invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0", "Memory limit reached of cgroup /docker/" + idB, "Memory cgroup out of memory: Killed process 9 (b) total-vm:1kB"}, []short{oom(idB, "", "b", 9)}},
		{"5.0 to 5.2, a child is killed", []string{chosenLine(idA, "/docker/"+idA, "/docker/"+idA, "sh", 5), "Memory cgroup out of memory: Kill process 5 (sh) score 990 or sacrifice child", "Killed process 6 (dd) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB"}, []short{oom(idA, "", "dd", 6)}},
		{"5.3 on", []string{"sh invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0", chosenLine(idA, "/docker/"+idA, "/docker/"+idA, "sh", 5), killedLine("sh", 5)}, []short{oom(idA, "", "sh", 5)}},
		{"the pod's limit, another container's victim", []string{"sh invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0", "sh cpuset=cri-containerd-" + idA + ".scope mems_allowed=0",
			chosenLine("cri-containerd-"+idA+".scope", pod, pod+"/cri-containerd-"+idB+".scope", "db", 5), killedLine("db", 5)}, []short{oom(idB, uid, "db", 5)}},
		{"the whole group", []string{chosenLine("/", "/docker/"+idA, "/docker/"+idA, "sh", 5), killedLine("sh", 5), "Tasks in /docker/" + idA + " are going to be killed due to memory.oom.group set", killedLine("dd", 6), killedLine("cat", 7),
			"oom_reaper: reaped process 6 (dd), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB"}, []short{oom(idA, "", "sh", 5), oom(idA, "", "dd", 6), oom(idA, "", "cat", 7)}},
		{"already exiting", []string{"Memory cgroup out of memory: OOM victim 77 (sh) is already exiting. Skip killing the task"}, []short{oom("", "", "sh", 77)}},
		{"the host's, of 6.x", []string{"a invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0", "a cpuset=" + idA + " mems_allowed=0",
			"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=" + idA + ",mems_allowed=0,global_oom,task_memcg=/docker/" + idB + ",task=db,pid=9,uid=0",
			"Out of memory: Killed process 9 (db) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0"}, []short{oom(idB, "", "db", 9)}},
		{"the host's, old: the invoker's container is not the victim's", []string{"a invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0", "a cpuset=" + idA + " mems_allowed=0", "CPU: 2 PID: 3 Comm: a Not tainted 3.10.0",
			"Out of memory: Kill process 994 (db) score 4 or sacrifice child", "Killed process 994 (db) total-vm:1kB, anon-rss:1kB, file-rss:0kB"}, []short{oom("", "", "db", 994)}},
		{"the host's, old: the invoker is the victim", []string{"db invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0", "db cpuset=" + idA + " mems_allowed=0", "CPU: 2 PID: 994 Comm: db Not tainted 3.10.0",
			"Out of memory (oom_kill_allocating_task): Kill process 994 (db) score 0 or sacrifice child", "Killed process 994 (db) total-vm:1kB, anon-rss:1kB, file-rss:0kB"}, []short{oom(idA, "", "db", 994)}},
		{"nobody to kill", []string{"Out of memory and no killable processes..."}, []short{oom("", "", "", 0)}},
		{"panic", []string{"Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled"}, []short{oom("", "", "", 0)}},
		{"the reaper alone", []string{"oom_reaper: reaped process 28438 (java), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB"}, []short{oom("", "", "java", 28438)}},
		{"no OOM: an allocation failed", []string{"kworker/0:1: page allocation failure: order:5, mode:0x40dc0", "kworker/0:1 cpuset=/ mems_allowed=0", "CPU: 0 PID: 9 Comm: kworker/0:1 Not tainted"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, text := range []string{stamped(10, tt.lines...), strings.Join(tt.lines, "\n")} {
				if got := shorts(read(t, text)); !reflect.DeepEqual(got, tt.want) {
					t.Errorf("%+v, want %+v\n%s", got, tt.want, text)
				}
			}
		})
	}
}

// Names that a container chooses look like the kernel's messages.
func TestHostileNames(t *testing.T) {
	a, b := "/docker/"+idA, "/docker/"+idB
	forged := ",task_memcg=" + b + ",task=x,pid=1,uid=0"
	for _, tt := range []struct {
		name  string
		lines []string
		want  []short
	}{
		{"a comm that is a message", []string{"Killed process 1 (x) invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0", chosenLine(idA, a, a, "Killed process 1 (x)", 5), killedLine("Killed process 1 (x)", 5)}, []short{{OOM, idA, "", "Killed process 1 (x)", 5, ""}}},
		{"a comm that ends a message", []string{chosenLine(idA, a, a, "a) total-vm:1kB", 5), killedLine("a) total-vm:1kB", 5)}, []short{{OOM, idA, "", "a) total-vm:1kB", 5, ""}}},
		{"a comm with a UID, RHEL 7", []string{"Killed process 5 (a) total-vm:), UID 0, total-vm:1kB, anon-rss:1kB"}, []short{{OOM, "", "", "a) total-vm:", 5, ""}}},
		{"a comm with fields", []string{chosenLine(idA, a, a, ",pid=1,uid=0", 5)}, []short{{OOM, idA, "", ",pid=1,uid=0", 5, ""}}},
		{"a comm with a task", []string{chosenLine(idA, a, a, "a,task=b", 5)}, []short{{OOM, idA, "", "a,task=b", 5, ""}}},
		{"a limit's cgroup with another's fields", []string{chosenLine("x", a+"/x"+forged, a+"/x"+forged+"/y", "sh", 5), killedLine("sh", 5)}, []short{{OOM, idA, "", "sh", 5, ""}}},
		{"a limit's cgroup with a bare field", []string{chosenLine("x", a+"/x,task_memcg=", a+"/x,task_memcg=/y", "sh", 5), killedLine("sh", 5)}, []short{{OOM, idA, "", "sh", 5, ""}}},
		{"a cpuset with fields", []string{chosenLine("x,mems_allowed=0,global_oom,task_memcg=", a, a, "sh", 5), killedLine("sh", 5)}, []short{{OOM, idA, "", "sh", 5, ""}}},
		{"a cgroup with the kernel's words", []string{"Task in " + a + "/x killed as a result of limit of " + b + " killed as a result of limit of " + a, "Memory cgroup out of memory: Kill process 5 (sh) score 1 or sacrifice child"}, []short{{OOM, idA, "", "sh", 5, ""}}},
		{"a newline in a comm", []string{`7,8,9,-;` + killedLine(`a\x0aKilled proce`, 5)}, []short{{OOM, "", "", "a\nKilled proce", 5, ""}}},
		{"a newline in a comm, in a text", strings.Split(chosenLine(idA, a, a, "1) \n Killed pro(", 5)+"\n"+killedLine("1) \n Killed pro(", 5), "\n"), []short{{OOM, idA, "", "1", 5, ""}}},
		{"a pid that is none", []string{"Killed process 99999999999 (x) total-vm:1kB", "Killed process 0 (x) total-vm:1kB", "Killed process -1 (x) total-vm:1kB"}, nil},
		{"written by a process", []string{`12,8,9,-;` + killedLine("x", 5), "<14>" + killedLine("x", 5), "user  :notice: [    1.000000] " + killedLine("x", 5), `{"_TRANSPORT":"stdout","MESSAGE":"` + killedLine("x", 5) + `"}`}, nil},
		{"another program's", []string{`May  8 14:05:34 node1 containerd[77]: ` + killedLine("x", 5), `time="2020-05-08T14:05:34Z" level=info msg="` + killedLine("x", 5) + `"`, `May  8 14:05:34 node1 kubelet[1]: kernel: ` + killedLine("x", 5)}, nil},
		{"a shipper's", []string{`{"message":"` + killedLine("x", 5) + `","ident":"kernel","hostname":"n"}`}, []short{{OOM, "", "", "x", 5, ""}}},
		{"a shipper's, with the whole line", []string{`{"log":"[12345.678901] ` + killedLine("x", 5) + `\n","stream":"stdout"}`, `{"message":"Aug 30 06:58:55 node1 kernel: [1.000000] ` + killedLine("y", 6) + `"}`}, []short{{OOM, "", "", "x", 5, ""}, {OOM, "", "", "y", 6, ""}}},
		{"a shipper's, of a program", []string{`{"message":"` + killedLine("x", 5) + `","ident":"app"}`, `{"message":"Aug 30 06:58:55 node1 app[7]: ` + killedLine("y", 6) + `"}`}, nil},
		{"the journal's", []string{`{"_TRANSPORT":"kernel","__REALTIME_TIMESTAMP":"1600000000000000","MESSAGE":"` + killedLine("x", 5) + `"}`}, []short{{OOM, "", "", "x", 5, ""}}},
		{"NUL and escapes", []string{"\x00\x1b[31m", killedLine("\x1b[31m\x00", 5)}, []short{{OOM, "", "", "\x1b[31m\x00", 5, ""}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := shorts(read(t, strings.Join(tt.lines, "\n"))); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, want %+v\n%s", got, tt.want, strings.Join(tt.lines, "\n"))
			}
		})
	}
}

// mixed puts the lines of two reports between each other as cut says: a for the
// next of x, b for the next of y.
func mixed(cut string, x, y []string) (out []string) {
	for _, c := range cut {
		from := &x
		if c == 'b' {
			from = &y
		}
		if len(*from) > 0 {
			out, *from = append(out, (*from)[0]), (*from)[1:]
		}
	}
	return append(append(out, x...), y...)
}

// Reports of two cgroups that are mixed are told apart, or the container is not
// said.
func TestMixed(t *testing.T) {
	x := old("java", idA, []string{"[  100]     0   100  1  1  1  0  0 java"}, "100 (java)", "100 (java)")
	y := old("node", idB, []string{"[  200]     0   200  1  1  1  0  0 node"}, "200 (node)", "200 (node)")
	twin := old("java", idB, []string{"[  200]     0   200  1  1  1  0  0 java"}, "200 (java)", "200 (java)")
	bare := old("java", idB, nil, "200 (java)", "200 (java)")
	for _, tt := range []struct {
		name, cut string
		x, y      []string
		a, b      string // container of pid 100 and of pid 200
	}{
		{"by turns", strings.Repeat("ab", 13), x, y, idA, idB},
		{"by turns, the same comm", strings.Repeat("ab", 13), x, twin, "", ""},
		{"one inside of the other", "aaaaa" + strings.Repeat("b", 20), x, y, idA, idB},
		{"one inside of the other, the same comm", "aaaaa" + strings.Repeat("b", 20), x, twin, "", ""},
		{"kills last, the same comm", strings.Repeat("a", 12) + strings.Repeat("b", 12), x, twin, idA, idB},
		{"kills last, swapped, the same comm", strings.Repeat("a", 12) + strings.Repeat("b", 12) + "abba", x, twin, idA, idB},
		{"kills last, swapped, no tables", strings.Repeat("a", 10) + strings.Repeat("b", 10), old("java", idA, nil, "100 (java)", "100 (java)"), bare, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := map[int]string{}
			text := stamped(10, mixed(tt.cut, tt.x, tt.y)...)
			kills := 0
			for _, e := range read(t, text) {
				if e.PID != 0 {
					got[e.PID] = e.Container
					kills++
				}
			}
			if kills != 2 {
				t.Errorf("%d kills\n%s", kills, text)
			}
			if want := map[int]string{100: tt.a, 200: tt.b}; !reflect.DeepEqual(got, want) {
				t.Errorf("%v, want %v\n%s", got, want, text)
			}
		})
	}
}

// Whatever way two reports with the same names are mixed, no victim gets the
// other's container.
func FuzzMixed(f *testing.F) {
	f.Add(uint64(0x5555), true)
	f.Add(uint64(0x0ff0), false)
	f.Fuzz(func(t *testing.T, order uint64, tables bool) {
		rows := func(row string) []string {
			if tables {
				return []string{row}
			}
			return nil
		}
		x := old("java", idA, rows("[  100]     0   100  1  1  1  0  0 java"), "100 (java)", "100 (java)")
		y := old("java", idB, rows("[  200]     0   200  1  1  1  0  0 java"), "200 (java)", "200 (java)")
		cut := ""
		a, b := len(x), len(y)
		for ; a > 0 && b > 0; order >>= 1 {
			if order&1 == 0 {
				cut, a = cut+"a", a-1
			} else {
				cut, b = cut+"b", b-1
			}
		}
		for _, e := range read(t, stamped(10, mixed(cut, x, y)...)) {
			if e.PID == 100 && e.Container == idB || e.PID == 200 && e.Container == idA {
				t.Errorf("pid %d in %s\n%s", e.PID, e.Container, strings.Join(mixed(cut, x, y), "\n"))
			}
		}
	})
}

// A stale beginning takes no later kill.
func TestStale(t *testing.T) {
	lines := "[ 10.000000] java invoked oom-killer: gfp_mask=0xd0, order=0\n[ 10.000001] java cpuset=" + idA + " mems_allowed=0\n[ 500.000000] " + killedLine("db", 5) + "\n"
	want := []short{{family: OOM, container: idA}, {family: OOM, process: "db", pid: 5}}
	if got := shorts(read(t, lines)); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A pod of many containers fills the text with their statistics; the kill is in it
// all the same.
func TestTextHasTheKill(t *testing.T) {
	lines := old("java", idA, nil, "7 (java)", "")
	for i := range 50 {
		lines = append(lines[:10], append([]string{fmt.Sprintf("Memory cgroup stats for /docker/%s/%d: cache:0KB rss:10240KB rss_huge:0KB shmem:0KB", idA, i)}, lines[10:]...)...)
	}
	if e := read(t, strings.Join(append(lines, killedLine("java", 7)), "\n"))[0]; !strings.HasSuffix(e.Text, killedLine("java", 7)) {
		t.Errorf("%s", e.Text)
	}
}

// A log of two boots begins anew at 0.
func TestTwoBoots(t *testing.T) {
	lines := "[ 500.000000] java invoked oom-killer: gfp_mask=0xd0, order=0\n[ 500.000001] java cpuset=" + idA + " mems_allowed=0\n[ 10.000000] " + killedLine("db", 5) + "\n"
	want := []short{{family: OOM, container: idA}, {family: OOM, process: "db", pid: 5}}
	if got := shorts(read(t, lines)); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// The limit is the cgroup's, in bytes, and who is around a container is told.
func TestDetails(t *testing.T) {
	e := read(t, stamped(10, old("java", idA, nil, "7 (java)", "7 (java)")...))[0]
	if e.Limit != 10240<<10 || e.Global || e.Boot.Seconds() != 5 || e.Cgroup != "/docker/"+idA || strings.Count(e.Text, "\n") < 5 {
		t.Errorf("%+v", e)
	}
	limit := "/docker/" + idA + "/x,task_memcg=/docker/" + idB // a container may nest this below its own
	e = read(t, chosenLine("x", limit, limit+"/y", "sh", 5))[0]
	if e.Cgroup != limit+"/y" || !reflect.DeepEqual(e.Outer, []string{idA}) {
		t.Errorf("%+v", e)
	}
	e = read(t, chosenLine("/", "/docker/"+idB, "/docker/"+idB+"/docker/"+idA, "sh", 5))[0]
	if e.Container != idA || !reflect.DeepEqual(e.Outer, []string{idB}) {
		t.Errorf("%+v", e)
	}
}
