package consul

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/prometheus/client_golang/prometheus"

	"example.com/app/platform/network"
)

// A Config says which Consul to ask, and how patiently. The zero value is the
// default.
type Config struct {
	// API is everything that Consul's client can be told: address, TLS, token,
	// namespace, partition, datacentre. Nil: what the CONSUL_* variables of the
	// environment say, else an agent on this host. It is copied. Its HttpClient
	// and the dialler of its Transport are not used: Network dials. A TokenFile
	// is read again every few seconds.
	API *api.Config

	// Network carries the requests. Nil: TCP.
	Network network.Network

	// TTL is how long an instance stays listed after its last heartbeat. 0
	// means 15 s.
	TTL time.Duration

	// GC is when Consul forgets an instance that stays critical. It collects
	// rubbish and detects nothing. 0 means 10 min; Consul takes no less than 1.
	GC time.Duration

	// Wait is how long Consul may hold a query until something changes. 0
	// means 60 s.
	Wait time.Duration

	// Hold is how long an empty answer is doubted when there were instances
	// before. 0 means 10 s, a negative one that it is believed at once.
	Hold time.Duration

	// Datacenters are where instances are looked for; empty means that of the
	// agent. None: only there.
	Datacenters []string

	// Panic lets Watch yield instances that do not pass where none does,
	// except those that an operator took out.
	Panic bool

	// Waiting is how many questions may wait at Consul at a time. Where more
	// roles are watched they take turns, and a change may be seen some seconds
	// later. 0 means 150: an agent refuses more than 200 connections from one
	// address.
	Waiting int

	// Seed makes jitter repeatable. 0 means that it is not.
	Seed uint64

	// Log hears when Consul goes away and comes back. Nil: nobody does.
	Log *slog.Logger

	// Metrics gets the metrics of one Registry. Nil: nobody does.
	Metrics prometheus.Registerer
}

// slack is what an answer may take beyond the wait that was asked for.
const slack = 10 * time.Second

// connections is how many of them there may be to an agent: all that wait, and
// some for what does not.
func (c Config) connections() int { return c.Waiting + 40 }

// maxAnswer limits what is read of one answer, in bytes. A role with 10,000
// instances needs about a quarter of it.
const maxAnswer = 64 << 20

// withDefaults returns c with every zero replaced.
func (c Config) withDefaults() Config {
	if c.API == nil {
		c.API = api.DefaultConfig()
	}
	if c.Network == nil {
		c.Network = &network.TCP{}
	}
	c.TTL = cmp.Or(c.TTL, 15*time.Second)
	c.GC = cmp.Or(c.GC, 10*time.Minute)
	c.Wait = cmp.Or(c.Wait, time.Minute)
	c.Hold = max(cmp.Or(c.Hold, 10*time.Second), 0)
	c.Waiting = cmp.Or(c.Waiting, 150)
	if len(c.Datacenters) == 0 {
		c.Datacenters = []string{""}
	}
	for c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// New returns a registry that has asked Consul nothing yet: a Consul that is
// away is no error here. An error means that the configuration, or a file it
// names, is wrong.
func New(c Config) (*Registry, error) {
	c = c.withDefaults()
	transport, err := c.transport()
	if err != nil {
		return nil, fmt.Errorf("configure consul client: %w", err)
	}
	client, err := c.client(transport)
	if err != nil {
		return nil, fmt.Errorf("configure consul client: %w", err)
	}
	r := &Registry{
		config: c, client: client, idle: transport.CloseIdleConnections,
		places: newPlaces(c.Waiting), watches: map[string]*watch{},
	}
	r.metrics, err = newMetrics(c.Metrics, r)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// client returns a client whose requests travel by transport.
func (c Config) client(transport *http.Transport) (*api.Client, error) {
	travel := &http.Client{Transport: limited{transport}, CheckRedirect: stay}
	conf := *c.API
	conf.HttpClient = travel
	client, err := api.NewClient(&conf) // completes conf
	if err != nil || conf.TokenFile == "" {
		return client, err
	}
	token, err := readToken(conf.TokenFile)
	if err == nil && token == conf.Token { // else one that was given goes before the file
		travel.Transport = &tokenFile{RoundTripper: travel.Transport, path: conf.TokenFile, token: token, read: time.Now()}
	}
	return client, err
}

// transport returns how requests travel: as the configuration says, over its
// network.
func (c Config) transport() (*http.Transport, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: slack,
		IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: 16, ForceAttemptHTTP2: true,
	}
	if c.API.Transport != nil {
		t = c.API.Transport.Clone()
	}
	t.MaxConnsPerHost = cmp.Or(t.MaxConnsPerHost, c.connections())
	t.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) { return c.Network.Dial(ctx, addr) }
	// The client of the api package would add the environment's TLS settings
	// only to a transport it made itself.
	own := api.Config{Transport: t, TLSConfig: c.API.TLSConfig}
	if _, err := api.NewClient(&own); err != nil {
		return nil, err
	}
	return t, nil
}

// stay refuses to follow: a redirect would carry the token to another host.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// limited cuts answers that are longer than any honest one.
type limited struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (l limited) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}
