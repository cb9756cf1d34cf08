package systemd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"sexton.dev/linux/inroot"
)

// Socket is where a running systemd answers root, without a bus daemon.
//
// Source: systemd 257 src/core/dbus.c, bus_init_private.
const Socket = "/run/systemd/private"

// maxAnswer bounds in bytes what one connection may bring: a unit is 20 KB, the
// list of 5,000 units 2 MB.
const maxAnswer = 32 << 20

// ErrNotRunning is the error where no systemd runs the host.
var ErrNotRunning = errors.New("no systemd runs here")

// A Unit is what systemd has loaded of a service, and what became of it.
type Unit struct {
	Name       string      `json:"name"`
	Fragment   string      `json:"fragment,omitempty"` // its unit file; "" for one that was made by a call
	DropIns    []string    `json:"dropIns,omitempty"`
	NeedReload bool        `json:"needReload,omitempty"` // its files were changed since
	Active     time.Time   `json:"active,omitzero"`      // since when; zero if it is not active
	MainPID    int         `json:"mainPID,omitempty"`    // in systemd's PID namespace; 0: none
	KillMode   string      `json:"killMode,omitempty"`
	Directives []Directive `json:"directives,omitempty"` // that give it a mount namespace of its own; without files
}

// Loaded asks the systemd that listens below the root directory of a host what it
// has of these services. Those that it has not loaded are left out: it is asked
// for nothing that makes it read a file, start a unit or keep one.
//
// It ends with ctx, which should have a deadline: PID 1 may hang. What was learned
// by then is returned beside the error. Without systemd that is [ErrNotRunning].
//
// Source: org.freedesktop.systemd1(5); systemd.exec(5).
func Loaded(ctx context.Context, root string, units []string) ([]Unit, error) {
	c, err := open(ctx, root)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	paths, err := loaded(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []Unit
	for _, name := range units {
		path, loaded := paths[name]
		if !loaded {
			continue
		}
		u, err := c.GetUnitPathPropertiesContext(ctx, path)
		if err != nil {
			return out, fmt.Errorf("systemd: properties of %s: %w", name, because(ctx, err))
		}
		service, err := c.GetUnitTypePropertiesContext(ctx, name, "Service")
		if err != nil {
			return out, fmt.Errorf("systemd: properties of %s: %w", name, because(ctx, err))
		}
		out = append(out, unitOf(name, u, service))
	}
	return out, nil
}

// open connects to the systemd below root. The caller closes the connection.
func open(ctx context.Context, root string) (*sd.Conn, error) {
	fd, err := openSocket(root)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	c, err := sd.NewConnection(func() (*dbus.Conn, error) { return connect(ctx, fd) })
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", because(ctx, err))
	}
	return c, nil
}

// loaded lists the units that systemd has loaded. To ask for another by name would load it.
func loaded(ctx context.Context, c *sd.Conn) (map[string]dbus.ObjectPath, error) {
	all, err := c.ListUnitsContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("systemd: list units: %w", because(ctx, err))
	}
	paths := map[string]dbus.ObjectPath{}
	for _, u := range all {
		paths[u.Name] = u.Path
	}
	return paths, nil
}

// because is the error of a call that may have ended with the context.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// openSocket finds the socket below root, following links inside of it.
func openSocket(root string) (int, error) {
	dir, err := unix.Open(root+"/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s/: %w", root, err)
	}
	defer unix.Close(dir)
	fd, err := inroot.Open(dir, Socket[1:], unix.O_PATH)
	if err == unix.ENOSYS || err == unix.EPERM { // before 5.6, or an old filter of system calls
		if root != "" {
			return -1, fmt.Errorf("open %s%s: to follow links below a root takes openat2 (kernel 5.6): %w", root, Socket, err)
		}
		fd, err = unix.Open(Socket, unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	switch err {
	case nil:
		return fd, nil
	case unix.ENOENT, unix.ENOTDIR:
		return -1, ErrNotRunning
	}
	return -1, fmt.Errorf("open %s%s: %w", root, Socket, err)
}

// connect makes one authenticated connection, that ends with ctx.
func connect(ctx context.Context, fd int) (*dbus.Conn, error) {
	var d net.Dialer
	s, err := d.DialContext(ctx, "unix", "/proc/self/fd/"+strconv.Itoa(fd))
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning // the socket of one that ended
	}
	if err != nil {
		return nil, err
	}
	c, err := dbus.NewConn(&bounded{s, io.LimitReader(s, maxAnswer)}, dbus.WithContext(ctx))
	if err != nil {
		s.Close()
		return nil, err
	}
	if err := c.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// bounded is a connection that ends after so many bytes.
type bounded struct {
	net.Conn
	in io.Reader
}

func (b *bounded) Read(p []byte) (int, error) { return b.in.Read(p) }
