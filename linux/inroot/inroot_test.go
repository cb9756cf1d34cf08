package inroot

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// While somebody renames as fast as he can, what is there is opened all the same, and
// nothing that is not below the root.
func TestOpenWhileRenaming(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	for _, err := range []error{os.Mkdir(dir+"/d", 0o755), os.WriteFile(dir+"/f", nil, 0o600), os.Symlink("d/../../../d/../f", dir+"/link"), os.Symlink("/etc/passwd", dir+"/out"), os.Mkdir(elsewhere+"/a", 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	if fd, err := Open(root, "f", unix.O_PATH); errors.Is(err, unix.ENOSYS) {
		t.Skip("before Linux 5.6 there is no openat2")
	} else if err == nil {
		unix.Close(fd)
	}
	stop, ended := make(chan struct{}), make(chan error)
	go func() {
		from, to := elsewhere+"/a", elsewhere+"/b"
		for err := error(nil); ; from, to = to, from {
			select {
			case <-stop:
				ended <- err
				return
			default:
				err = errors.Join(err, os.Rename(from, to))
			}
		}
	}()
	for range 20_000 {
		fd, err := Open(root, "link", unix.O_PATH)
		if err != nil {
			t.Error(err)
			break
		}
		unix.Close(fd)
		if fd, err := Open(root, "out", unix.O_PATH); err != unix.ENOENT {
			unix.Close(fd)
			t.Errorf("a link that leads out: %v", err)
			break
		}
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
