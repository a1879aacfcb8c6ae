package token

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"example.com/app/platform/auth"
	"example.com/app/platform/errs"
)

// maxRetry is how long a KeySet waits at most after a fetch that failed, so that
// it heals soon after the issuer has.
const maxRetry = 15 * time.Second

// A KeySetConfig says where keys come from. What is 0, or less, has the default
// named.
type KeySetConfig struct {
	// Fetch returns the issuer's JWKS document (RFC 7517 §5), as Discover does.
	// It is called by Run alone, one call at a time.
	Fetch func(context.Context) ([]byte, error)

	// Interval is the least time from the beginning of a fetch to that of the
	// next: what forged tokens can cost the issuer. 0 means 1 s.
	Interval time.Duration
	// Refresh is how long a key that the issuer took back may live on here, and
	// the time of a fetch more, while the issuer answers. Tokens that were verified
	// with it end with it. 0 means 5 minutes.
	Refresh  time.Duration
	Timeout  time.Duration // of a fetch, and the longest that a token waits for one; 0 means 3 s
	MaxBytes int           // of a document; 0 means 1 MiB

	// Name, as of the instance, spreads the fetches of many: their jitter is drawn
	// from it, so that the same names make the same run.
	Name string

	Log *slog.Logger // nil: none
}

// A KeySet knows the keys of an issuer. It is filled and kept fresh by Run, and
// may be used from many goroutines.
//
// A key that is known is used at once, whatever happens to the issuer: the last
// good document counts until there is a newer one. A token that names an unknown
// key has the document fetched, once for all that wait, and not before Interval
// has passed since the last fetch.
type KeySet struct {
	cfg     KeySetConfig
	random  *rand.Rand // Run's
	metrics *fetches
	current atomic.Pointer[set] // nil: none yet
	ask     chan struct{}       // wakes Run

	mu      sync.Mutex
	flight  chan struct{} // closed when the fetch that was asked for has ended; nil: none is
	began   time.Time     // when the last one began
	stopped bool          // Run has returned
}

// NewKeySet returns a KeySet, empty until Run has fetched.
func NewKeySet(cfg KeySetConfig) *KeySet {
	positive := func(d, otherwise time.Duration) time.Duration {
		if d <= 0 {
			return otherwise
		}
		return d
	}
	cfg.Interval = positive(cfg.Interval, time.Second)
	cfg.Refresh = max(positive(cfg.Refresh, 5*time.Minute), cfg.Interval)
	cfg.Timeout = positive(cfg.Timeout, 3*time.Second)
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, maxDocument)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(cfg.Name))
	return &KeySet{cfg: cfg, random: rand.New(rand.NewPCG(0, h.Sum64())), metrics: newFetches(), ask: make(chan struct{}, 1)}
}

// Ready returns nil once keys are known, else why no token can be verified yet.
func (k *KeySet) Ready() error {
	if k.current.Load() == nil {
		return errs.Unavailable.New("the issuer's keys are not known yet").Because(auth.KeysUnavailable)
	}
	return nil
}

// holds reports whether the issuer still has this key.
func (k *KeySet) holds(id [sha256.Size]byte) bool {
	s := k.current.Load()
	if s == nil {
		return false
	}
	_, ok := s.ids[id]
	return ok
}

// verify returns the key that j was signed with.
func (k *KeySet) verify(ctx context.Context, j jws) (*key, error) {
	s := k.current.Load()
	keys, known := s.fitting(j)
	found := verify(keys, j)
	// What the issuer may have renamed or added since is asked for once: a kid
	// that is new, or a key without one.
	if found == nil && (!known || j.kid == "" && s.unnamed) {
		fresh, err := k.renew(ctx, s)
		switch {
		case err != nil:
			return nil, errs.Unavailable.New("wait for the issuer's keys: %w", err).Because(auth.KeysUnavailable)
		case fresh == nil:
			return nil, errs.Unavailable.New("the issuer's keys are not known yet: try again in a moment").Because(auth.KeysUnavailable)
		case fresh != s:
			keys, known = fresh.fitting(j)
			found = verify(keys, j)
		}
	}
	switch {
	case found != nil:
		return found, nil
	case !known:
		return nil, auth.Refuse(auth.Key, "the access token is signed with a key that the issuer does not list")
	case len(keys) == 0:
		return nil, auth.Refuse(auth.Algorithm, "the access token is signed with another algorithm than that of its key")
	}
	return nil, auth.Refuse(auth.Signature, "the signature of the access token is wrong")
}

