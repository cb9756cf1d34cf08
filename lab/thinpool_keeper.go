package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/devmapper"
)

const (
	poolBlock = 128 // sectors of a block of data: 64 KiB
	metaBytes = 2 << 20
	sector    = 512
)

// A keeper makes the fault's devices and removes them.
type keeper struct {
	dm    *devmapper.Control
	files map[string]*os.File // of metadata, by the pool
}

// thinKeeper is the process that makes them, waits for the end of init, and removes them.
func thinKeeper(s stage) error {
	if err := s.hello(); err != nil {
		return err
	}
	if len(s.args) != 3 {
		return errors.New("it wants init's pid and start time, and a fault")
	}
	fault, scene := s.args[2], thinScenes[s.args[2]]
	h, err := openInit(s.args[:2])
	if err != nil {
		return err
	}
	defer h.close()
	s.late.Reset(time.Until(s.until) + 2*settle)
	dm, err := devmapper.Open("/proc", devmapper.Node)
	if err != nil {
		return err
	}
	defer dm.Close()
	k := &keeper{dm, map[string]*os.File{}}
	defer func() {
		giveRoom(fault)     // who waits ends no sooner
		h.ended(settle / 2) // or up gave up, and init ends with us
		dropDevices(fault)  // down does the rest, and tells
	}()
	if err := scene.make(k); err != nil {
		return err
	}
	if err := s.reach("made"); err != nil {
		return err
	}
	if err := scene.breaks(k); err != nil {
		return err
	}
	if err := s.reach("broken"); err != nil {
		return err
	}
	s.alone()
	h.ended(time.Until(s.until))
	return nil
}

// make makes the pools, and in the first a device with a file system.
func (k *keeper) make() error {
	for _, p := range []struct {
		name string
		data int64
	}{{thinGoodPool, 64 << 20}, {thinFullPool, 2 << 20}, {thinBadPool, 2 << 20}} {
		if err := k.pool(p.name, p.data, nil, "1 error_if_no_space"); err != nil {
			return err
		}
	}
	return k.fileSystem(thinHeld, thinGoodPool, 1, 32<<20)
}

// fileSystem makes a device of a pool with a file system.
func (k *keeper) fileSystem(name, pool string, id int, size int64) error {
	if err := k.thin(name, pool, id, size); err != nil {
		return err
	}
	node, err := thinNode(name)
	if err != nil {
		return err
	}
	mkfs, err := program("mke2fs")
	if err != nil {
		return err
	}
	if out, err := exec.Command(mkfs, "-F", node).CombinedOutput(); err != nil {
		return fmt.Errorf("mke2fs: %w: %s", err, out)
	}
	return nil
}

// breaks does what must fail: a device is deleted that is in use, and one that is
// not there; a pool is made of metadata that is none; one is written until it is full;
// and the disk of another's metadata fails.
func (k *keeper) breaks() error {
	if err := k.dm.Tell(thinGoodPool, "delete 1"); !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("delete a device that is mapped: %v", err)
	}
	if err := k.dm.Tell(thinGoodPool, "delete 99"); !errors.Is(err, unix.ENODATA) {
		return fmt.Errorf("delete a device that is not there: %v", err)
	}
	if err := k.pool(thinForeign, 1<<20, []byte("no thin pool"), "1 error_if_no_space"); err == nil {
		return errors.New("the kernel took metadata that is none")
	}
	if err := k.thin(thinWritten, thinFullPool, 2, 8<<20); err != nil {
		return err
	}
	if err := fill(thinWritten, 128); err == nil {
		return fmt.Errorf("%s takes more than its pool has", thinWritten)
	}
	// The kernel writes the metadata of this pool to a file that takes no more writes.
	if _, err := unix.FcntlInt(k.files[thinBadPool].Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); err != nil {
		return fmt.Errorf("seal a file: %w", err)
	}
	k.dm.Tell(thinBadPool, "create_thin 1") // what becomes of it depends on when the kernel notices
	return nil
}

// fill writes blocks to a device.
func fill(name string, blocks int) error {
	node, err := thinNode(name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(node, os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return writeBlocks(f, blocks)
}

// writeBlocks writes blocks to a file that is open for writing around the cache.
func writeBlocks(f *os.File, blocks int) error {
	page, err := unix.Mmap(-1, 0, poolBlock*sector, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	defer unix.Munmap(page)
	for n := range blocks {
		page[0] = byte(n)
		if _, err := f.Write(page); err != nil {
			return err
		}
	}
	return nil
}

// pool makes a pool of a few MB, in memory. begin is what its metadata begins with; the
// kernel makes new metadata where there is none. features say what becomes of what does
// not fit.
func (k *keeper) pool(name string, data int64, begin []byte, features string) error {
	meta, metaFile, err := loopDevice(name+" metadata", metaBytes)
	if err != nil {
		return err
	}
	defer meta.Close()
	k.files[name] = metaFile
	if _, err := metaFile.WriteAt(begin, 0); err != nil {
		return err
	}
	disk, diskFile, err := loopDevice(name+" data", data)
	if err != nil {
		return err
	}
	defer disk.Close()
	diskFile.Close() // the loop device has it
	table := fmt.Sprintf("%s %s %d 4 %s", meta.Name(), disk.Name(), poolBlock, features)
	return k.dm.Create(name, devmapper.Target{Length: uint64(data / sector), Type: "thin-pool", Table: table})
}

// thin makes a device of a pool and maps it.
func (k *keeper) thin(name, pool string, id int, size int64) error {
	if err := k.dm.Tell(pool, fmt.Sprintf("create_thin %d", id)); err != nil {
		return err
	}
	node, err := thinNode(pool)
	if err != nil {
		return err
	}
	return k.dm.Create(name, devmapper.Target{Length: uint64(size / sector), Type: "thin", Table: fmt.Sprintf("%s %d", node, id)})
}

// loopDevice puts a loop device on a new file in memory. The device goes when nobody
// has it open; whoever made it opens it until something stands on it.
func loopDevice(name string, size int64) (device, file *os.File, err error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, fmt.Errorf("a file in memory: %w", err)
	}
	file = os.NewFile(uintptr(fd), name)
	if err := file.Truncate(size); err != nil {
		return nil, nil, err
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, hint(err, "modprobe loop")
	}
	defer control.Close()
	for { // another process may take the one that is free
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, nil, fmt.Errorf("a free loop device: %w", err)
		}
		device, err = os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, nil, err
		}
		if err = setLoop(device, file); err == nil {
			return device, file, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, nil, fmt.Errorf("%s: %w", device.Name(), err)
		}
	}
}

func setLoop(device, file *os.File) error {
	fd := device.Fd()
	if err := unix.IoctlSetInt(int(fd), unix.LOOP_SET_FD, int(file.Fd())); err != nil {
		return err
	}
	info := unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.LOOP_SET_STATUS64, uintptr(unsafe.Pointer(&info))); errno != 0 {
		return errno
	}
	return nil
}
