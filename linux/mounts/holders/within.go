package holders

import (
	"slices"

	"sexton.dev/linux/mounts/bpf"
)

// fewProcesses are looked at sooner than a BPF program is loaded that tells which need
// not be: that takes 1.5 ms, and the links of a process 8 µs.
const fewProcesses = 250

// within lists the processes that may be in a namespace that is asked about, as the kernel
// tells them: they are looked at all the same. nil: all may.
func (p *pinWalk) within() []int {
	if !p.req.Only || p.req.Asked == nil || Numbered(p.req.Proc, fewProcesses) != nil {
		return nil
	}
	tasks, err := bpf.Tasks()
	if err != nil {
		return nil // it is only a faster way
	}
	asked := p.withBinders(p.req.Asked)
	pids := []int{}
	for _, is := range tasks {
		if is.Unsure || asked[is.Namespace] {
			pids = append(pids, is.PID)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// withBinders adds the namespaces in which these are bound, and those in which those are.
func (p *pinWalk) withBinders(inodes []uint64) map[uint64]bool {
	all := map[uint64]bool{}
	for left := slices.Clone(inodes); len(left) > 0; {
		inode := left[len(left)-1]
		left = left[:len(left)-1]
		if all[inode] {
			continue
		}
		all[inode] = true
		for _, pin := range p.pins[inode] {
			if pin.Kind == Bind {
				left = append(left, pin.Namespace)
			}
		}
	}
	return all
}
