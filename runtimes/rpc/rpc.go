// Package rpc asks a runtime over gRPC, on one unix socket, with bounds on what
// comes back: unary calls and streams of replies over net/http's HTTP/2.
//
// The gRPC library and the messages that are generated for it cost every start of
// sexton a millisecond, also of commands that ask nobody, and make hundreds of
// bytes of an empty element of two. What is left without them are frames of five
// bytes, a status in the trailers, and messages of which a few fields are read.
//
// Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md; RFC 9113.
package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

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
	maxStatus  = 4 << 10 // bytes of a status's text

	// serverLater is how much longer the server is told to try than we wait: who gives
	// up first tells the story, and we know whether anything came.
	serverLater = 250 * time.Millisecond
)

// A Code is why a call failed.
//
// Source: https://github.com/grpc/grpc/blob/master/doc/statuscodes.md.
type Code int

// The codes that callers tell apart.
const (
	DeadlineExceeded Code = 4
	NotFound         Code = 5
	Unimplemented    Code = 12
)

// A Status is the error of a call that the server answered.
type Status struct {
	Code    Code
	Message string // the server's words
}

func (s *Status) Error() string {
	if s.Message == "" {
		return "status " + strconv.Itoa(int(s.Code))
	}
	return s.Message
}

// CodeOf is the code of an error, 0 if the server sent none.
func CodeOf(err error) Code {
	if s := (*Status)(nil); errors.As(err, &s) {
		return s.Code
	}
	return 0
}

var errNotGRPC = errors.New("does not speak gRPC")

// A Conn asks one socket. It may be used by several goroutines.
type Conn struct {
	http http.Client
}

// Open returns a Conn that reads only from the dialer's socket. It connects on
// the first call. The caller closes it.
func Open(d *dial.Dialer) *Conn {
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	return &Conn{http: http.Client{
		Transport: &http.Transport{
			DialContext:            d.DialAny,
			Protocols:              &only,
			MaxResponseHeaderBytes: maxHeaders,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close ends the connection.
func (c *Conn) Close() { c.http.CloseIdleConnections() }

// Call asks one method, as "/package.Service/Method", and returns the one message
// of the reply. header may be nil.
func (c *Conn) Call(ctx context.Context, method string, header http.Header, message []byte) ([]byte, error) {
	var reply []byte
	n := 0
	for m, err := range c.Stream(ctx, method, header, message) {
		if err != nil {
			return nil, err
		}
		if n++; n > 1 {
			return nil, errors.New("more than one message in the reply")
		}
		reply = m
	}
	if n == 0 {
		return nil, errors.New("no message in the reply")
	}
	return reply, nil
}

// Stream asks one method and yields each message of the reply, which is good
// until the next. An error is the last that it yields.
func (c *Conn) Stream(ctx context.Context, method string, header http.Header, message []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends a stream that is left early
		reply, err := c.post(ctx, method, header, message)
		if err != nil {
			yield(nil, err)
			return
		}
		defer reply.Body.Close()
		for {
			m, err := readFrame(reply.Body)
			if errors.Is(err, io.EOF) {
				if err := statusOf(reply); err != nil {
					yield(nil, err)
				}
				return
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

func (c *Conn) post(ctx context.Context, method string, header http.Header, message []byte) (*http.Response, error) {
	body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	// A path or a made-up name as the authority is refused by some servers.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost"+method, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	req.Header.Set("User-Agent", "sexton")
	if end, ok := ctx.Deadline(); ok {
		req.Header.Set("Grpc-Timeout", strconv.FormatInt(max((time.Until(end)+serverLater).Milliseconds(), 1), 10)+"m")
	}
	reply, err := c.http.Do(req)
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err // without the made-up address
	}
	if err != nil {
		return nil, err
	}
	if reply.StatusCode != http.StatusOK || !strings.HasPrefix(reply.Header.Get("Content-Type"), "application/grpc") {
		reply.Body.Close()
		return nil, errNotGRPC
	}
	return reply, nil
}

// readFrame reads one message: a byte that tells whether it is compressed, four
// of its length, the message. The error is [io.EOF] if there is no further one.
func readFrame(r io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	switch {
	case head[0] != 0:
		return nil, errors.New("a compressed message, which was not asked for")
	case size > MaxMessage:
		return nil, fmt.Errorf("a message of %d bytes is larger than max %d", size, MaxMessage)
	}
	var message bytes.Buffer // grows as bytes come: the length is only a claim
	if n, err := io.CopyN(&message, r, int64(size)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("message cut off after %d of %d bytes: %w", n, size, err)
	}
	return message.Bytes(), nil
}

// statusOf is the error that the trailers tell, nil for OK. A reply without a
// message has them in place of the headers.
func statusOf(reply *http.Response) error {
	from := reply.Trailer
	if from.Get("Grpc-Status") == "" {
		from = reply.Header
	}
	text := from.Get("Grpc-Status")
	code, err := strconv.ParseUint(text, 10, 16)
	switch {
	case err != nil:
		return fmt.Errorf("the reply ends without a status: %.40q", text)
	case code == 0:
		return nil
	}
	message := from.Get("Grpc-Message")
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	return &Status{Code: Code(code), Message: message[:min(len(message), maxStatus)]}
}

// Explain is [dial.Dialer.Explain] for errors of a Conn. It wraps
// [runtimes.ErrOtherAPI] if the socket does not speak gRPC or lacks the service, and
// [runtimes.ErrGone] if the server does not know what was named.
func Explain(ctx context.Context, d *dial.Dialer, err error) error {
	s := (*Status)(nil)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &s) && s.Code == DeadlineExceeded:
		return d.Explain(ctx, context.DeadlineExceeded)
	case errors.As(err, &s) && s.Code == Unimplemented:
		return d.Fail("speaks gRPC, but does not serve what was asked: "+s.Message, runtimes.ErrOtherAPI, err)
	case s != nil && s.Code == NotFound:
		return d.Fail(dial.What(d.Explain(ctx, err)), runtimes.ErrGone, err)
	case s != nil || ctx.Err() != nil:
		return d.Explain(ctx, err)
	case len(d.First()) == 0:
		return d.Explain(ctx, io.EOF)
	case errors.Is(err, errNotGRPC), !speaksHTTP2(d.First()):
		return d.Explain(ctx, d.Fail(errNotGRPC.Error(), runtimes.ErrOtherAPI, err))
	}
	return d.Explain(ctx, err)
}

// ExplainAct is [Explain] for a call that changes something.
func ExplainAct(ctx context.Context, d *dial.Dialer, err error) error {
	explained := Explain(ctx, d, err)
	if err != nil && (CodeOf(err) == 0 || CodeOf(err) == DeadlineExceeded) {
		return d.Doubt(explained)
	}
	return explained
}

// speaksHTTP2 reports whether a server began as every HTTP/2 server must, with
// a SETTINGS frame (type 4) on stream 0.
//
// Source: RFC 9113 sections 3.4, 4.1 and 6.5.
func speaksHTTP2(first []byte) bool {
	return len(first) == 9 && first[3] == 4 && first[5]|first[6]|first[7]|first[8] == 0
}
