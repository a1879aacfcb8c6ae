// Package token verifies OAuth 2.0 access tokens: JSON web tokens as RFC 9068
// has them, under the rules of RFC 8725.
//
// The one rule: a token says who it is by, and nothing else of what it says is
// believed before the issuer's key has spoken. The key decides on the algorithm;
// keys come from the issuer's document alone, never from the token.
//
// A token is good until it expires: nobody is asked whether it was revoked
// (RFC 7009 section 3, self-contained tokens). So an issuer should make them for
// minutes, and what must end sooner needs a key of its own, which the issuer
// takes out of its document.
package token

import (
	"cmp"
	"context"
	"crypto/sha256"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"example.com/app/platform/auth"
	"example.com/app/platform/errs"
)

// maxLeeway is the most that clocks may differ (AU3).
const maxLeeway = time.Minute

// A Config says which tokens a Verifier takes. What is 0 has the default named.
type Config struct {
	Issuer   string  // iss, to the letter (RFC 9068 §4)
	Audience string  // must be among the values of aud
	Keys     *KeySet // the issuer's; somebody runs it

	Leeway    time.Duration // by how much clocks may differ; 0 means 30 s, more than 60 s is refused
	MaxSize   int           // of a token, in bytes; 0 means 8 KiB
	CacheSize int           // tokens remembered; 0 means 10,000, less than 0 none
	CacheFor  time.Duration // how long one is remembered, unless it expires before; 0 means 60 s, which is the most

	Now     func() time.Time      // nil means time.Now
	Metrics prometheus.Registerer // of tokens and of Keys; nil: none
}

// A Verifier is an auth.Verifier for the tokens of one issuer. It starts no
// goroutine and needs no closing.
type Verifier struct {
	cfg     Config
	cache   *cache // nil: none
	metrics *metrics
}

// New returns a Verifier. An error, of kind Invalid, says what is wrong with
// cfg.
func New(cfg Config) (*Verifier, error) {
	cfg.Leeway = cmp.Or(cfg.Leeway, 30*time.Second)
	cfg.MaxSize = cmp.Or(cfg.MaxSize, auth.MaxToken)
	cfg.CacheSize = cmp.Or(cfg.CacheSize, 10_000)
	cfg.CacheFor = cmp.Or(cfg.CacheFor, time.Minute)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	switch {
	case cfg.Issuer == "" || cfg.Audience == "" || cfg.Keys == nil:
		return nil, errs.Invalid.New("verify access tokens: the issuer, the audience or the keys are missing")
	case cfg.Leeway < 0 || cfg.Leeway > maxLeeway:
		return nil, errs.Invalid.New("verify access tokens: clocks may differ by 0 to %v, not by %v", maxLeeway, cfg.Leeway)
	case cfg.CacheFor < 0 || cfg.CacheFor > time.Minute:
		return nil, errs.Invalid.New("verify access tokens: a token may be remembered for 0 to %v, not for %v", time.Minute, cfg.CacheFor)
	}
	m, err := newMetrics(cfg.Metrics, cfg.Keys.metrics)
	if err != nil {
		return nil, err
	}
	v := &Verifier{cfg: cfg, metrics: m}
	if cfg.CacheSize > 0 {
		v.cache = newCache(cfg.CacheSize)
	}
	return v, nil
}

// Verify implements auth.Verifier. It waits only where the token names a key
// that the key set does not have, and then no longer than the set's Timeout.
func (v *Verifier) Verify(ctx context.Context, token string) (*auth.Principal, error) {
	p, err := v.verify(ctx, token)
	v.metrics.verified(err)
	return p, err
}

func (v *Verifier) verify(ctx context.Context, token string) (*auth.Principal, error) {
	if len(token) > v.cfg.MaxSize {
		return nil, auth.Refuse(auth.Oversize, "the access token is longer than %d bytes", v.cfg.MaxSize)
	}
	now, sum := v.cfg.Now(), digest(token)
	if p, ok := v.recall(sum, now); ok {
		return p, nil
	}
	c, k, err := v.check(ctx, token, now)
	if err != nil {
		return nil, err
	}
	p := c.principal
	v.cache.put(sum, entry{principal: p, key: k.id, since: now, until: earlier(now.Add(v.cfg.CacheFor), p.Expiry.Add(v.cfg.Leeway))})
	return p, nil
}

// recall finds a token that was verified a short while ago, by a key that the
// issuer still has.
func (v *Verifier) recall(sum [sha256.Size]byte, now time.Time) (*auth.Principal, bool) {
	e, ok := v.cache.get(sum)
	if !ok {
		return nil, false
	}
	// A clock set back counts as a miss, lest an entry outlives its time.
	if now.Before(e.since) || !now.Before(e.until) || !v.cfg.Keys.holds(e.key) {
		v.cache.drop(sum)
		return nil, false
	}
	v.metrics.hits.Inc()
	return e.principal, true
}

// check does the whole work: form, key, signature, claims.
func (v *Verifier) check(ctx context.Context, token string, now time.Time) (claims, *key, error) {
	j, err := parse(token)
	if err != nil {
		return claims{}, nil, err
	}
	k, err := v.cfg.Keys.verify(ctx, j)
	if err != nil {
		return claims{}, nil, err
	}
	c, err := parseClaims(j.payload)
	if err != nil {
		return claims{}, nil, err
	}
	return c, k, v.judge(c, now)
}

// judge holds the claims of a token against what is wanted, in the order of
// RFC 9068 §4.
func (v *Verifier) judge(c claims, now time.Time) error {
	switch {
	case c.principal.Issuer != v.cfg.Issuer:
		return auth.Refuse(auth.Issuer, "the access token is by another issuer than %s", v.cfg.Issuer)
	case !c.isFor(v.cfg.Audience):
		return auth.Refuse(auth.Audience, "the access token is not for %s", v.cfg.Audience)
	case !now.Before(c.principal.Expiry.Add(v.cfg.Leeway)):
		return auth.Refuse(auth.Expired, "the access token has expired")
	case c.notBefore.After(now.Add(v.cfg.Leeway)):
		return auth.Refuse(auth.NotYet, "the access token is not valid yet")
	case c.issuedAt.After(now.Add(v.cfg.Leeway)):
		return auth.Refuse(auth.NotYet, "the access token was issued in the future: the clocks differ")
	}
	return nil
}

// digest is the SHA-256 of a token, taken on the stack where the token is of a
// common length: it is all that a remembered token costs.
func digest(token string) [sha256.Size]byte {
	var space [2 << 10]byte
	return sha256.Sum256(append(space[:0], token...))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
