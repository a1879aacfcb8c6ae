// Package session keeps a browser logged in at the gateway.
//
// The gateway is the OAuth client, not the page: it gets the tokens by the
// authorization code with PKCE (RFC 7636), keeps them sealed in a cookie that no
// script can read, and shows the access token to the services on the browser's
// behalf. That is the backend for frontend of RFC 9700's companion, OAuth 2.0
// for Browser-Based Applications §6.1.
//
// No state is needed on our side, so any gateway answers any request. What is
// remembered, and bounded, is which sessions were renewed or ended here lately,
// so that requests which were under way at that moment still find the way. One
// gateway does not know what another remembers: where a browser's parallel
// requests reach several, the issuer must bear a refresh token used twice within
// seconds, or the session ends; and a cookie that somebody kept over a logout
// works at the others until its access token ends.
package session

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/app/platform/auth"
	"example.com/app/platform/errs"
	"example.com/app/platform/telemetry"
	"example.com/app/platform/transcode"
)

// A Config says who logs people in, and for how long. Zero values are the
// defaults where one is named.
type Config struct {
	Issuer       string           // identifier of the OpenID provider, a URL
	ClientID     string           // ours, at the issuer
	ClientSecret telemetry.Secret // empty: a public client, which PKCE alone protects
	RedirectURL  string           // of /auth/callback, as a browser reaches it
	Scopes       []string         // to ask for beside openid
	Resource     string           // whom the access token is for (RFC 8707); empty: as the issuer thinks fit

	// Client reaches the issuer. There must be one.
	Client *http.Client

	// Key seals the cookies: 32 bytes or more, the same in all gateways. Empty
	// means a random one, with which all sessions end when the process does.
	Key []byte

	// OldKeys open cookies that were sealed before Key took their place.
	OldKeys [][]byte

	// Except are path prefixes, as in "/oauth2", that need no token: the issuer's
	// own, where it is behind this gateway. They do not get our cookies either.
	Except []string

	Lifetime time.Duration // of a session, whatever happens; 0 means 12 h
	Idle     time.Duration // of a session that is not used; 0 means 1 h

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil means time.Now
}

// Sessions are all sessions at this gateway. They may be used from many
// goroutines, and own none.
type Sessions struct {
	cfg      Config
	provider *provider
	seal     *seal
	recent   *recent
	cross    *http.CrossOriginProtection
}

// New makes the sessions. It asks the issuer nothing yet: an issuer that is away
// is found out by those who log in. The error is of kind errs.Invalid.
func New(cfg Config) (*Sessions, error) {
	cfg = cfg.withDefaults()
	if cfg.ClientID == "" || cfg.Client == nil {
		return nil, errs.Invalid.New("sessions: no client id, or nothing to reach the issuer with")
	}
	redirect, err := url.Parse(cfg.RedirectURL)
	if err != nil || redirect.Host == "" || redirect.Path != prefix+"callback" || redirect.RawQuery != "" {
		return nil, errs.Invalid.New("sessions: redirect URL %q: want https://host%scallback", cfg.RedirectURL, prefix)
	}
	provider, err := newProvider(cfg)
	if err != nil {
		return nil, err
	}
	seal, err := newSeal(cfg)
	if err != nil {
		return nil, err
	}
	return &Sessions{
		cfg: cfg, provider: provider, seal: seal, recent: newRecent(maxRecent),
		cross: http.NewCrossOriginProtection(),
	}, nil
}

