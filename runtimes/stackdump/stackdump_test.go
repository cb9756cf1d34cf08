package stackdump

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// roleVariable makes the test binary a daemon that writes at SIGUSR1 what it is told to.
const roleVariable = "SEXTON_STACKDUMP_ROLE"

func TestMain(m *testing.M) {
	if IsChild(os.Args[1:]) {
		os.Exit(ChildMain(os.Args[1:], os.Stdout))
	}
	if role := os.Getenv(roleVariable); role != "" {
		play(role)
		return
	}
	os.Exit(m.Run())
}

// play is a daemon: it writes to a file, to its standard error, or nothing.
func play(role string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGUSR1)
	if pipe := os.Getenv("PIPE"); pipe != "" { // a containerd that has a shim's pipe open
		f, err := os.OpenFile(pipe, os.O_RDWR, 0)
		if err != nil {
			panic(err)
		}
		defer f.Close()
		go io.Copy(os.Stderr, f)
	}
	fmt.Println("ready")
	for range c {
		text := make([]byte, 1<<20)
		text = text[:runtime.Stack(text, true)]
		how, where, _ := strings.Cut(role, ":")
		switch how {
		case "file":
			os.WriteFile(where, text, 0o600)
		case "slow": // into a directory, by its number
			time.Sleep(300 * time.Millisecond)
			os.WriteFile(filepath.Join(where, fmt.Sprintf("containerd.%d.stacks.log", os.Getpid())), text, 0o600)
		case "log":
			fmt.Fprintf(os.Stderr, "time=x level=info msg=%q runtime=io.containerd.runc.v2 pid=%d\n", "=== BEGIN goroutine stack dump ===\n"+string(text)+"\n=== END goroutine stack dump ===", os.Getpid())
		case "pipe":
			f, _ := os.OpenFile("log", os.O_WRONLY, 0)
			fmt.Fprintf(f, "msg=%q pid=%d\n", "=== BEGIN goroutine stack dump ===\nnot this\n=== END goroutine stack dump ===", 1)
			fmt.Fprintf(f, "msg=%q pid=%d path=%q\n", "=== BEGIN goroutine stack dump ===\n"+string(text)+"\n=== END goroutine stack dump ===", os.Getpid(), "/x")
			f.Close()
		}
	}
}

// A daemon is a process of the test's own, executed under another name.
type daemon struct {
	*exec.Cmd
	t   *testing.T
	dir string
}

