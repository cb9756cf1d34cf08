// Package shim asks one containerd shim whether it still serves.
//
// A shim speaks ttrpc, which is a message in a frame of ten bytes; containerd's
// library for it costs every start of the program more than these lines.
package shim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
	"sexton.dev/runtimes/rpc"
)

// The words of ttrpc 1.0. Source: containerd/ttrpc v1.2 PROTOCOL.md and request.proto.
const (
	frameHead    = 10 // length, stream, type, flags
	typeRequest  = 1
	typeResponse = 2
	stream       = 1 // of a client streams are odd
	service      = "containerd.task.v2.Task"
	method       = "Connect"
)

// What is asked, as in [runtimes.Said].
const question = "connect"

// Ping asks the shim at a socket for its pid, by the call that needs no
// container's lock: a runc that hangs below the shim does not hold it up. An
// error that the shim answers with is an answer too: a newer shim knows the
// service by another name. Errors wrap [runtimes.ErrSilent] if none came in time.
//
// A shim takes connections of its own user alone, which is root.
//
// Source: containerd v1.6 runtime/v2/runc/task/service.go, Connect.
func Ping(ctx context.Context, socket, id string) ([]runtimes.Said, error) {
	d := dial.New(runtimes.Shim, socket)
	d.Begin(question, dial.SmallReply)
	err := d.Explain(ctx, ping(ctx, d, id))
	return d.Said(), err
}

func ping(ctx context.Context, d *dial.Dialer, id string) error {
	c, err := d.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write(frame(id)); err != nil {
		return err
	}
	return answered(c)
}

// frame is the request for a container's task.
func frame(id string) []byte {
	field := func(b []byte, n protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	message := field(nil, 1, []byte(service))
	message = field(message, 2, []byte(method))
	message = field(message, 3, rpc.Text(1, id))
	b := binary.BigEndian.AppendUint32(nil, uint32(len(message)))
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(append(b, typeRequest, 0), message...)
}

// answered reads the head of one answer; what it says is not asked.
func answered(r io.Reader) error {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(head[4:]) != stream || head[8] != typeResponse || binary.BigEndian.Uint32(head[:]) > rpc.MaxMessage {
		return errors.Join(runtimes.ErrOtherAPI, fmt.Errorf("does not speak ttrpc: %.10q", head[:]))
	}
	return nil
}
