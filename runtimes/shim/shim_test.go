package shim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/runtimestest"
)

const (
	fine = "\x00\x00\x00\x02\x00\x00\x00\x01\x02\x00\x0a\x00"
	tiny = 300 * time.Millisecond

	enough = 20 * time.Second // for what is answered, on a machine that is busy
)

// says answers whatever comes first with a text, and then swallows.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		var first [1]byte
		if _, err := c.Read(first[:]); err == nil {
			io.WriteString(c, text)
			runtimestest.Swallow(c)
		}
	}
}

func TestPing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
		want  string // part of the error, "" for none
		is    error
	}{
		{name: "answers", serve: says(fine)},
		{name: "answers with an error", serve: says("\x00\x00\x00\x04\x00\x00\x00\x01\x02\x00\x0a\x02\x08\x0c")},
		{name: "silent", serve: runtimestest.Swallow, want: `accepted the connection, did not answer "connect" within`, is: runtimes.ErrSilent},
		{name: "slow bytes", serve: func(c net.Conn) {
			for _, b := range []byte(fine) {
				time.Sleep(tiny / 5)
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
		}, want: "did not answer", is: runtimes.ErrSilent},
		{name: "hangs up", serve: func(c net.Conn) { c.Read(make([]byte, 1)) }, want: "connect: "},
		{name: "garbage", serve: says("HTTP/1.1 400 Bad Request\r\n\r\n"), want: "does not speak ttrpc", is: runtimes.ErrOtherAPI},
		{name: "huge frame", serve: says("\xff\xff\xff\xff\x00\x00\x00\x01\x02\x00"), want: "does not speak ttrpc", is: runtimes.ErrOtherAPI},
		{name: "another stream", serve: says("\x00\x00\x00\x02\x00\x00\x00\x03\x02\x00\x0a\x00"), want: "does not speak ttrpc", is: runtimes.ErrOtherAPI},
		{name: "endless", serve: runtimestest.Flood(strings.Repeat("\x00", 1<<16)), want: "does not speak ttrpc", is: runtimes.ErrOtherAPI},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runtimestest.NoLeaks(t)
			socket := runtimestest.Serve(t, tt.serve)
			wait := enough
			if tt.is == runtimes.ErrSilent {
				wait = tiny
			}
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			said, err := Ping(ctx, socket, "abc")
			runtimestest.CheckError(t, err, tt.want, tt.is)
			runtimestest.CheckSaid(t, said, err)
			if len(said) != 1 {
				t.Errorf("%+v", said)
			}
		})
	}
}

// A socket whose queue is full is a silent one that says so.
func TestPingFull(t *testing.T) {
	l := runtimestest.Listen(t)
	var held []net.Conn
	t.Cleanup(func() {
		for _, c := range held {
			c.Close()
		}
	})
	for {
		c, err := net.Dial("unix", l.Addr().String())
		if errors.Is(err, syscall.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), tiny)
	defer cancel()
	said, err := Ping(ctx, l.Addr().String(), "abc")
	runtimestest.CheckError(t, err, "it does not accept", runtimes.ErrSilent)
	if len(said) != 1 || !said[0].Full {
		t.Errorf("%+v", said)
	}
}

func TestFrame(t *testing.T) {
	want := "\x00\x00\x00\x2a\x00\x00\x00\x01\x01\x00\x0a\x17containerd.task.v2.Task\x12\x07Connect\x1a\x05\x0a\x03abc"
	if got := frame("abc"); !bytes.Equal(got[frameHead:], []byte(want)[frameHead:]) || int(got[3]) != len(got)-frameHead {
		t.Errorf("%q", got)
	}
}
