package bpf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Two sources have one number where they are the same and not too long, else two.
func TestSources(t *testing.T) {
	r := open(t)
	base := t.TempDir()
	long := strings.Repeat("s", 254)
	sources := []string{"a", "b", "a", "eight by", "eight bytes", "eight by", long, long[:253] + "t", long, long + "s", long + "s"}
	numbers := map[string][]uint64{}
	inside(t, func() error {
		for i, source := range sources {
			dir := filepath.Join(base, fmt.Sprint(i))
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			if err := unix.Mount(source, dir, "tmpfs", 0, "size=64k"); err != nil {
				return err
			}
		}
		fd, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		all, _, err := r.Mounts(fd, nil)
		if err != nil {
			return err
		}
		for i, m := range all[len(all)-len(sources):] { // the latest have the highest ids
			numbers[sources[i]] = append(numbers[sources[i]], m.Source)
		}
		return nil
	})
	owner := map[uint64]string{}
	for source, has := range numbers {
		for i, number := range has {
			if number == 0 || i > 0 && (number == has[0]) != (len(source) < 255) {
				t.Errorf("%q (%d bytes): %x", source, len(source), has)
			}
			if other, ok := owner[number]; ok && other != source {
				t.Errorf("%q has the number of %q", source, other)
			}
			owner[number] = source
		}
	}
}
