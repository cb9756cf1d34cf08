package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sexton.dev/runtimes"
	"sexton.dev/runtimes/dial"
)

const (
	// maxInspect bounds in bytes what is said of one container: its labels may hold 256 KiB.
	maxInspect = maxEntry
	// grace is how long a container gets to end before docker kills it, as with docker stop.
	grace = 10 * time.Second
	// restartTime is what a restart must have at hand: some docker versions stop a
	// container and do not start it again if who asked hangs up.
	restartTime = grace + 20*time.Second
)

// Inspect asks a daemon of this kind, [runtimes.Docker] or [runtimes.Podman], for one
// container by its full id. Of one that hangs the question may stay in the daemon for
// ever: ask only before an act, with a deadline. Errors wrap [runtimes.ErrGone] if
// there is none.
//
// It needs the right to write to the socket, which is root's or that of its group.
//
// Source: Docker Engine API v1.24 to v1.51, ContainerInspect.
func Inspect(ctx context.Context, kind runtimes.Kind, socket, id string) (runtimes.Run, error) {
	c, err := open(ctx, kind, socket, id)
	if err != nil {
		return runtimes.Run{}, err
	}
	defer c.http.CloseIdleConnections()
	return c.inspect(ctx, id)
}

// Probe is [Inspect] for who wants to know whether the daemon answers for the
// container, which takes its lock, and not what it answers.
func Probe(ctx context.Context, kind runtimes.Kind, socket, id string) ([]runtimes.Said, error) {
	if err := runtimes.CheckID(id); err != nil {
		return nil, err
	}
	c := newClient(dial.New(kind, socket))
	defer c.http.CloseIdleConnections()
	_, err := c.negotiate(ctx)
	if err == nil {
		_, err = c.inspect(ctx, id)
	}
	return c.d.Said(), err
}

// Remove asks the daemon once more to remove a container that it failed to remove:
// one whose state is dead or removing. It never forces, and takes no volumes and no
// links. Errors wrap [runtimes.ErrRefused] for a container in any other state, which
// is somebody's still, and [runtimes.ErrGone] if there is none.
//
// It needs what [Inspect] does.
//
// Source: Docker Engine API v1.24 to v1.51, ContainerDelete; moby v20.10
// container/state.go, StateString.
func Remove(ctx context.Context, kind runtimes.Kind, socket, id string) error {
	c, err := open(ctx, kind, socket, id)
	if err != nil {
		return err
	}
	defer c.http.CloseIdleConnections()
	is, err := c.inspect(ctx, id)
	switch {
	case err != nil:
		return err
	case is.State != "dead" && is.State != "removing":
		return c.refuse(id, fmt.Sprintf("it is %.20q, not dead: this only finishes a removal that the daemon failed in; docker rm begins one", is.State))
	case is.PID != 0:
		return c.refuse(id, fmt.Sprintf("it is %.20q, but pid %d is still said to be its first process: see that this ends first", is.State, is.PID))
	}
	return c.act(ctx, id, "remove", http.MethodDelete, "/containers/"+id+"?v=0&link=0&force=0")
}

// Restart restarts the container of a run that [Inspect] told, if that run goes on
// still, and returns the run that follows. Its processes get 10 s to end. ctx must
// leave 30 s.
//
// Between the last look and the act the daemon may begin another run; it has no
// call that compares.
//
// It needs what [Inspect] does. Errors wrap [runtimes.ErrRefused] if the run is
// another one or does not run.
//
// Source: Docker Engine API v1.24 to v1.51, ContainerRestart.
func Restart(ctx context.Context, kind runtimes.Kind, socket string, was runtimes.Run) (runtimes.Run, error) {
	c, err := open(ctx, kind, socket, was.ID)
	if err != nil {
		return runtimes.Run{}, err
	}
	defer c.http.CloseIdleConnections()
	is, err := c.inspect(ctx, was.ID)
	if err == nil {
		err = is.Check(was)
	}
	switch end, limited := ctx.Deadline(); {
	case err != nil:
		return is, err
	case is.State != "running":
		return is, c.refuse(was.ID, fmt.Sprintf("it is %.20q, not running: a restart would start what somebody stopped or paused", is.State))
	case limited && time.Until(end) < restartTime:
		return is, c.refuse(was.ID, fmt.Sprintf("a restart needs %v, and there are %v: give more time", restartTime, time.Until(end).Round(time.Second)))
	}
	path := fmt.Sprintf("/containers/%s/restart?t=%d", was.ID, int(grace.Seconds()))
	if err := c.act(ctx, was.ID, "restart", http.MethodPost, path); err != nil {
		return is, err
	}
	now, err := c.inspect(ctx, was.ID)
	if err != nil {
		return now, err
	}
	if !now.Started.After(was.Started) {
		return now, c.d.Fail(fmt.Sprintf("restart of container %.12s: the daemon says that it is done, and its start is the same as before", was.ID))
	}
	return now, nil
}

