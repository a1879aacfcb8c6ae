package app

import (
	"crypto/tls"
	"net/netip"

	"example.com/app/platform/edge"
	"example.com/app/platform/telemetry"
)

// A Gate says how the system meets those who come from outside. Zero values are
// the defaults.
type Gate struct {
	TLS *tls.Config // of connections to roles at the edge; nil: plain text

	Rate    edge.Rate        // of each client; zero: 1000/s, 2000 at once
	Rates   []edge.RouteRate // of each client, under a path
	Origins []string         // whose scripts may read answers (CORS)
	Proxies []netip.Prefix   // that are believed when they say whom they speak for

	// SessionKey seals the cookies of browsers: the same in all gateways. Empty: a
	// random one.
	SessionKey telemetry.Secret

	// ClientID and ClientSecret are the gateway's own at the issuer, for browsers
	// that log in. Empty: "gateway", which is a public client.
	ClientID     string
	ClientSecret telemetry.Secret
}
