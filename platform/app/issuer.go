package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/app/platform/errs"
	"example.com/app/platform/identity"
	"example.com/app/platform/network"
)

// issuerRole is who makes the system's tokens, where nobody else does.
const issuerRole = "issuer"

// secure checks the security settings, and fills in what zero values stand for.
func (c *Config) secure() error {
	s := &c.Security
	s.Audience = cmp.Or(s.Audience, "app")
	if s.PublicURL == "" {
		scheme, usual := "http", "80"
		if c.Gate.TLS != nil {
			scheme, usual = "https", "443"
		}
		s.PublicURL = scheme + "://localhost"
		if _, own, err := net.SplitHostPort(c.HTTP); err == nil && own != "0" && own != usual {
			s.PublicURL += ":" + own
		}
	}
	for name, text := range map[string]string{"public": s.PublicURL, "issuer": s.Issuer} {
		if err := checkBase(text); err != nil {
			return fmt.Errorf("%s URL: %w", name, err)
		}
	}
	if u, err := url.Parse(s.Issuer); err == nil && u.Scheme == "http" && s.Issuer != s.PublicURL && !s.Insecure && !loopback(u.Hostname()) {
		return errs.Invalid.New("issuer URL: %q: want https, or a host of this machine: whoever is on the way could send keys of their own", s.Issuer)
	}
	if !s.Insecure && s.Identity == nil {
		s.Identity = identity.NewMemory(identity.MemoryConfig{Now: c.Now})
	}
	return nil
}

// loopback says whether a host is this machine (RFC 6761 section 6.3).
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// checkBase refuses what can't be an issuer's identifier (RFC 8414 section 2).
func checkBase(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.HasSuffix(u.Path, "/") {
		return errs.Invalid.New("%q: want http://host or https://host, with a port or a path where there is one, and no slash at the end", text)
	}
	return nil
}

// inside says whether the issuer is a role of the system.
func (i Issuer) inside() bool { return i.URL == i.PublicURL }

// issuer is what the instance's role gets to know of the issuer.
func (n *Node) issuer(in *instance) Issuer {
	s := n.cfg.Security
	i := Issuer{URL: cmp.Or(s.Issuer, s.PublicURL), Audience: s.Audience, PublicURL: s.PublicURL, Dir: s.IssuerDir, Clients: s.Clients}
	dial := new(network.TCP).Dial
	if i.inside() {
		dial = func(ctx context.Context, _ string) (net.Conn, error) { return in.reach(ctx, issuerRole) }
	}
	t := &http.Transport{
		DialContext:            func(ctx context.Context, _, addr string) (net.Conn, error) { return dial(ctx, addr) },
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        30 * time.Second,
	}
	if i.inside() {
		t.DialTLSContext = t.DialContext // the identifier may say https: inside, the mesh has its own certificates
	}
	in.env.clients.idle = t.CloseIdleConnections
	i.Client = &http.Client{Transport: t, Timeout: 15 * time.Second}
	return i
}

// asksIssuer says whether the instance verifies tokens, of an issuer that there
// is.
func (in *instance) asksIssuer() bool {
	there := !in.env.Issuer.inside() || slices.ContainsFunc(in.node.cfg.Roles, func(r Role) bool { return r.Name == issuerRole })
	return there && in.guard.workload != nil && in.role.Name != issuerRole
}

// reach connects to one of the instances of a role that is an http.Handler.
func (in *instance) reach(ctx context.Context, role string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var last error
	for set, err := range in.registry.Watch(ctx, role) {
		if err != nil {
			last = err
			continue
		}
		for _, other := range set {
			conn, err := in.env.Network.Dial(ctx, other.Addr)
			if err != nil {
				last = err
				continue
			}
			return in.shake(ctx, role, conn)
		}
	}
	return nil, errs.Unavailable.New("no instance of %s answers: %w", role, cmp.Or(last, ctx.Err()))
}

// shake makes a connection to a role the mesh's: both sides show certificates.
func (in *instance) shake(ctx context.Context, role string, conn net.Conn) (net.Conn, error) {
	cfg := in.env.TLS(role)
	if cfg == nil {
		return conn, nil
	}
	secured := tls.Client(conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("connect to %s: %w", role, err)
	}
	return secured, nil
}
