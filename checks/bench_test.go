package checks

import (
	"cmp"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// bigHost has 1000 mount namespaces with 100 mounts and 3 processes each: the
// host's and those of 999 containers, every one of which has a layer of its own as
// "/" and the host's directories, with 96 layers in them, below /host. As slaves
// these hear of each unmount; as private mounts they keep all layers, half of
// which the host has unmounted.
func bigHost(private bool) *snapshot.Host {
	h := &snapshot.Host{Taken: time.Unix(1_700_000_000, 0), Uptime: 1e6, Root: true, Kernel: "6.18.0", Settings: &snapshot.Settings{},
		Mounts: &snapshot.Mounts{Way: "statmount", Settled: true, Most: 100_000}}
	for n := range 1000 {
		p := snapshot.Process{PPID: min(1, n), Start: uint64(n), State: snapshot.Sleeping, Cgroup: "/system.slice/x.service"}
		if n > 0 {
			p.Container = fmt.Sprintf("%064x", n)
			p.Cgroup = "/docker/" + p.Container
			h.Containers = append(h.Containers, snapshot.Container{ID: p.Container, Name: fmt.Sprint("app-", n), Runtime: "docker", State: "running"})
		}
		ns := snapshot.MountNamespace{Inode: 4026531840 + uint64(n), ID: uint64(n + 1), Owner: 0xEFFFFFFD, Mounts: bigTable(n, private)}
		for k, comm := range []string{"systemd", "dockerd", "containerd"} {
			p.PID, p.Comm = 1+3*n+k, comm
			if n > 0 {
				p.Comm = "app"
			}
			h.Processes = append(h.Processes, p)
			ns.Pins = append(ns.Pins, snapshot.Pin{Kind: "process", PID: p.PID})
			h.Mounts.References = append(h.Mounts.References, snapshot.Reference{PID: p.PID, Kind: "cwd", Mount: ns.Mounts[0].ID, Device: ns.Mounts[0].Device, Link: "/"})
		}
		h.Mounts.Namespaces = append(h.Mounts.Namespaces, ns)
	}
	for i := 1; i <= layers; i++ {
		h.Mounts.Blocks = append(h.Mounts.Blocks, snapshot.Block{Name: fmt.Sprint("rbd", i), Device: fmt.Sprint("0:", 100+i), Alive: []string{"ext4"}})
	}
	h.Sort()
	return h
}

const layers = 96

// bigTable is the mounts of namespace n.
func bigTable(n int, private bool) []snapshot.Mount {
	var out []snapshot.Mount
	first := uint64(1 + 1000*n)
	add := func(m snapshot.Mount, group uint64) {
		m.ID, m.Parent, m.Root = first+uint64(len(out)), first+min(1, uint64(n)), "/"
		switch {
		case n == 0:
			m.Shared = group
		case !private:
			m.Master = group
		}
		out = append(out, m)
	}
	layer := func(i int, point string, group uint64) {
		add(snapshot.Mount{Device: fmt.Sprint("0:", 100+i), Point: point, Type: "overlay", Source: "overlay", Super: "rw,lowerdir=/l/A:/l/B,upperdir=/l/diff,workdir=/l/work"}, group)
	}
	prefix, gone := "", 0
	if n > 0 {
		prefix = "/host"
		layer(1000+n, "/", 0)
	} else if private {
		gone = layers / 2
	}
	add(snapshot.Mount{Device: "8:1", Point: cmp.Or(prefix, "/"), Type: "ext4", Source: "/dev/sda1"}, 1)
	for i, dir := range []string{"/proc", "/sys"} {
		add(snapshot.Mount{Device: fmt.Sprint("0:", 20+i), Point: prefix + dir, Type: dir[1:], Source: dir[1:]}, uint64(2+i))
	}
	for i := gone + 1; i <= layers; i++ {
		layer(i, prefix+fmt.Sprintf("/var/lib/docker/overlay2/%064x/merged", i), uint64(10+i))
	}
	out[0].Parent = 1 << 40 // in no namespace
	if n > 0 {
		out[1].Parent = out[0].ID
	}
	return out
}

// What the checks that look at mounts pay on a big host, together and each.
func BenchmarkMounts(b *testing.B) {
	var all []*check.Check
	for _, c := range All() {
		if slices.Contains(c.Needs, snapshot.MountTables) {
			all = append(all, c)
		}
	}
	for _, bb := range []struct {
		name string
		host *snapshot.Host
	}{{"slaves", bigHost(false)}, {"private", bigHost(true)}} {
		run := func(name string, chosen []*check.Check) {
			b.Run(bb.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				found, before := 0, cpu(b)
				for b.Loop() {
					bb.host.Sort() // forget what was built for it
					found = len(check.Run(chosen, check.Pass{Now: bb.host, Before: bb.host, Limits: check.Defaults}).Findings)
				}
				b.ReportMetric(float64(found), "findings")
				b.ReportMetric((cpu(b)-before).Seconds()*1e3/float64(b.N), "cpu-ms/op")
			})
		}
		run("all", all)
		for _, c := range all {
			run(c.Name, []*check.Check{c})
		}
	}
}

// cpu is the processor time of this process: the machine may be shared.
func cpu(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
