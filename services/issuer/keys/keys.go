// Package keys holds the keys that an issuer signs with, and changes them.
//
// There are three at any time: the one that signs, the one before it, whose
// signatures are still about, and the next, which is published a whole period
// before it signs, so that whoever keeps a copy of the key set has it by then.
//
// All are ES256 (RFC 7518 section 3.4): a key is made in microseconds, so that
// an issuer in memory starts at once, signatures are short, and clients find the
// algorithm in the metadata. RS256, which OpenID Connect Discovery asks of
// everybody, would cost a third of a second at each start for three keys.
package keys

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/app/platform/errs"
	"example.com/app/services/issuer/account"
)

// Algorithm is the one that all keys sign with.
const Algorithm = jose.ES256

// Config says where the keys are and how long one signs.
type Config struct {
	Dir    string           // holds keys.json; empty: the keys are in memory
	Period time.Duration    // how long a key signs; 0 means 24 h. It must be longer than any token lives
	Now    func() time.Time // nil means time.Now
	Log    *slog.Logger     // nil means none
}

// A Ring is the keys of an issuer. Its methods may be called from many
// goroutines.
type Ring struct {
	cfg  Config
	held atomic.Pointer[held]
}

// held is one state of the ring. Nothing changes it.
type held struct {
	Since time.Time         `json:"since"` // when the current key began to sign
	Keys  []jose.JSONWebKey `json:"keys"`  // next, current, and the one before it if there was one
}

// New reads the keys, or makes them.
func New(cfg Config) (*Ring, error) {
	if cfg.Period == 0 {
		cfg.Period = 24 * time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Ring{cfg: cfg}
	h, err := r.load()
	if err != nil {
		return nil, fmt.Errorf("open the signing keys: %w", err)
	}
	r.held.Store(h)
	return r, nil
}

func (r *Ring) load() (*held, error) {
	if r.cfg.Dir == "" {
		return r.first()
	}
	data, err := account.ReadPrivate(filepath.Join(r.cfg.Dir, "keys.json"))
	if errors.Is(err, fs.ErrNotExist) {
		h, err := r.first()
		if err != nil {
			return nil, err
		}
		return h, r.save(h)
	}
	if err != nil {
		return nil, err
	}
	h := new(held)
	if err := json.Unmarshal(data, h); err != nil {
		return nil, errs.Precondition.New("keys.json: %w", err)
	}
	if len(h.Keys) < 2 || len(h.Keys) > 3 {
		return nil, errs.Precondition.New("keys.json holds %d keys, want 2 or 3: next, current, previous", len(h.Keys))
	}
	for _, k := range h.Keys {
		if _, ok := k.Key.(*ecdsa.PrivateKey); !ok || !k.Valid() || k.KeyID == "" || k.Algorithm != string(Algorithm) {
			return nil, errs.Precondition.New("keys.json: key %q is not a private %s key", k.KeyID, Algorithm)
		}
	}
	return h, nil
}

func (r *Ring) first() (*held, error) {
	next, err := generate()
	if err != nil {
		return nil, err
	}
	current, err := generate()
	return &held{Since: r.cfg.Now().UTC(), Keys: []jose.JSONWebKey{next, current}}, err
}

func generate() (jose.JSONWebKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return jose.JSONWebKey{Key: key, KeyID: rand.Text()[:16], Algorithm: string(Algorithm), Use: "sig"}, err
}

func (r *Ring) save(h *held) error {
	if r.cfg.Dir == "" {
		return nil
	}
	data, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return err
	}
	return account.WritePrivate(filepath.Join(r.cfg.Dir, "keys.json"), append(data, '\n'))
}

// Rotate has the next key sign from now on.
func (r *Ring) Rotate() error {
	old := r.held.Load()
	next, err := generate()
	if err != nil {
		return fmt.Errorf("change the signing key: %w", err)
	}
	h := &held{Since: r.cfg.Now().UTC(), Keys: []jose.JSONWebKey{next, old.Keys[0], old.Keys[1]}}
	if err := r.save(h); err != nil {
		return fmt.Errorf("change the signing key: %w", err)
	}
	r.held.Store(h)
	return nil
}

// Run changes the keys when their time has come, until ctx ends. It alone
// rotates while it runs. A change that fails is tried again a minute later; the
// old key signs until then.
func (r *Ring) Run(ctx context.Context) error {
	timer := time.NewTimer(r.left())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if r.cfg.Now().Sub(r.held.Load().Since) >= r.cfg.Period {
			if err := r.Rotate(); err != nil {
				r.cfg.Log.Warn("the signing key stays", "error", err)
			}
		}
		timer.Reset(r.left())
	}
}

// left is how long to wait before looking again: an hour at most, since the
// clock may be set meanwhile, and never no time.
func (r *Ring) left() time.Duration {
	left := r.cfg.Period - r.cfg.Now().Sub(r.held.Load().Since)
	return min(max(left, time.Minute), time.Hour)
}

// Signing is the private key that signs now.
func (r *Ring) Signing() jose.JSONWebKey { return r.held.Load().Keys[1] }

// Public is the key set to publish (RFC 7517 section 5): no private parts.
func (r *Ring) Public() jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, k := range r.held.Load().Keys {
		set.Keys = append(set.Keys, k.Public())
	}
	return set
}
