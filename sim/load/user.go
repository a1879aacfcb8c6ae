package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/app/platform/network"
	"example.com/app/platform/registry"
)

// A User is somebody outside who asks the gateways of a fleet, each in turn.
// It may be used from many goroutines.
type User struct {
	client http.Client
	login  *login // nil: a stranger
	next   atomic.Uint64

	patience time.Duration

	mu       sync.Mutex
	gateways []registry.Instance
	found    chan struct{} // closed when gateways is first known
}

// NewUser returns a user who gives up a request after a timeout, and who finds gateways in a registry and reaches them
// over a network. Run must run for the user to find any.
func NewUser(ground network.Network, timeout time.Duration) *User {
	return &User{
		found: make(chan struct{}), patience: timeout,
		client: http.Client{Timeout: timeout, Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, addr string) (net.Conn, error) { return ground.Dial(ctx, addr) },
			MaxIdleConnsPerHost: 100,
			IdleConnTimeout:     30 * time.Second,
		}},
	}
}

// Run follows the gateways until ctx ends, then closes idle connections.
func (u *User) Run(ctx context.Context, reg registry.Registry) {
	defer u.client.CloseIdleConnections()
	for set, err := range reg.Watch(ctx, "gateway") {
		if err != nil || len(set) == 0 {
			continue
		}
		u.mu.Lock()
		if u.gateways == nil {
			close(u.found)
		}
		u.gateways = set
		u.mu.Unlock()
	}
}

// Get asks for a path as in "/v1/greetings/Ada" and returns the answer's body.
func (u *User) Get(ctx context.Context, path string) (string, error) {
	return u.Do(ctx, http.MethodGet, path, "")
}

// Do sends a request with a JSON body, or none where body is empty, and
// returns the answer's body.
func (u *User) Do(ctx context.Context, method, path, body string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, u.patience) // tokens and second tries included
	defer cancel()
	res, err := u.Send(ctx, method, path, body, nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	return string(text), nil
}

// Send sends a request to the gateway whose turn it is, or to the next ones
// where it refuses the connection, so that nothing was sent. Where the token is
// refused it gets another and asks once more. An answer that is not 2xx is a
// StatusError. The caller closes the body of any other.
func (u *User) Send(ctx context.Context, method, path, body string, header http.Header) (*http.Response, error) {
	for again := false; ; again = true {
		token, err := u.Token(ctx)
		if err != nil {
			return nil, err
		}
		req, err := request(ctx, method, path, body, token)
		if err != nil {
			return nil, err
		}
		maps.Copy(req.Header, header)
		res, err := u.over(req)
		if err != nil {
			return nil, err
		}
		if res.StatusCode/100 == 2 {
			return res, nil
		}
		text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		_ = res.Body.Close()
		if res.StatusCode == http.StatusUnauthorized && token != "" && !again {
			u.login.drop(token)
			continue
		}
		return nil, errors.Join(&StatusError{Method: method, Path: path, Status: res.StatusCode, Body: string(text)}, err)
	}
}

func request(ctx context.Context, method, path, body, token string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	name(req)
	return req, nil
}

// known are the gateways, as soon as there have been any.
func (u *User) known(ctx context.Context) ([]registry.Instance, error) {
	select {
	case <-u.found:
	case <-ctx.Done():
		return nil, fmt.Errorf("find a gateway: %w", ctx.Err())
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.gateways, nil
}

// over sends a request to the gateway whose turn it is, or to the next ones
// where it refuses the connection.
func (u *User) over(req *http.Request) (*http.Response, error) {
	gateways, err := u.known(req.Context())
	if err != nil {
		return nil, err
	}
	var res *http.Response
	first := u.next.Add(1)
	for i := range gateways {
		turn := req.Clone(req.Context())
		turn.URL.Host = gateways[(first+uint64(i))%uint64(len(gateways))].Addr
		turn.Host = turn.URL.Host
		if req.GetBody != nil {
			if turn.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
		if res, err = u.client.Do(turn); !errors.Is(err, syscall.ECONNREFUSED) { //nolint:gosec // it asks whom the registry lists
			break
		}
	}
	return res, err
}

// A StatusError is an answer that is not 2xx.
type StatusError struct {
	Method, Path string
	Status       int
	Body         string
}

// Error holds the request, the status, and what the body says of the reason.
func (e *StatusError) Error() string {
	text := strings.TrimSpace(e.Body)
	var body struct {
		Error struct {
			Message string
			Details []struct{ Reason string }
		}
	}
	if json.Unmarshal([]byte(e.Body), &body) == nil && body.Error.Message != "" {
		text = body.Error.Message
		for _, d := range body.Error.Details {
			if d.Reason != "" {
				text += " (" + d.Reason + ")"
			}
		}
	}
	return fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Status, text)
}