func (c Config) withDefaults() Config {
	if len(c.Key) == 0 {
		c.Key = make([]byte, minKey)
		_, _ = rand.Read(c.Key) // it never fails
	}
	if c.Lifetime == 0 {
		c.Lifetime = 12 * time.Hour
	}
	if c.Idle == 0 {
		c.Idle = time.Hour
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// prefix is where the sessions' own pages are.
const prefix = "/auth/"

// A state is one session: what its cookie holds.
type state struct {
	ID      string    `json:"id"`  // made anew at each login, so that none can be foisted on a browser
	Turn    int       `json:"n"`   // how often it was renewed
	Access  string    `json:"at"`  // the access token
	Refresh string    `json:"rt"`  // the refresh token; empty: it can't be renewed
	Subject string    `json:"sub"` // as the ID token says
	Name    string    `json:"nm,omitempty"`
	Scopes  []string  `json:"sc,omitempty"`
	Expiry  time.Time `json:"exp"` // of the access token
	Issued  time.Time `json:"iat"` // of the access token
	Began   time.Time `json:"beg"`
	Seen    time.Time `json:"see"`
}

// over says whether the session has ended by itself.
func (s *Sessions) over(st *state) bool {
	now := s.cfg.Now()
	return !now.Before(st.Began.Add(s.cfg.Lifetime)) || !now.Before(st.Seen.Add(s.cfg.Idle))
}

// Handler answers what is under /auth/, and hands the rest on to next: a request
// with a session's cookie gets the header Authorization, and no request keeps
// our cookies. A request that has both a cookie and the header is refused with
// 401, since nobody could tell who sent it. With a cookie, what changes
// something must come from our own pages, and so must a websocket: 403 else.
func (s *Sessions) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, prefix) {
			s.own(w, r)
			return
		}
		r, err := s.lend(w, r)
		if err != nil {
			s.cfg.Log.DebugContext(r.Context(), "request with a session refused", "error", err)
			transcode.WriteError(w, r, hide(err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// lend puts a session's access token into its request. The copy that it returns
// has none of our cookies.
func (s *Sessions) lend(w http.ResponseWriter, in *http.Request) (*http.Request, error) {
	sealed, found := cookie(in)
	out := withoutCookies(in)
	if !found || s.excepted(in.URL.Path) {
		return out, nil
	}
	w.Header().Add("Vary", "Cookie")
	if len(in.Header["Authorization"]) > 0 {
		return out, auth.Refuse(auth.Repeated, "both a session and an Authorization header")
	}
	st, turn, ok := s.open(sealed)
	if !ok {
		s.drop(w, in)
		return out, nil
	}
	if err := s.ours(in); err != nil {
		return out, err
	}
	current, err := s.renewed(in.Context(), st)
	if errs.Unauthenticated.Is(err) {
		s.drop(w, in)
		return out, nil // as who has no session: not everything asks for one
	}
	if err != nil {
		return out, err
	}
	s.touch(w, in, current, turn)
	out.Header["Authorization"] = []string{"Bearer " + current.Access}
	return out, nil
}

func (s *Sessions) excepted(path string) bool {
	return slices.ContainsFunc(s.cfg.Except, func(prefix string) bool {
		rest, ok := strings.CutPrefix(path, prefix)
		return ok && (rest == "" || rest[0] == '/')
	})
}

// ours refuses requests that the page of another site made a browser send. A
// websocket is a GET, and yet not safe: whoever opens it reads the answers.
func (s *Sessions) ours(r *http.Request) error {
	if r.Header.Get("Upgrade") != "" {
		r = r.Clone(r.Context())
		r.Method = http.MethodPost
	}
	if err := s.cross.Check(r); err != nil {
		return errs.Denied.New("the request comes from another site").Because("CROSS_ORIGIN")
	}
	return nil
}

// touch tells the browser what has changed: that the session was used, now and
// then, or that it has other tokens than the browser knows of.
func (s *Sessions) touch(w http.ResponseWriter, r *http.Request, st *state, turn int) {
	now := s.cfg.Now()
	if st.Turn == turn && now.Sub(st.Seen) < s.cfg.Idle/10 {
		return
	}
	used := *st
	used.Seen = now
	if err := s.give(w, r, &used); err != nil {
		s.cfg.Log.WarnContext(r.Context(), "session not prolonged", "error", err)
	}
}

// open is the session in a sealed text, as far as it is known here, and how
// often it had been renewed when the text was made; false: there is none, or it
// has ended.
func (s *Sessions) open(sealed string) (st *state, turn int, ok bool) {
	st = new(state)
	if !s.seal.open(sealedSession, sealed, st) || s.over(st) {
		return nil, 0, false
	}
	newest, ended := s.recent.newest(st)
	return newest, st.Turn, !ended
}

// renewed is the session with an access token that lasts. A token is renewed a
// little before it ends, as some clocks are late and some calls long. While the
// old one lasts, an issuer that is away does no harm. The error is of kind
// Unauthenticated where the session has ended.
func (s *Sessions) renewed(ctx context.Context, st *state) (*state, error) {
	now := s.cfg.Now()
	early := min(time.Minute, st.Expiry.Sub(st.Issued)/5)
	if now.Before(st.Expiry.Add(-early)) || st.Refresh == "" && now.Before(st.Expiry) {
		return st, nil
	}
	next, err := s.renew(ctx, st)
	if err != nil && now.Before(st.Expiry) && !errs.Unauthenticated.Is(err) {
		return st, nil
	}
	return next, err
}
