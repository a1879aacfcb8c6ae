package edge

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"example.com/app/platform/errs"
)

// maxHops is how many proxies a request may have come through, as far as they
// are asked.
const maxHops = 16

// ParseProxies reads the networks whose proxies are believed, as in
// "10.0.0.0/8" or "192.0.2.7". An error is of kind errs.Invalid.
func ParseProxies(list []string) ([]netip.Prefix, error) {
	proxies := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			addr, aerr := netip.ParseAddr(s)
			if aerr != nil || addr.Zone() != "" {
				return nil, errs.Invalid.New("trusted proxy %q: want a network as in 10.0.0.0/8, or an address", s)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		if p.Bits() == 0 {
			return nil, errs.Invalid.New("trusted proxy %q is everybody, and anybody could then say who they are", s)
		}
		proxies = append(proxies, p.Masked())
	}
	return proxies, nil
}

// A client is who sent a request, as far as addresses tell.
type client struct {
	host   string // an address without a port, or the name of a host in memory
	secure bool   // it came to us, or to a proxy that is believed, over TLS
}

// clientOf finds the client of r. A proxy that is believed says whom it speaks
// for: the list in X-Forwarded-For is read from its end, where the nearest proxy
// wrote, up to the first one that is not believed. What stands before that
// anybody could have written. Where an entry can't be read the reading ends.
func (e *Edge) clientOf(r *http.Request) client {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	c := client{host: host, secure: r.TLS != nil}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return c
	}
	addr = addr.Unmap()
	c.host = addr.String()
	if !e.believed(addr) {
		return c
	}
	if proto := r.Header["X-Forwarded-Proto"]; len(proto) == 1 {
		c.secure = proto[0] == "https"
	}
	entries := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for hop := range min(len(entries), maxHops) {
		next, err := netip.ParseAddr(strings.TrimSpace(entries[len(entries)-1-hop]))
		if err != nil || next.Zone() != "" {
			break
		}
		addr = next.Unmap()
		if !e.believed(addr) {
			break
		}
	}
	c.host = addr.String()
	return c
}

func (e *Edge) believed(addr netip.Addr) bool {
	for _, p := range e.cfg.Proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// key is whom a limit counts: of IPv6 the network of 64 bits, since every client
// has all addresses of one (RFC 6177 §2).
func (c client) key() string {
	addr, err := netip.ParseAddr(c.host)
	if err != nil {
		return c.host
	}
	if addr.Is4() {
		return addr.String()
	}
	network, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return c.host
	}
	return network.String()
}
