// Package docker asks a docker daemon what it is and which containers it has.
//
// It asks three things, in the order of what they depend on: the ping, which
// nothing but the daemon answers; the list, which is answered from memory
// (since 17.10; before it took every container's lock); the version, for which
// the daemon asks containerd and waits for it. It never inspects a container:
// that takes the container's lock, and each call that hangs stays in the daemon.
package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
)

const (
	// oldestAPI is that of Docker 1.12, the oldest that the client library speaks.
	oldestAPI  = "1.24"
	maxHeaders = 64 << 10
	// maxMessage bounds in bytes what is read of an error reply.
	maxMessage = 4 << 10
)

// apiVersion is what a version may be before it becomes part of a path.
var apiVersion = regexp.MustCompile(`^[0-9]{1,3}\.[0-9]{1,3}$`)

// List asks the docker daemon at a socket. It needs no more than the ping to
// tell a silent daemon; see [runtimes.ErrSilent]. If only the version is not
// told, the error wraps [runtimes.ErrPartial].
//
// Source: Docker Engine API v1.24 to v1.51.
func List(ctx context.Context, socket string) (runtimes.Answer, error) {
	return ListAs(ctx, runtimes.Docker, socket)
}

// ListAs is [List] for another daemon that speaks the docker API. One that says
// that it is podman is answered as podman, whatever kind was given.
func ListAs(ctx context.Context, kind runtimes.Kind, socket string) (runtimes.Answer, error) {
	answer := runtimes.Answer{Kind: kind, Socket: socket}
	d := dial.New(kind, socket)
	cli, err := newClient(d, socket)
	if err != nil {
		return answer, d.Fail(fmt.Sprintf("client: %v", err), err)
	}
	defer cli.Close()
	if answer.APIVersion, err = negotiate(ctx, d, cli); err != nil {
		return answer, err
	}
	if answer.Containers, err = list(ctx, d, cli); err != nil {
		return answer, err
	}
	return answer, version(ctx, d, cli, &answer)
}

func newClient(d *dial.Dialer, socket string) (*client.Client, error) {
	return client.NewClientWithOpts(
		client.WithHTTPClient(&http.Client{
			Transport: &http.Transport{
				MaxResponseHeaderBytes: maxHeaders,
				DisableKeepAlives:      true, // what a daemon says on an idle connection would be logged
			},
			CheckRedirect: client.CheckRedirect,
		}),
		client.WithHost("unix://"+socket),
		client.WithDialContext(d.DialAny), // after WithHost, which sets its own
		client.WithUserAgent("sexton"),
	)
}

// negotiate pings and settles on the highest API version of both sides.
func negotiate(ctx context.Context, d *dial.Dialer, cli *client.Client) (string, error) {
	d.Begin("ping", dial.SmallReply)
	ping, err := cli.Ping(ctx)
	switch {
	case err == nil, errdefs.IsInternal(err): // unwell, but the list may still come
	case strings.Contains(err.Error(), "malformed HTTP"): // the library keeps no more than the text
		return "", d.Explain(ctx, other(d, "does not speak HTTP", err))
	case status(err):
		return "", d.Explain(ctx, other(d, fmt.Sprintf("ping: %v", err), err))
	default:
		return "", d.Explain(ctx, bare(err))
	}
	cli.NegotiateAPIVersionPing(ping)
	v := cli.ClientVersion()
	if !apiVersion.MatchString(v) {
		return "", other(d, fmt.Sprintf("ping: says that its API version is %.40q", v), nil)
	}
	if versions.LessThan(v, oldestAPI) {
		return v, d.Fail(fmt.Sprintf("speaks API %s; the oldest asked is %s, of Docker 1.12", v, oldestAPI), runtimes.ErrOtherAPI)
	}
	return v, nil
}

// status reports whether the error is a reply with a status that a docker
// daemon does not give to a ping.
func status(err error) bool {
	return errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err) || errdefs.IsUnauthorized(err) ||
		errdefs.IsPermissionDenied(err) || errdefs.IsNotImplemented(err)
}

// bare takes the made-up address of the request out of an error.
func bare(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

func other(d *dial.Dialer, what string, err error) error {
	return d.Fail("not a docker API: "+what, runtimes.ErrOtherAPI, err)
}

// list asks for all containers by the library's connection, but reads the reply
// on its own: the library's types hold every label and mount, and make 300
// bytes of a five-byte "null,".
func list(ctx context.Context, d *dial.Dialer, cli *client.Client) ([]runtimes.Container, error) {
	d.Begin("list containers", dial.MaxBytes)
	address := "http://" + client.DummyHost + "/v" + cli.ClientVersion() + "/containers/json?all=1"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, d.Fail(fmt.Sprintf("list containers: %v", err), err)
	}
	req.Header.Set("User-Agent", "sexton")
	reply, err := cli.HTTPClient().Do(req)
	if err != nil {
		return nil, d.Explain(ctx, bare(err))
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return nil, d.Explain(ctx, d.Fail(fmt.Sprintf("list containers: %s: %s", reply.Status, message(reply.Body))))
	}
	found, err := decodeList(reply.Body)
	if err != nil && errors.Is(err, errNotList) {
		return nil, d.Explain(ctx, other(d, fmt.Sprintf("list containers: %v", err), err))
	}
	return found, d.Explain(ctx, err)
}

// message returns what the daemon says of an error: JSON since API 1.24.
func message(r io.Reader) string {
	b, err := io.ReadAll(io.LimitReader(r, maxMessage))
	if err != nil {
		return fmt.Sprintf("the message could not be read: %v", err)
	}
	var said struct{ Message string }
	if json.Unmarshal(b, &said) == nil && said.Message != "" {
		return said.Message
	}
	return strings.TrimSpace(string(b))
}

// version fills in what the daemon calls itself. It gets half of what is left
// of the time, so that a containerd that hangs behind the daemon costs the
// version and not the containers.
func version(ctx context.Context, d *dial.Dialer, cli *client.Client, answer *runtimes.Answer) error {
	own, cancel := half(ctx)
	defer cancel()
	d.Begin("version", dial.SmallReply)
	said, err := cli.ServerVersion(own)
	if err != nil {
		why := dial.What(d.Explain(own, bare(err)))
		return d.Fail("containers are listed, the version is not told (the daemon asks containerd for it): "+why, runtimes.ErrPartial)
	}
	answer.Version = said.Version
	for _, part := range said.Components {
		if part.Name == "Podman Engine" {
			answer.Kind = runtimes.Podman
		}
	}
	return nil
}

func half(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/2)
}
