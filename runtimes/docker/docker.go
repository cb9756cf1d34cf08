// Package docker asks a docker daemon what it is and which containers it has.
//
// It asks three things, in the order of what they depend on: the ping, which
// nothing but the daemon answers; the list, which is answered from memory
// (since 17.10; before it took every container's lock); the version, for which
// the daemon asks containerd and waits for it. Who looks inspects no container:
// that takes the container's lock, and each call that hangs stays in the daemon.
// Who acts on one does, as the last question before the act.
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
	"strconv"
	"strings"
	"sync"
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
)

const (
	// newestAPI is the highest whose ping, list and version are known to be read
	// rightly here; a daemon that speaks more is asked for this one.
	newestAPI = "1.51"
	// oldestAPI is that of Docker 1.12.
	oldestAPI  = "1.24"
	maxHeaders = 64 << 10
	// maxMessage bounds in bytes what is read of an error reply.
	maxMessage = 4 << 10
)

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
func ListAs(ctx context.Context, kind runtimes.Kind, socket string) (answer runtimes.Answer, err error) {
	c := newClient(dial.New(kind, socket))
	defer c.http.CloseIdleConnections()
	defer func() { answer.Said = c.d.Said() }()
	answer, err = c.containers(ctx, kind, socket)
	if err != nil {
		return answer, err
	}
	return answer, c.version(ctx, &answer)
}

// Brief is [ListAs] without the version, for which the daemon asks containerd:
// while that is stopped, every question for it stays in the daemon.
func Brief(ctx context.Context, kind runtimes.Kind, socket string) (answer runtimes.Answer, err error) {
	c := newClient(dial.New(kind, socket))
	defer c.http.CloseIdleConnections()
	defer func() { answer.Said = c.d.Said() }()
	return c.containers(ctx, kind, socket)
}

func (c *client) containers(ctx context.Context, kind runtimes.Kind, socket string) (runtimes.Answer, error) {
	answer := runtimes.Answer{Kind: kind, Socket: socket}
	var err error
	if answer.APIVersion, err = c.negotiate(ctx); err != nil {
		return answer, err
	}
	answer.Containers, err = c.list(ctx)
	return answer, err
}

// A client makes plain requests. Docker's own client library makes
// them too, but starting it costs every command of sexton a millisecond, and
// its list holds every label and mount: 300 bytes for a five-byte "null,".
type client struct {
	d    *dial.Dialer
	http *http.Client
	api  string // negotiated, "" before
}

func newClient(d *dial.Dialer) *client {
	return &client{d: d, http: &http.Client{
		Transport: &http.Transport{
			DialContext:            d.DialAny,
			MaxResponseHeaderBytes: maxHeaders,
			DisableKeepAlives:      true, // what a daemon says on an idle connection would be logged
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (c *client) get(ctx context.Context, path string) (*http.Response, error) {
	return c.do(ctx, http.MethodGet, path)
}

// do asks for one path below the negotiated version. Only the socket counts: the host in the address is made up.
func (c *client) do(ctx context.Context, method, path string) (*http.Response, error) {
	if c.api != "" {
		path = "/v" + c.api + path
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "sexton")
	reply, err := c.http.Do(req)
	return reply, bare(err)
}

// negotiate pings and settles on the highest API version of both sides.
func (c *client) negotiate(ctx context.Context) (string, error) {
	c.d.Begin("ping", dial.SmallReply)
	reply, err := c.get(ctx, "/_ping")
	if err != nil {
		if strings.Contains(err.Error(), "malformed HTTP") { // the library keeps no more than the text
			return "", c.d.Explain(ctx, c.other("does not speak HTTP", err))
		}
		return "", c.d.Explain(ctx, err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK && reply.StatusCode != http.StatusInternalServerError { // unwell, but the list may still come
		return "", c.d.Explain(ctx, c.other(fmt.Sprintf("ping: %s: %s", reply.Status, message(reply.Body)), nil))
	}
	said := reply.Header.Get("Api-Version")
	if said == "" {
		said = oldestAPI // 1.24 does not say; older ones are told by the list
	}
	version, ok := parseAPI(said)
	if !ok {
		return "", c.other(fmt.Sprintf("ping: says that its API version is %.40q", said), nil)
	}
	if version.less(mustAPI(oldestAPI)) {
		return said, c.d.Fail(fmt.Sprintf("speaks API %s; the oldest asked is %s, of Docker 1.12", said, oldestAPI), runtimes.ErrOtherAPI)
	}
	if mustAPI(newestAPI).less(version) {
		said = newestAPI
	}
	c.api = said
	return said, nil
}

// An api is a version of the API.
type api struct{ major, minor int }

func (a api) less(b api) bool { return a.major < b.major || a.major == b.major && a.minor < b.minor }

// apiVersion is what a version may be before it becomes part of a path.
var apiVersion = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([0-9]{1,3})\.([0-9]{1,3})$`) })

func parseAPI(s string) (api, bool) {
	m := apiVersion().FindStringSubmatch(s)
	if m == nil {
		return api{}, false
	}
	major, err1 := strconv.Atoi(m[1])
	minor, err2 := strconv.Atoi(m[2])
	return api{major, minor}, err1 == nil && err2 == nil
}

func mustAPI(s string) api {
	a, ok := parseAPI(s)
	if !ok {
		panic("docker: API version " + s)
	}
	return a
}

// bare takes the made-up address of the request out of an error.
func bare(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (c *client) other(what string, err error) error {
	return c.d.Fail("not a docker API: "+what, runtimes.ErrOtherAPI, err)
}

// list asks for all containers and keeps of each what an [entry] has.
func (c *client) list(ctx context.Context) ([]runtimes.Container, error) {
	c.d.Begin("list containers", dial.MaxBytes)
	reply, err := c.get(ctx, "/containers/json?all=1")
	if err != nil {
		return nil, c.d.Explain(ctx, err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return nil, c.d.Explain(ctx, c.d.Fail(fmt.Sprintf("list containers: %s: %s", reply.Status, message(reply.Body))))
	}
	found, err := decodeList(reply.Body)
	if err != nil && errors.Is(err, errNotList) {
		return nil, c.d.Explain(ctx, c.other(fmt.Sprintf("list containers: %v", err), err))
	}
	return found, c.d.Explain(ctx, err)
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
func (c *client) version(ctx context.Context, answer *runtimes.Answer) error {
	own, cancel := half(ctx)
	defer cancel()
	c.d.Begin("version", dial.SmallReply)
	var said struct {
		Version    string
		Components []struct{ Name, Version string }
	}
	if err := c.getJSON(own, "/version", &said); err != nil {
		why := dial.What(c.d.Explain(own, err))
		return c.d.Fail("containers are listed, the version is not told (the daemon asks containerd for it): "+why, runtimes.ErrPartial)
	}
	answer.Version = said.Version
	for _, part := range said.Components {
		if part.Name == "Podman Engine" {
			answer.Kind = runtimes.Podman
		}
		if part.Name == "containerd" || part.Name == "runc" {
			if answer.Components == nil {
				answer.Components = map[string]string{}
			}
			answer.Components[part.Name] = part.Version
		}
	}
	return nil
}

func (c *client) getJSON(ctx context.Context, path string, into any) error {
	reply, err := c.get(ctx, path)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", reply.Status, message(reply.Body))
	}
	return json.NewDecoder(reply.Body).Decode(into)
}

func half(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/2)
}
