// Package oauth is an OAuth 2.0 and OpenID Connect authorization server, as an
// http.Handler (RFC 6749 with what RFC 9700 leaves of it).
//
// It is for development and for small deployments, and for one instance: codes,
// sessions and revocations are in the memory of the process, and a restart logs
// everybody out. Access tokens (RFC 9068) stay good until they expire, five
// minutes by default; who must know sooner asks /oauth2/introspect.
package oauth

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"example.com/app/services/issuer/account"
	"example.com/app/services/issuer/keys"
	"example.com/app/services/issuer/page"
)

// Config is what a server needs.
type Config struct {
	Issuer   string // URL that tokens name, and below which all endpoints are
	Audience string // of access tokens; empty means "app"
	Accounts *account.Accounts
	Keys     *keys.Ring

	Access  time.Duration // an access token lives so long; 0 means 5 min
	Refresh time.Duration // a grant may be refreshed so long; 0 means 30 days
	Code    time.Duration // an authorization code lives so long; 0 means 1 min
	Device  time.Duration // a device code lives so long; 0 means 10 min
	Session time.Duration // a person stays logged in so long; 0 means 8 h
	Records int           // of a kind that are kept; 0 means 50 000

	Now     func() time.Time      // nil means time.Now
	Log     *slog.Logger          // nil means none; nothing secret is written to it
	Metrics prometheus.Registerer // nil means none
}

// A Server answers the requests of clients and browsers.
type Server struct {
	cfg    Config
	origin string // scheme and host of the issuer
	memory *Memory
	store  Store
	pages  *page.Pages
	mac    []byte // key of form tokens and refresh tokens
	mux    *http.ServeMux
	guard  *http.CrossOriginProtection

	byName    *limit // tries of a password, from everywhere
	byGuesser *limit // and from one address: who guesses elsewhere locks nobody out
	byAddress *limit
	byClient  *limit

	tokens, refusals *prometheus.CounterVec
}

const (
	mostBody = 16 << 10 // bytes of a request
	mostText = 512      // bytes of a parameter that is kept
)

// New makes a server. Run it for as long as it answers.
func New(cfg Config) (*Server, error) {
	u, err := url.Parse(cfg.Issuer)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("make the issuer: %q is no URL to call it by", cfg.Issuer)
	}
	cfg.Audience = cmp.Or(cfg.Audience, "app")
	cfg.Access = cmp.Or(cfg.Access, 5*time.Minute)
	cfg.Refresh = cmp.Or(cfg.Refresh, 30*24*time.Hour)
	cfg.Code = cmp.Or(cfg.Code, time.Minute)
	cfg.Device = cmp.Or(cfg.Device, 10*time.Minute)
	cfg.Session = cmp.Or(cfg.Session, 8*time.Hour)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, origin: u.Scheme + "://" + u.Host, mac: make([]byte, 32), mux: http.NewServeMux(), guard: http.NewCrossOriginProtection()}
	if s.pages, err = page.New(); err != nil {
		return nil, err
	}
	if err := s.guard.AddTrustedOrigin(s.origin); err != nil { // browsers name it, whatever host the gateway passes on
		return nil, fmt.Errorf("make the issuer: %w", err)
	}
	_, _ = rand.Read(s.mac) // never fails (crypto/rand)
	s.memory = NewMemory(cfg.Now, cmp.Or(cfg.Records, 50_000))
	s.store = s.memory
	s.byName = newLimit(100, 6*time.Second)
	s.byGuesser = newLimit(10, time.Minute/5)
	s.byAddress = newLimit(30, time.Second)
	s.byClient = newLimit(20, time.Second)
	s.count()
	s.routes()
	return s, nil
}

func (s *Server) count() {
	s.tokens = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "issuer_tokens_total", Help: "Access tokens made, by grant type."}, []string{"grant"})
	s.refusals = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "issuer_refusals_total", Help: "Requests refused, by the error code of the answer."}, []string{"error"})
	if s.cfg.Metrics != nil {
		s.cfg.Metrics.MustRegister(s.tokens, s.refusals)
	}
}

func (s *Server) routes() {
	s.mux.HandleFunc("GET /.well-known/openid-configuration", s.metadata)
	s.mux.HandleFunc("GET /.well-known/oauth-authorization-server", s.metadata)
	s.mux.HandleFunc("GET /oauth2/jwks", s.jwks)
	s.mux.HandleFunc("POST /oauth2/token", s.token)
	s.mux.HandleFunc("POST /oauth2/introspect", s.introspect)
	s.mux.HandleFunc("POST /oauth2/revoke", s.revoke)
	s.mux.HandleFunc("POST /oauth2/device_authorization", s.authorizeDevice)
	s.mux.HandleFunc("/oauth2/userinfo", s.userinfo)
	s.mux.HandleFunc("GET /oauth2/authorize", s.authorize)
	s.mux.HandleFunc("POST /oauth2/authorize", s.authorize)
	s.mux.HandleFunc("GET /oauth2/device", s.devicePage)
	s.mux.HandleFunc("GET /oauth2/logout", s.logout)
	s.mux.HandleFunc("POST /oauth2/logout", s.logout)
	s.mux.HandleFunc("GET /oauth2/style.css", s.pages.Style)
	for path, answer := range map[string]http.HandlerFunc{
		"/oauth2/login": s.login, "/oauth2/consent": s.consent, "/oauth2/device": s.device, "/oauth2/logout/confirm": s.confirmLogout,
	} {
		s.mux.Handle("POST "+path, s.guard.Handler(answer))
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, mostBody)
	}
	s.mux.ServeHTTP(w, r)
}

// Run forgets what has expired, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.memory.Sweep()
			now := s.cfg.Now()
			s.byName.sweep(now)
			s.byGuesser.sweep(now)
			s.byAddress.sweep(now)
			s.byClient.sweep(now)
		}
	}
}

// form reads the parameters of a POST. A parameter that is there twice is
// refused (RFC 6749 section 3.2), but for resource (RFC 8707 section 2).
func form(r *http.Request) (url.Values, error) {
	if err := r.ParseForm(); err != nil {
		return nil, refuse(invalidRequest, "the parameters can't be read")
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		return nil, refuse(invalidRequest, "want Content-Type application/x-www-form-urlencoded")
	}
	return once(r.PostForm)
}

// once refuses parameters that are there twice.
func once(v url.Values) (url.Values, error) {
	for name, values := range v {
		if len(values) > 1 && name != "resource" {
			return nil, refuse(invalidRequest, "%.40q is there %d times", name, len(values))
		}
	}
	return v, nil
}

// hashed is the key that a secret is kept under.
func hashed(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return string(sum[:])
}

// seal makes a mark that only this server can make.
func (s *Server) seal(parts ...string) string {
	h := hmac.New(sha256.New, s.mac)
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // a hash takes everything
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// address is who sent a request, as the gateway wrote it down last. An IPv6
// network of 56 bits is one sender: it is what a household is given (RFC 6177).
func address(r *http.Request) string {
	list := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	host := strings.TrimSpace(list[len(list)-1])
	if host == "" {
		host, _, _ = net.SplitHostPort(r.RemoteAddr)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Unmap().Is4() {
		return host
	}
	network, err := ip.WithZone("").Prefix(56)
	if err != nil {
		return host
	}
	return network.String()
}