func start(t *testing.T, program, name, role string, more func(*daemon)) *daemon {
	t.Helper()
	hosttest.NeedsRoot(t)
	dir := t.TempDir()
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, name)
	if err := os.WriteFile(exe, text, 0o755); err != nil {
		t.Fatal(err)
	}
	d := &daemon{exec.Command(exe), t, dir}
	d.Env = append(os.Environ(), roleVariable+"="+role, "TMPDIR="+dir)
	if more != nil {
		more(d)
	}
	out, err := d.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Process.Kill(); d.Wait() })
	if role != "" {
		if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

const patience = 20 * time.Second

// gives takes a dump and wants goroutines in it, and the place that it is from.
func (d *daemon) gives(layer, from string) {
	d.t.Helper()
	taken, err := Take(d.t.Context(), d.Process.Pid, 0, patience)
	if err != nil {
		d.t.Fatal(err)
	}
	defer taken.Close()
	text, err := io.ReadAll(taken)
	if err != nil || !strings.Contains(string(text), "goroutine 1 [") || strings.Contains(string(text), "not this") {
		d.t.Errorf("%v: %.300q", err, text)
	}
	if taken.Layer != layer || taken.From != from || taken.PID != d.Process.Pid {
		d.t.Errorf("%+v, want %s from %s", taken.Dump, layer, from)
	}
}

// refuses wants an error with a text and a hint, and a process that lives on.
func (d *daemon) refuses(want string, wait time.Duration) {
	d.t.Helper()
	_, err := Take(d.t.Context(), d.Process.Pid, 0, wait)
	bad, ok := err.(failure)
	if !ok || !strings.Contains(bad.text, want) || bad.try == "" {
		d.t.Errorf("%v, want %q and a hint", err, want)
	}
	if d.Process.Signal(syscall.Signal(0)) != nil {
		d.t.Error("it did not survive")
	}
}

const me = "/proc/self/exe"

func TestDockerd(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "goroutine-stacks-2026-01-02T030405Z.log")
	flags := func(d *daemon) { d.Args = append(d.Args, "--exec-root", dir, "--config-file=/no") }
	d := start(t, me, "dockerd", "file:"+file, flags)
	d.gives("dockerd", file)
	// A second dump within the same second has the same name.
	d.gives("dockerd", file)
	if err := os.WriteFile(filepath.Join(dir, "goroutine-stacks-old.log"), []byte("goroutine 9 [x]:\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.gives("dockerd", file)
}

func TestDockerdConfigured(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(config, fmt.Appendf(nil, `{"exec-root": %q}`, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "goroutine-stacks-x.log")
	start(t, me, "dockerd", "file:"+file, func(d *daemon) { d.Args = append(d.Args, "--config-file", config) }).gives("dockerd", file)
}

func TestContainerd(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	log.WriteString("level=info msg=\"=== BEGIN goroutine stack dump ===\\nold\\n=== END goroutine stack dump ===\"\n")
	temp := t.TempDir()
	d := start(t, me, "containerd", "slow:"+temp, func(d *daemon) { d.Stderr, d.Env = log, append(d.Env, "TMPDIR="+temp) })
	d.gives("containerd", filepath.Join(temp, fmt.Sprintf("containerd.%d.stacks.log", d.Process.Pid)))
}

func TestShim(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "log")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "containerd.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	shim := start(t, me, "containerd-shim-runc-v2", "pipe", func(d *daemon) { d.Dir = dir })
	t.Run("nobody reads", func(t *testing.T) { shim.refuses("no containerd reads its log", patience) })
	reader := start(t, me, "containerd", "none", func(d *daemon) { d.Stderr, d.Env = log, append(d.Env, "PIPE="+pipe) })
	shim.gives("shim", log.Name())
	t.Run("the reader is stopped", func(t *testing.T) {
		reader.Process.Signal(syscall.SIGSTOP)
		hosttest.Until(t, patience, "state T", func() bool { s, err := readStat(reader.Process.Pid); return err == nil && s.State == 'T' })
		shim.refuses(fmt.Sprintf("containerd (pid %d), which has to write its log, is stopped", reader.Process.Pid), patience)
		reader.Process.Signal(syscall.SIGCONT)
	})
	shim.gives("shim", log.Name())
}

// Whoever the signal could kill, or who would not act on it, gets none.
func TestRefused(t *testing.T) {
	t.Run("another program", func(t *testing.T) {
		start(t, me, "nginx", "none", nil).refuses(`it executes "nginx", which is none of dockerd`, patience)
	})
	t.Run("no handler", func(t *testing.T) {
		start(t, "/bin/sleep", "dockerd", "", func(d *daemon) { d.Args = append(d.Args, "1000") }).refuses("it has no handler for SIGUSR1, which would kill it", patience)
	})
	t.Run("stopped", func(t *testing.T) {
		d := start(t, me, "dockerd", "none", nil)
		d.Process.Signal(syscall.SIGSTOP)
		hosttest.Until(t, patience, "state T", func() bool { s, err := readStat(d.Process.Pid); return err == nil && s.State == 'T' })
		d.refuses("it is stopped (state T) and writes no dump before it goes on", patience)
	})
	t.Run("silent", func(t *testing.T) {
		start(t, me, "dockerd", "none", func(d *daemon) { d.Args = append(d.Args, "--exec-root", d.dir, "--data-root", "/no") }).
			refuses("wrote none in time: looked at ", 300*time.Millisecond)
	})
	t.Run("a log that is a pipe", func(t *testing.T) {
		dir := t.TempDir()
		pipe := filepath.Join(dir, "log")
		if err := unix.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		start(t, me, "containerd", "none", func(d *daemon) { d.Env = append(d.Env, "PIPE="+pipe) }) // its standard error is /dev/null
		start(t, me, "containerd-shim-runc-v2", "none", func(d *daemon) { d.Dir = dir }).refuses("it is /dev/null, which cannot be read from here", patience)
	})
	t.Run("nobody reads its log", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		file := filepath.Join(t.TempDir(), "goroutine-stacks-x.log")
		d := start(t, me, "dockerd", "file:"+file, func(d *daemon) {
			d.Args, d.Stderr = append(d.Args, "--exec-root", filepath.Dir(file), "--config-file=/no"), w
		})
		w.WriteString("a line")
		d.refuses("6 bytes wait in the pipe of its log, which nobody reads", patience)
		time.AfterFunc(drainedWithin/3, func() { r.Read(make([]byte, 100)) })
		d.gives("dockerd", file)
	})
	t.Run("another process of that number", func(t *testing.T) {
		d := start(t, me, "dockerd", "none", nil)
		if _, err := Take(t.Context(), d.Process.Pid, 1, patience); err == nil || !strings.Contains(err.Error(), "the one that has the number now started at tick") {
			t.Error(err)
		}
	})
	t.Run("gone", func(t *testing.T) {
		if _, err := Take(t.Context(), 1<<22+1, 0, patience); err == nil || err.Error() != "pid 4194305: the process has ended" {
			t.Error(err)
		}
	})
	t.Run("a kernel thread", func(t *testing.T) {
		hosttest.NeedsKernelThreads(t)
		if _, err := Take(t.Context(), 2, 0, patience); err == nil || !strings.Contains(err.Error(), "kernel thread") {
			t.Error(err)
		}
	})
	t.Run("told to end", func(t *testing.T) {
		d := start(t, me, "dockerd", "none", nil)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		began := time.Now()
		if _, err := Take(ctx, d.Process.Pid, 0, patience); !errors.Is(err, context.Canceled) || time.Since(began) > patience/2 {
			t.Error(err)
		}
	})
}

// Who asks keeps no capability that it has no use for.
func TestCapabilities(t *testing.T) {
	d := start(t, me, "dockerd", "none", nil)
	var want uint64
	for _, c := range uses {
		want |= 1 << c
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := Take(ctx, d.Process.Pid, 0, patience); done <- err }()
	hosttest.Until(t, patience, "a child that has these capabilities alone", func() bool {
		children, _ := filepath.Glob("/proc/self/task/*/children")
		for _, file := range children {
			text, _ := os.ReadFile(file)
			for _, pid := range strings.Fields(string(text)) {
				// Linked with C, as under the race detector, one thread alone gives them up.
				argv, _ := os.ReadFile("/proc/" + pid + "/cmdline")
				threads, _ := filepath.Glob("/proc/" + pid + "/task/*/status")
				if strings.Contains(string(argv), "\x00"+childCommand+"\x00") && slices.ContainsFunc(threads, func(file string) bool {
					text, _ := os.ReadFile(file)
					return strings.Contains(string(text), fmt.Sprintf("\nCapPrm:\t%016x\nCapEff:\t%016[1]x\n", want))
				}) {
					return true
				}
			}
		}
		return false
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What is read of a dump ends with the time that there was for all of it.
func TestReadDeadline(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	began := time.Now()
	taken := Taken{out: r, in: bufio.NewReader(r), last: began.Add(50 * time.Millisecond)}
	w.WriteString("goroutine 1")
	if text, err := io.ReadAll(&taken); string(text) != "goroutine 1" || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > stall/2 {
		t.Errorf("%q, %v after %v", text, err, time.Since(began))
	}
}

// No link leads out of the root of a process, and nothing but files is opened.
func TestOpenIn(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.WriteFile(dir+"/f", []byte("text"), 0o600), os.Symlink("/f", dir+"/l"), os.Symlink("../../../../etc/passwd", dir+"/out"), unix.Mkfifo(dir+"/p", 0o600), os.Mkdir(dir+"/d", 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	for name, want := range map[string]string{"/f": "text", "/l": "text", "/../f": "text", "/out": "", "/p": "", "/d": "", "/none": ""} {
		f, err := openIn(root, name)
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		text, _ := io.ReadAll(f)
		f.Close()
		if string(text) != want {
			t.Errorf("%s: %q", name, text)
		}
	}
}

func TestDumpIn(t *testing.T) {
	const begin, end = "msg=\"=== BEGIN goroutine stack dump ===\\n", "=== END goroutine stack dump ===\""
	for _, tt := range []struct {
		name, text string
		pid        int
		want       string
	}{
		{"nothing", "", 7, ""},
		{"no end yet", "a\n" + begin + "g 1", 7, ""},
		{"its line is not whole", begin + end + " pid=7", 7, ""},
		{"signed", "a\n" + begin + end + " path=/x pid=7 y\nb\n", 7, begin + end + " path=/x pid=7 y\n"},
		{"another's first", begin + end + " pid=8\n" + begin + "x" + end + " pid=\"7\"\n", 7, begin + "x" + end + " pid=\"7\"\n"},
		{"another's alone", begin + end + " pid=8\n", 7, ""},
		{"not signed", begin + end + "\n", 7, begin + end + "\n"},
		{"containerd's own", begin + end + " pid=8\n" + begin + "own" + end + "\n", 0, begin + "own" + end + "\n"},
		{"cut by the journal", begin + "a\nb\n" + end + " pid=7\n", 7, begin + "a\nb\n" + end + " pid=7\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := dumpIn([]byte(tt.text), tt.pid); string(got) != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// The journal is asked for the unit, or for the process where there is none.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "journalctl")
	script := "#!/bin/sh\necho \"$@\" >" + dir + "/args\nprintf 'msg=\"=== BEGIN goroutine stack dump ===\\\\ngoroutine 1 [running]:\\\\n=== END goroutine stack dump ===\" pid=7\\n'\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	was := journalctl
	t.Cleanup(func() { journalctl = was })
	journalctl = []string{dir + "/none", program}
	p, err := journal(os.Getpid(), 7, time.Unix(1000, 5))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.find(t.Context())
	if err != nil || r == nil {
		t.Fatal(r, err)
	}
	text, _ := io.ReadAll(r)
	args, _ := os.ReadFile(dir + "/args")
	if !strings.Contains(string(text), "goroutine 1 [running]") || !strings.Contains(string(args), "--since=@1000 _") {
		t.Errorf("%q by %q", text, args)
	}
	journalctl = nil
	if _, err := journal(os.Getpid(), 7, time.Now()); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	if unit := unitIn([]byte("12:pids:/x\n1:name=systemd:/system.slice/docker.service/x\n")); unit != "docker.service" {
		t.Error(unit)
	}
}

func FuzzDumpIn(f *testing.F) {
	f.Add([]byte("=== BEGIN goroutine stack dump=== END goroutine stack dump pid=1\n"), 1)
	f.Fuzz(func(t *testing.T, text []byte, pid int) {
		if got := dumpIn(text, pid); len(got) > len(text) {
			t.Error("more than the text")
		}
	})
}
