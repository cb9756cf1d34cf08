package door

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// syntheticHost answers like a host with n processes, most of them in
// containers. Its numbers are as random as a kernel's.
func syntheticHost(n int) Door {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(100 + 7*i)
	}
	comms := []string{"java", "nginx", "sleep", "containerd-shim", "kworker/3:1H", "python3", "pause", "sh"}
	return &fakeDoor{
		dir: func(string) ([]string, error) { return names, nil },
		read: func(path string) ([]byte, error) {
			var pid uint64
			var file string
			fmt.Sscanf(path, "/proc/%d/%s", &pid, &file)
			// The second look sees the counters a little further on.
			r := rand.New(rand.NewPCG(pid, 1))
			comm := comms[r.IntN(len(comms))]
			container := fmt.Sprintf("%016x%016x%016x%016x", pid/5*0x9e3779b97f4a7c15, pid/5*0xbf58476d1ce4e5b9, pid/5*0x94d049bb133111eb, pid/5*0x2545f4914f6cdd1d)
			switch {
			case file == "comm":
				return []byte(comm + "\n"), nil
			case file == "wchan":
				return []byte([]string{"0", "do_epoll_wait", "futex_wait_queue", "hrtimer_nanosleep"}[r.IntN(4)]), nil
			case file == "cgroup":
				return []byte("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + container[:8] + ".slice/cri-containerd-" + container + ".scope\n"), nil
			case file == "stat":
				return fmt.Appendf(nil, "%d (%s) S %d %d %d 0 -1 4194560 %d %d %d 0 %d %d 0 0 20 0 %d 0 %d %d %d 18446744073709551615 %d %d %d 0 0 0 0 4096 1073758208 0 0 0 17 %d 0 0 0 0 0 %d %d %d %d %d %d %d 0\n",
					pid, comm, pid/5, pid, pid, r.Uint32(), r.Uint32(), r.IntN(99), r.IntN(99999)+rand.IntN(10), r.IntN(9999), 1+r.IntN(60), r.Uint32(),
					r.Uint32(), r.IntN(100000), r.Uint64()>>16, r.Uint64()>>16, r.Uint64()>>16, r.IntN(8), r.Uint64()>>16, r.Uint64()>>16, r.Uint64()>>16, r.Uint64()>>16, r.Uint64()>>16, r.Uint64()>>16, r.Uint64()>>16), nil
			case file == "status":
				return fmt.Appendf(nil, "Name:\t%s\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t\nNStgid:\t%d\t1\nNSpid:\t%d\t1\nVmPeak:\t%8d kB\nVmSize:\t%8d kB\nVmLck:\t       0 kB\nVmRSS:\t%8d kB\nRssAnon:\t%8d kB\nRssFile:\t%8d kB\nVmData:\t%8d kB\nVmStk:\t     132 kB\nVmLib:\t    1552 kB\nThreads:\t%d\nSigQ:\t0/95563\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\nSigIgn:\t%016x\nSigCgt:\t%016x\nCapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\nSpeculation_Store_Bypass:\tthread vulnerable\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\nMems_allowed:\t00000000,00000001\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t%d\nnonvoluntary_ctxt_switches:\t%d\n",
					comm, pid, pid, pid/5, pid, pid, r.IntN(9999999), r.IntN(9999999), r.IntN(999999), r.IntN(999999), r.IntN(99999), r.IntN(999999), 1+r.IntN(60), r.Uint32(), r.Uint32(), r.IntN(9999999)+rand.IntN(100), r.IntN(9999)), nil
			case strings.HasSuffix(file, "children"):
				return fmt.Appendf(nil, "%d %d ", pid+7, pid+14), nil
			}
			var b strings.Builder
			for i := range 60 {
				fmt.Fprintf(&b, "%d %d 0:%d / /var/lib/containers/storage/overlay/%s/merged/%d rw,relatime shared:%d - overlay overlay rw,lowerdir=/l/%s,upperdir=/u/%s\n",
					1000+i, 900+i, 40+i, container, i, i, container, container[:20])
			}
			return []byte(b.String()), nil
		},
	}
}
