package lab

import (
	"archive/tar"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A runtimeHost is a scene from inside of init.
type runtimeHost struct {
	ctx context.Context
	dir string // its sockets, seen by the host too
}

// runtimeImage is what the containers are made of: busybox and nothing else.
const runtimeImage = "sexton-lab"

// runtimeScenes make a layer silent, once dockerd answers.
var runtimeScenes = map[string]func(h runtimeHost) error{
	"runtime-containerd-stopped": func(h runtimeHost) error {
		return errors.Join(h.container("web"), h.stop("containerd"))
	},
	"runtime-dockerd-stopped": func(h runtimeHost) error {
		return errors.Join(h.container("web"), h.stop("dockerd"), h.leave("ps"), h.leave("ps"))
	},
	"runtime-shim-stopped": func(h runtimeHost) error {
		return errors.Join(h.container("web"), h.stop("containerd-shim"), h.leave("stop", "-t", "1", "web"))
	},
	"runtime-runc-hung": func(h runtimeHost) error {
		return errors.Join(h.container("web"), os.WriteFile(h.dir+"/trap", []byte("exec"), 0o600), h.leave("exec", "web", "true"))
	},
	"runtime-fifo": runtimeHost.deafLog,
}

// runtimeInit is the first process of the fault's PID and mount namespaces.
func runtimeInit(s stage) error {
	signal.Ignore(syscall.SIGHUP)
	if err := s.first(3, "runtime-init wants a fault, a directory and the mount namespace of up"); err != nil {
		return err
	}
	scene := runtimeScenes[s.args[0]]
	if scene == nil {
		return fmt.Errorf("runtime-init knows no scene of %s", s.args[0])
	}
	if err := leaveSharing(s.args[2]); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(context.Background(), s.until)
	defer cancel()
	h := runtimeHost{ctx, s.args[1]}
	if err := h.mounts(); err != nil {
		return err
	}
	if err := h.daemons(); err != nil {
		return err
	}
	if err := scene(h); err != nil {
		return err
	}
	if err := s.reach("stuck"); err != nil {
		return err
	}
	s.alone()
	return reapUntil(s) // shims and what they leave become its children
}

// mounts gives the scene a /proc and a /run of its own. The directory of its
// sockets is below /run, so it is bound to its place again.
func (h runtimeHost) mounts() error {
	dir, err := os.Open(h.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount(mountSource, "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=96m,mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return err
	}
	return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), h.dir, "", unix.MS_BIND, "")
}

// trap is a runc that hangs where its file says.
//
//go:embed trap.sh
var trap string

// daemons starts containerd and dockerd, waits until they answer and loads the image.
func (h runtimeHost) daemons() error {
	runc, err := program("runc")
	if err != nil {
		return err
	}
	config := fmt.Sprintf("version = 2\nroot = \"/run/containerd-root\"\nstate = \"/run/containerd-state\"\noom_score = 0\n"+
		"disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"%s/containerd.sock\"\n", h.dir)
	for name, text := range map[string]string{"containerd.toml": config, "daemon.json": "{}", "runc": strings.NewReplacer("@dir@", h.dir, "@runc@", runc).Replace(trap)} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o700); err != nil {
			return err
		}
	}
	if err := syscall.Mkfifo(h.dir+"/fifo", 0o600); err != nil {
		return err
	}
	if err := h.start("containerd", "--config", h.dir+"/containerd.toml", "--log-level=error"); err != nil {
		return err
	}
	if err := h.until("containerd listens", func() error { return listens(h.dir + "/containerd.sock") }); err != nil {
		return err
	}
	err = h.start("dockerd", "--config-file", h.dir+"/daemon.json", "--data-root", "/run/docker-data", "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid",
		"-H", "unix://"+h.dir+"/docker.sock", "--containerd", h.dir+"/containerd.sock", "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
		"--userland-proxy=false", "--storage-driver=vfs", "--cgroup-parent", "/"+filepath.Base(h.dir)+"/docker", "--exec-opt", "native.cgroupdriver=cgroupfs",
		"--oom-score-adjust=0", "--log-level=error", "--add-runtime", "lab="+h.dir+"/runc", "--default-runtime", "lab")
	if err != nil {
		return err
	}
	if err := h.until("dockerd answers", func() error { return h.docker("version").Run() }); err != nil {
		return err
	}
	return h.image()
}

func listens(socket string) error {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err == nil {
		c.Close()
	}
	return err
}

// until tries again and again; the last error is told.
func (h runtimeHost) until(what string, ok func() error) error {
	for end := time.Now().Add(15 * time.Second); ; {
		err := ok()
		if err == nil {
			return nil
		}
		if time.Now().After(end) || h.ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// command is a program with the environment of the scene.
func (h runtimeHost) command(name string, args ...string) *exec.Cmd {
	path, err := program(name)
	if err != nil {
		path = name // it says so when it is started
	}
	cmd := exec.CommandContext(h.ctx, path, args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "PATH="+programs, "HOME=/run", "TMPDIR=/run", "DOCKER_HOST=unix://"+h.dir+"/docker.sock")
	return cmd
}

func (h runtimeHost) docker(args ...string) *exec.Cmd { return h.command("docker", args...) }

// start starts what lives as long as init does; init reaps it.
func (h runtimeHost) start(name string, args ...string) error {
	cmd := h.command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

// leave starts a docker command that will wait.
func (h runtimeHost) leave(args ...string) error { return h.start("docker", args...) }

func (h runtimeHost) image() error {
	busybox, err := program("busybox")
	var data []byte
	if err == nil {
		data, err = os.ReadFile(busybox)
	}
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, dir := range []string{"bin/", "proc/", "sys/", "dev/"} {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}) // into memory
	}
	w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(data))})
	w.Write(data)
	for _, name := range []string{"sh", "sleep", "true"} {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"})
	}
	if err := w.Close(); err != nil {
		return err
	}
	cmd := h.docker("import", "-", runtimeImage)
	cmd.Stdin = &b
	return h.run(cmd)
}

// run runs a command to its end; what it complained of is in the error.
func (h runtimeHost) run(cmd *exec.Cmd) error {
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %.300s", filepath.Base(cmd.Path), cmd.Args[1], err, text)
	}
	return nil
}

func (h runtimeHost) container(name string) error {
	return h.run(h.docker("run", "-d", "--network=none", "--name", name, runtimeImage, "sleep", "86400"))
}

// stop stops the one process of a name in the scene and waits until it is.
func (h runtimeHost) stop(comm string) error {
	return h.until(comm+" is stopped", func() error {
		stats, err := children(os.Getpid())
		if err != nil {
			return err
		}
		for _, s := range stats {
			switch {
			case s.Comm == comm && s.State == 'T':
				return nil
			case s.Comm == comm:
				if err := syscall.Kill(s.PID, syscall.SIGSTOP); err != nil {
					return err
				}
			}
		}
		return errors.New("it is not stopped")
	})
}

// deafLog runs a container whose log goes to a server that reads nothing.
func (h runtimeHost) deafLog() error {
	l, err := net.Listen("unix", h.dir+"/syslog.sock")
	if err != nil {
		return err
	}
	go func() {
		for { // held and never read, until init ends
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	return h.run(h.docker("run", "-d", "--network=none", "--name", "chatty", "--log-driver=syslog", "--log-opt", "syslog-address=unix://"+h.dir+"/syslog.sock",
		runtimeImage, "sh", "-c", "while :; do echo a line of some length; done"))
}
