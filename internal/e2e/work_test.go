package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// prefix begins the names of what a run leaves if it is killed from outside; the next run takes it away.
const prefix = "sexton-e2e-"

// makeWork makes this run's directory and locks it, and removes those of runs that died.
//
// A runtime's data want a disk that overlayfs can work on. Where the tests run
// in a container of their own, that is a volume at docker's usual place.
func makeWork() (string, error) {
	parent := os.TempDir()
	if names, err := os.ReadDir("/var/lib/docker"); err == nil && !slices.ContainsFunc(names, isForeign) {
		parent = "/var/lib/docker" // empty: no docker of the machine has its data there
	}
	old, _ := filepath.Glob(filepath.Join(parent, prefix+"*"))
	for _, dir := range old {
		if dead(dir) {
			if err := removeWork(dir); err != nil {
				fmt.Fprintln(os.Stderr, "e2e: what an earlier run left stays:", err)
			}
		}
	}
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return "", err
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return dir, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return dir, fmt.Errorf("lock %s: %w", dir, err)
	}
	locked = lock
	return dir, os.Chmod(dir, 0o755) // a test runs sexton as another user
}

// locked is held open, and by that locked, until this process ends.
var locked *os.File

func isForeign(d fs.DirEntry) bool { return !strings.HasPrefix(d.Name(), prefix) }

// dead reports whether the run that made a directory has ended.
func dead(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil || time.Since(info.ModTime()) < time.Minute {
		return false // perhaps not locked yet
	}
	lock, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer lock.Close()
	return unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// removeWork removes a run's directory and cgroups. All of its processes and
// mounts ended with its namespaces; the last may take a moment.
func removeWork(dir string) error {
	var err error
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = errors.Join(removeCgroups(filepath.Base(dir)), notMounted(dir)); err == nil {
			return os.RemoveAll(dir)
		}
	}
	return fmt.Errorf("%s is left: %w", dir, err)
}

func notMounted(dir string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil && strings.Contains(string(text), dir+"/") {
		err = errors.New("something is mounted below it")
	}
	return err
}

// removeCgroups removes a run's control groups in every hierarchy, deepest first.
func removeCgroups(name string) error {
	var all []error
	for _, top := range append(hierarchies(), "/sys/fs/cgroup") {
		var dirs []string
		err := filepath.WalkDir(filepath.Join(top, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		all = append(all, err)
		for _, dir := range slices.Backward(dirs) {
			if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				all = append(all, fmt.Errorf("rmdir %s: %w", dir, err))
			}
		}
	}
	return errors.Join(all...)
}

// hierarchies lists where cgroup hierarchies may be mounted below the usual place.
func hierarchies() []string {
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	var out []string
	for _, file := range dirs {
		out = append(out, filepath.Dir(file))
	}
	return out
}

// controller returns the directory of the v1 hierarchy with a controller, or that of v2.
func controller(name string) string {
	if dir := "/sys/fs/cgroup/" + name; fileExists(dir + "/cgroup.procs") {
		return dir
	}
	return "/sys/fs/cgroup"
}

func fileExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// product is the shell command that builds both programs as "make build" does, with the same flags.
func product(bin string) string {
	const plain = "go build -trimpath -o bin/ ./cmd/..."
	dry := exec.Command("make", "-s", "-n", "-C", "../..", "--no-print-directory", "build")
	dry.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "MAKE") || strings.HasPrefix(e, "MFLAGS") })
	command := plain
	if text, err := dry.Output(); err == nil && strings.Contains(string(text), "-o bin/ ./cmd/...") {
		command = string(text)
	}
	return "cd ../..\n" + strings.ReplaceAll(command, "-o bin/ ./cmd/...", "-o "+bin+"/ ./cmd/sexton ./cmd/sexton-init")
}

// build makes the product and the programs that misbehave in the containers.
func build(dir string) error {
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	static := append(os.Environ(), "CGO_ENABLED=0")
	for _, b := range []struct {
		env  []string
		argv []string
	}{
		{static, []string{"sh", "-ec", product(bin)}},
		{static, []string{"go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", bin + "/go-leaver", "testdata/programs/leaver.go"}},
		{os.Environ(), []string{"gcc", "-static", "-O1", "-Wall", "-Werror", "-s", "-o", bin + "/children", "testdata/programs/children.c"}},
	} {
		if _, err := exec.LookPath(b.argv[0]); err != nil {
			continue // the tests that need it say so
		}
		cmd := exec.Command(b.argv[0], b.argv[1:]...)
		cmd.Env = b.env
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(b.argv, " "), err, text)
		}
	}
	return nil
}
