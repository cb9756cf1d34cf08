package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

var fuseDead = Fault{
	Name:    "fuse-dead",
	Summary: "a process that was told to end and cannot: it is in D over a FUSE file system whose server answers nothing",
	Want: []string{
		"hung-task: names sexton-lab:read, which was told to end and cannot, and that it waits for fuse.sexton-lab at /mnt, served by sexton-lab:fuse",
	},
	Risk:  "disruptive",
	Harm:  "none but a process of its own in D; after 120 s the kernel logs a hung task",
	ready: stuckReady,
	build: func(s *site) error { return fuseBuild(s, deadLook) },
	look:  deadLook,
}

// deadLook proves that the reader is in D with SIGKILL pending, and that the server lives.
func deadLook(r record) (sight, error) {
	reader, server, text, err := fuseStates(r)
	if err != nil || reader == 0 {
		return sight{text: text}, err
	}
	status, err := readStatus(r.role("reader").PID)
	if errors.Is(err, errGone) {
		return sight{text: text}, nil
	}
	const kill = 1 << (unix.SIGKILL - 1)
	killed := (status.SigPnd|status.ShdPnd)&kill != 0
	if killed {
		text += ", and SIGKILL is pending"
	}
	return sight{text: text, all: reader == 'D' && killed && server == 'S', any: reader == 'D'}, err
}

// stickMute tells the server to answer no more, lets the reader ask, and kills it
// when the server has read the question: from then on it is in D. One that still
// waits in the queue would be taken back.
//
// Source: Linux 6.12 fs/fuse/dev.c, request_wait_answer.
func stickMute(ctx context.Context, server, reader *play) error {
	if err := errors.Join(server.order(), server.heard(ctx, "mute"), reader.order(), server.heard(ctx, "asked")); err != nil {
		return err
	}
	return syscall.Kill(reader.cmd.Process.Pid, syscall.SIGKILL)
}

// doomedReader looks for a file, which nobody answers.
func doomedReader(s stage) error {
	if err := s.hello(); err != nil {
		return err
	}
	if err := s.reach("ready"); err != nil {
		return err
	}
	_, err := os.Lstat(filepath.Join(fuseDir, "unknown"))
	return err
}
