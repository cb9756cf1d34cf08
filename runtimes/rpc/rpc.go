// Package rpc asks a runtime over gRPC, on one unix socket, with bounds on what
// comes back.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
)

const (
	// MaxMessage bounds one message in bytes. It is what containerd sends and the
	// kubelet takes.
	//
	// Source: containerd 2.1 defaults/defaults.go, DefaultMaxSendMsgSize;
	// Kubernetes 1.36 staging/src/k8s.io/cri-client/pkg/remote_runtime.go, maxMsgSize.
	MaxMessage = 16 << 20
	maxHeaders = 64 << 10
)

// gRPC logs errors to stderr, with what a server sent in them, unless it is told
// not to. The same errors are returned.
//
// Source: google.golang.org/grpc/grpclog v1.85 loggerv2.go.
func init() {
	if os.Getenv("GRPC_GO_LOG_SEVERITY_LEVEL") == "" {
		grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	}
}

// Open returns a connection that reads only from the dialer's socket. It
// connects on the first call. The caller closes it.
func Open(d *dial.Dialer) (*grpc.ClientConn, error) {
	cc, err := grpc.NewClient("passthrough:///runtime",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return d.Dial(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"), // a path or a made-up name is refused by some servers
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithMaxHeaderListSize(maxHeaders),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(MaxMessage),
			grpc.ForceCodecV2(codec{encoding.GetCodecV2(proto.Name)}),
		),
	)
	if err != nil {
		return nil, d.Fail(fmt.Sprintf("gRPC client: %v", err), err)
	}
	return cc, nil
}

// Explain is [dial.Dialer.Explain] for errors of gRPC. It wraps
// [runtimes.ErrOtherAPI] if the socket does not speak gRPC or lacks the service.
func Explain(ctx context.Context, d *dial.Dialer, err error) error {
	code := status.Code(err)
	switch {
	case err == nil:
		return nil
	case code == codes.DeadlineExceeded:
		return d.Explain(ctx, context.DeadlineExceeded)
	case code == codes.Unimplemented && speaksHTTP2(d.First()):
		return d.Fail("speaks gRPC, but does not serve what was asked: "+status.Convert(err).Message(), runtimes.ErrOtherAPI, err)
	case code != codes.Unavailable || ctx.Err() != nil:
		return d.Explain(ctx, message{err})
	case len(d.First()) == 0:
		return d.Explain(ctx, io.EOF)
	case !speaksHTTP2(d.First()):
		return d.Explain(ctx, d.Fail("does not speak gRPC", runtimes.ErrOtherAPI, err))
	}
	return d.Explain(ctx, message{err})
}

// A message prints a status without gRPC's "rpc error: code = X desc =".
type message struct{ error }

func (m message) Error() string { return status.Convert(m.error).Message() }
func (m message) Unwrap() error { return m.error }

// speaksHTTP2 reports whether a server began as every HTTP/2 server must, with
// a SETTINGS frame (type 4) on stream 0.
//
// Source: RFC 9113 sections 3.4, 4.1 and 6.5.
func speaksHTTP2(first []byte) bool {
	return len(first) == 9 && first[3] == 4 && first[5]|first[6]|first[7]|first[8] == 0
}

// errTooMany is the error of a message with too many elements.
var errTooMany = errors.New("too many elements in one message")

// A codec refuses messages that a few bytes on the wire would make large in
// memory: an empty element of a list is two bytes there and hundreds here.
type codec struct{ encoding.CodecV2 }

// Unmarshal counts the top fields before anything is allocated for them.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	n, err := countFields(buf.ReadOnlyData(), dial.MaxContainers)
	if err != nil {
		return fmt.Errorf("%d fields in %d bytes: %w", n, data.Len(), err)
	}
	return c.CodecV2.Unmarshal(data, v)
}

// countFields counts the top fields of a message in wire format and stops with
// [errTooMany] past most.
//
// Source: https://protobuf.dev/programming-guides/encoding/
func countFields(b []byte, most int) (int, error) {
	n := 0
	for len(b) > 0 {
		_, _, size := protowire.ConsumeField(b)
		if size < 0 {
			return n, fmt.Errorf("field %d: %w", n, protowire.ParseError(size))
		}
		if n++; n > most {
			return n, errTooMany
		}
		b = b[size:]
	}
	return n, nil
}
