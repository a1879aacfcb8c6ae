package token_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth"
	"example.com/app/platform/auth/token"
	"example.com/app/platform/errs"
)

const (
	issuerURL = "https://issuer.example"
	audience  = "app"
)

// keys are made once: RSA keys take long.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	must(err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	return map[string]crypto.Signer{"rsa": r, "other": other, "p256": p256, "p384": p384, "p521": p521, "ed": ed}
})

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// An issuer lists keys and counts who reads the list.
type issuer struct {
	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetches []time.Time
	fetch   func(context.Context) ([]byte, error) // nil: the list
}

// lists makes an issuer that lists these keys under their own names.
func lists(names ...string) *issuer {
	i := new(issuer)
	i.list(names...)
	return i
}

func (i *issuer) list(names ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = nil
	for _, name := range names {
		i.keys = append(i.keys, jose.JSONWebKey{Key: keys()[name].Public(), KeyID: name, Use: "sig"})
	}
}

// rename gives the first key of the list another kid.
func (i *issuer) rename(kid string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys[0].KeyID = kid
}

func (i *issuer) answers(fetch func(context.Context) ([]byte, error)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fetch = fetch
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.fetches)
}

func (i *issuer) Fetch(ctx context.Context) ([]byte, error) {
	i.mu.Lock()
	i.fetches = append(i.fetches, time.Now())
	fetch, all := i.fetch, slices.Clone(i.keys)
	i.mu.Unlock()
	if fetch != nil {
		return fetch(ctx)
	}
	return json.Marshal(jose.JSONWebKeySet{Keys: all})
}

func down(context.Context) ([]byte, error) { return nil, errors.New("connection refused") }

// run keeps a key set of the issuer fresh until the test ends.
func run(t testing.TB, cfg token.KeySetConfig) *token.KeySet {
	t.Helper()
	k := token.NewKeySet(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return k
}

// verifier verifies the tokens of an issuer; edit may change its Config.
func verifier(t testing.TB, i *issuer, edit func(*token.Config)) *token.Verifier {
	t.Helper()
	cfg := token.Config{Issuer: issuerURL, Audience: audience, Keys: run(t, token.KeySetConfig{Fetch: i.Fetch, Name: "test"})}
	if edit != nil {
		edit(&cfg)
	}
	v, err := token.New(cfg)
	require.NoError(t, err)
	return v
}

type object = map[string]any

// without is o without a name; with is o and more.
func without(o object, name string) object {
	o = maps.Clone(o)
	delete(o, name)
	return o
}

func with(o object, more object) object {
	o = maps.Clone(o)
	maps.Copy(o, more)
	return o
}

// good are the claims of a token that is good now.
func good() object {
	now := time.Now().Unix()
	return object{
		"iss": issuerURL, "aud": audience, "sub": "ada", "client_id": "demo", "jti": "1",
		"iat": now, "exp": now + 300, "scope": "greetings.read phrases.read", "roles": []string{"admin"},
	}
}

// head is the header of a good token.
func head(alg, kid string) object { return object{"typ": "at+jwt", "alg": alg, "kid": kid} }

func encode(part []byte) string { return base64.RawURLEncoding.EncodeToString(part) }

func text(v any) []byte {
	switch v := v.(type) {
	case string:
		return []byte(v)
	case []byte:
		return v
	}
	b, err := json.Marshal(v)
	must(err)
	return b
}

// sign makes a token with this key, whatever it says: a header and a payload
// may be text too. The algorithm is that of the key.
func sign(by string, h, payload any) string {
	input := encode(text(h)) + "." + encode(text(payload))
	return input + "." + encode(raw(by, input))
}

// raw is the signature of a key over a text.
func raw(by, input string) []byte {
	alg := map[string]jose.SignatureAlgorithm{"rsa": jose.RS256, "other": jose.RS256, "pss": jose.PS256, "p256": jose.ES256, "p384": jose.ES384, "p521": jose.ES512, "ed": jose.EdDSA}[by]
	k := keys()[by]
	if by == "pss" {
		k = keys()["rsa"]
	}
	return signature(alg, k, input)
}

// refused asserts the exact answer: the reason, its kind, and that nothing of
// the token is in the text.
func refused(t testing.TB, v *token.Verifier, tok, reason string) {
	t.Helper()
	p, err := v.Verify(t.Context(), tok)
	require.Error(t, err)
	require.Nil(t, p)
	require.Equal(t, reason, auth.Reason(err), "reason of %v", err)
	kind := errs.Unauthenticated
	if reason == auth.KeysUnavailable {
		kind = errs.Unavailable
	}
	require.Equal(t, kind, errs.Of(err))
	if len(tok) > 20 {
		require.NotContains(t, err.Error(), tok[:20])
		require.NotContains(t, err.Error(), tok[len(tok)-20:])
	}
}

// taken asserts that a token is good.
func taken(t testing.TB, v *token.Verifier, tok string) *auth.Principal {
	t.Helper()
	p, err := v.Verify(t.Context(), tok)
	require.NoError(t, err)
	require.NotNil(t, p)
	return p
}