// renew returns a set that is newer than seen, or seen where there is none: it
// waits for the fetch under way, or has one begin if that may be. The error is
// that of ctx.
func (k *KeySet) renew(ctx context.Context, seen *set) (*set, error) {
	if done := k.request(seen); done != nil {
		limit := time.NewTimer(k.cfg.Timeout) // nobody may be there to fetch
		defer limit.Stop()
		select {
		case <-done:
		case <-limit.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("after %w", context.Cause(ctx))
		}
	}
	return k.current.Load(), nil
}

// request asks Run for a fetch, and returns what is closed when it has ended;
// nil: there is nothing to wait for.
func (k *KeySet) request(seen *set) <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.stopped || k.current.Load() != seen:
		return nil
	case k.flight != nil:
		return k.flight
	case !k.began.IsZero() && time.Since(k.began) < k.cfg.Interval:
		return nil
	}
	k.flight = make(chan struct{})
	select {
	case k.ask <- struct{}{}:
	default:
	}
	return k.flight
}

// Run fetches the keys at once, then before Refresh has passed, when a token
// names an unknown key, and sooner again after a failure. It returns nil when
// ctx ends, and is called once. The error, of kind Invalid, says that there is
// nothing to fetch with.
func (k *KeySet) Run(ctx context.Context) error {
	defer k.stop()
	if k.cfg.Fetch == nil {
		return errs.Invalid.New("keep the issuer's keys: nothing to fetch them with")
	}
	for failures := 0; ; {
		k.begin()
		err := k.fetch(ctx)
		k.end()
		if ctx.Err() != nil {
			return nil
		}
		failures = k.report(err, failures)
		timer := time.NewTimer(k.pause(failures))
		select {
		case <-timer.C:
		case <-k.ask:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		timer.Stop()
	}
}

// begin marks a fetch as under way.
func (k *KeySet) begin() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flight == nil {
		k.flight = make(chan struct{})
	}
	select { // who asked meanwhile waits for this one
	case <-k.ask:
	default:
	}
	k.began = time.Now()
}

// end lets go of who waits for the fetch.
func (k *KeySet) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.flight)
	k.flight = nil
}

// stop lets go of who waits for a fetch that will not be.
func (k *KeySet) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	if k.flight != nil {
		close(k.flight)
		k.flight = nil
	}
}

// fetch replaces the set by what the issuer has now, if that is any good.
func (k *KeySet) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Timeout)
	defer cancel()
	document, err := k.cfg.Fetch(ctx)
	if err != nil {
		return fmt.Errorf("fetch the issuer's keys: %w", err)
	}
	if len(document) > k.cfg.MaxBytes {
		return errs.Unavailable.New("the document of the issuer's keys is longer than %d bytes", k.cfg.MaxBytes)
	}
	s, unfit, err := parseSet(document)
	if err != nil {
		return err
	}
	k.metrics.keys.Set(float64(len(s.keys)))
	if old := k.current.Load(); !s.same(old) {
		k.current.Store(s)
		k.cfg.Log.Info("the issuer's keys have changed", slog.Int("keys", len(s.keys)), slog.Int("unfit", unfit))
	}
	return nil
}

// report counts a fetch, tells the log when the issuer falls silent and when it
// is back, and returns how many fetches have failed in a row.
func (k *KeySet) report(err error, failures int) int {
	if err == nil {
		k.metrics.ok.Inc()
		if failures > 1 {
			k.cfg.Log.Info("the issuer's keys can be read again", slog.Int("failures", failures))
		}
		return 0
	}
	k.metrics.failed.Inc()
	if failures == 1 { // not the first: at the start the issuer may be a moment late
		k.cfg.Log.Warn("the issuer's keys can't be read, keeping those known", slog.Any("error", err))
	}
	return failures + 1
}

// pause is how long to wait until the next fetch that nobody asked for.
func (k *KeySet) pause(failures int) time.Duration {
	d := k.cfg.Refresh
	if failures > 0 {
		d = min(d, k.cfg.Interval<<min(failures, 5), max(maxRetry, k.cfg.Interval))
	}
	// Spread downwards, so that Refresh is kept, and not below Interval.
	spread := time.Duration(float64(d-min(d, k.cfg.Interval)) / 5 * k.random.Float64())
	return d - spread
}
