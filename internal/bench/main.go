// Command bench times sexton beside the tools that it replaces, on hosts of
// growing size, in one run, and prints ratios. Run it as root: make bench.
//
// A host of n processes is a PID namespace in which a shell has started n
// sleeps; it ends with its first process. CPU is user and system time of the
// command and its children as wait4(2) gives it, the median of interleaved
// rounds. The machine may be shared: trust the ratio.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// contest is what is compared: the first is sexton.
var contest = [][]string{
	{"sexton", "scan", "--interval", "0", "--check", "unreaped-children,half-dead,pid-budget,no-init,hung-task", "-o", "json"},
	{"ps", "-eLo", "pid,ppid,stat,comm"},
}

func main() {
	sexton := flag.String("sexton", "bin/sexton", "the binary to time")
	rounds := flag.Int("rounds", 7, "rounds, interleaved")
	sizes := flag.String("sizes", "300,3000,10000", "numbers of processes")
	flag.Parse()
	path, err := filepath.Abs(*sexton)
	if err == nil {
		contest[0][0] = path
		err = run(strings.Split(*sizes, ","), *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(sizes []string, rounds int) error {
	fmt.Println("processes  sexton CPU ms  us/process  ps CPU ms  ratio  sexton wall ms  peak RSS MB")
	for _, size := range sizes {
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		if err := measure(n, rounds); err != nil {
			return err
		}
	}
	return nil
}

func measure(n, rounds int) error {
	host, err := makeHost(n)
	if err != nil {
		return err
	}
	defer host()
	var all [2][]sample
	for range rounds {
		for i, command := range contest {
			s, err := timeOf(command)
			if err != nil {
				return err
			}
			all[i] = append(all[i], s)
		}
	}
	us, ps := median(all[0]), median(all[1])
	fmt.Printf("%9d  %13.1f  %10.1f  %9.1f  %5.2f  %14.1f  %11.1f\n", n, ms(us.cpu), float64(us.cpu.Microseconds())/float64(n),
		ms(ps.cpu), float64(us.cpu)/float64(ps.cpu), ms(us.wall), float64(us.rss)/(1<<20))
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// A sample is one run of a command.
type sample struct {
	cpu, wall time.Duration
	rss       int64 // bytes, the peak
}

func timeOf(command []string) (sample, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	began := time.Now()
	err := cmd.Run()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() < 0 {
		return sample{}, fmt.Errorf("%s: %w", command[0], err)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return sample{cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), time.Since(began), usage.Maxrss << 10}, nil
}

func median(all []sample) sample {
	slices.SortFunc(all, func(a, b sample) int { return int(a.cpu - b.cpu) })
	m := all[len(all)/2]
	for _, s := range all {
		m.rss = max(m.rss, s.rss)
	}
	return m
}

// makeHost starts n processes in a PID namespace and returns a function that ends them.
func makeHost(n int) (end func(), err error) {
	script := fmt.Sprintf("i=0; while [ $i -lt %d ]; do sleep 900 & i=$((i+1)); done; echo up; exec sleep 900", n)
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("a host of %d processes: %w", n, err)
	}
	end = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	up := make([]byte, 3)
	if _, err := io.ReadFull(out, up); err != nil {
		end()
		return nil, fmt.Errorf("a host of %d processes: %w", n, err)
	}
	return end, nil
}