// Finish does what is left of a [Restart] that failed or was not waited for: it starts
// the container if that has ended its run, and no other has begun. Errors wrap
// [runtimes.ErrRefused] if the run goes on.
//
// It needs what [Inspect] does.
//
// Source: Docker Engine API v1.24 to v1.51, ContainerStart: 304, it runs by now.
func Finish(ctx context.Context, kind runtimes.Kind, socket string, was runtimes.Run) error {
	c, err := open(ctx, kind, socket, was.ID)
	if err != nil {
		return err
	}
	defer c.http.CloseIdleConnections()
	is, err := c.inspect(ctx, was.ID)
	switch {
	case err != nil:
		return err
	case is.Started.After(was.Started):
		return nil
	case is.State != "exited":
		return c.refuse(was.ID, fmt.Sprintf("it is %.20q: its run has not ended, so it is not started anew", is.State))
	}
	return c.act(ctx, was.ID, "start", http.MethodPost, "/containers/"+was.ID+"/start")
}

// open checks the id and begins to talk.
func open(ctx context.Context, kind runtimes.Kind, socket, id string) (*client, error) {
	if err := runtimes.CheckID(id); err != nil {
		return nil, err
	}
	c := newClient(dial.New(kind, socket))
	if _, err := c.negotiate(ctx); err != nil {
		c.http.CloseIdleConnections()
		return nil, err
	}
	return c, nil
}

func (c *client) refuse(id, why string) error {
	return c.d.Fail(fmt.Sprintf("container %.12s: %s", id, why), runtimes.ErrRefused)
}

// inspect asks for one container by its full id, and takes no other's answer.
func (c *client) inspect(ctx context.Context, id string) (runtimes.Run, error) {
	c.d.Begin("inspect "+id[:12], maxInspect)
	reply, err := c.get(ctx, "/containers/"+id+"/json")
	if err != nil {
		return runtimes.Run{}, c.d.Explain(ctx, err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return runtimes.Run{}, c.told(id, "inspect", reply)
	}
	var said struct {
		ID    string `json:"Id"`
		State struct {
			Status    string
			Pid       int
			StartedAt time.Time
		}
	}
	if err := json.NewDecoder(reply.Body).Decode(&said); err != nil {
		return runtimes.Run{}, c.d.Explain(ctx, err)
	}
	if said.ID != id {
		return runtimes.Run{}, c.refuse(id, fmt.Sprintf("the daemon answers with another id, %.80q", said.ID))
	}
	return runtimes.Run{ID: id, State: strings.ToLower(said.State.Status), PID: said.State.Pid, Started: said.State.StartedAt}, nil
}

// act makes one request that changes something. One that brought no answer may
// have been heard all the same, which the error says.
func (c *client) act(ctx context.Context, id, what, method, path string) error {
	c.d.Begin(what+" "+id[:12], dial.SmallReply)
	reply, err := c.do(ctx, method, path)
	if err != nil {
		return c.d.Doubt(c.d.Explain(ctx, err))
	}
	defer reply.Body.Close()
	switch reply.StatusCode {
	case http.StatusNoContent, http.StatusOK, http.StatusNotModified:
	default:
		return c.told(id, what, reply)
	}
	return nil
}

// told is the error of an answer that is not one of success.
func (c *client) told(id, what string, reply *http.Response) error {
	text := fmt.Sprintf("%s %.12s: %.80s: %.300s", what, id, reply.Status, message(reply.Body))
	switch {
	case reply.StatusCode == http.StatusNotFound:
		return c.d.Fail(text, runtimes.ErrGone)
	case what == "remove" && reply.StatusCode == http.StatusConflict:
		return c.d.Fail(text+"; a removal of it is under way: wait for that, or restart the daemon if it hangs", runtimes.ErrRefused)
	case what == "remove" && reply.StatusCode == http.StatusInternalServerError:
		text += "; sexton why " + id[:12] + " says who holds what the daemon cannot remove"
	}
	return c.d.Fail(text)
}
