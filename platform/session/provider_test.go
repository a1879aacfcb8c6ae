package session_test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

// A fakeIssuer is a small OpenID provider. Its refresh tokens work once.
type fakeIssuer struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	show *ecdsa.PrivateKey // what it publishes instead, as after a theft; nil: key
	odd  []any             // further entries of its key set
	mute bool              // it takes requests, and says nothing
	hold chan struct{}     // the token endpoint waits for it; nil: it does not

	mu        sync.Mutex
	away      bool
	breaks    bool                  // the token endpoint answers 500
	codes     map[string]url.Values // what a code was asked for with
	refresh   map[string]bool       // those that work
	reused    int
	refreshed int
	asked     int // requests for tokens, answered or not
	revoked   []string
	serial    int
	changes   map[string]any // claims of ID tokens that are other than they should be
	metadata  map[string]any // likewise
	padding   int            // bytes that make access tokens longer
}

const issuerURL = "https://login.example.com"

func newIssuer(t testing.TB) *fakeIssuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return &fakeIssuer{t: t, key: key, codes: map[string]url.Values{}, refresh: map[string]bool{}}
}

// RoundTrip answers as the issuer would over a network.
func (f *fakeIssuer) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	if r.URL.Path == "/token" {
		f.asked++
	}
	away := f.away
	f.mu.Unlock()
	if away {
		return nil, errors.New("dial 192.0.2.9:443: connection refused")
	}
	if f.mute {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		f.describe(w)
	case "/keys":
		f.send(w, http.StatusOK, map[string]any{"keys": append(f.odd, jose.JSONWebKey{Key: cmp.Or(f.show, f.key).Public(), KeyID: "k1", Use: "sig", Algorithm: "ES256"})})
	case "/token":
		if f.hold != nil {
			select {
			case <-f.hold:
			case <-r.Context().Done(): // the refresh token is spent all the same
			}
		}
		f.token(w, r)
		if r.Context().Err() != nil {
			return nil, r.Context().Err()
		}
	case "/revoke":
		f.mu.Lock()
		f.revoked = append(f.revoked, r.FormValue("token"))
		f.mu.Unlock()
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	return w.Result(), nil
}

func (f *fakeIssuer) send(w http.ResponseWriter, code int, v any) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func (f *fakeIssuer) describe(w http.ResponseWriter) {
	m := map[string]any{
		"issuer": issuerURL, "authorization_endpoint": issuerURL + "/authorize", "token_endpoint": issuerURL + "/token",
		"jwks_uri": issuerURL + "/keys", "revocation_endpoint": issuerURL + "/revoke",
		"authorization_response_iss_parameter_supported": true,
	}
	f.mu.Lock()
	for k, v := range f.metadata {
		m[k] = v
	}
	f.mu.Unlock()
	f.send(w, http.StatusOK, m)
}

// authorize is what happens at the issuer while a person logs in: it returns
// the code and the state.
func (f *fakeIssuer) authorize(location string) url.Values {
	u, err := url.Parse(location)
	require.NoError(f.t, err)
	require.Equal(f.t, issuerURL+"/authorize", u.Scheme+"://"+u.Host+u.Path)
	q := u.Query()
	require.Equal(f.t, "code", q.Get("response_type"))
	require.Equal(f.t, "S256", q.Get("code_challenge_method"))
	require.Contains(f.t, strings.Fields(q.Get("scope")), "openid")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serial++
	code := fmt.Sprintf("code-%d", f.serial)
	f.codes[code] = q
	return url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {issuerURL}}
}

func (f *fakeIssuer) token(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id, secret, _ := r.BasicAuth()
	if f.breaks {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if id != "gateway" || secret != "s3cret" {
		f.send(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	answer := map[string]any{}
	switch r.FormValue("grant_type") {
	case "authorization_code":
		asked, ok := f.codes[r.FormValue("code")]
		delete(f.codes, r.FormValue("code"))
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if !ok || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || asked.Get("redirect_uri") != r.FormValue("redirect_uri") {
			f.send(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
			return
		}
		answer["id_token"] = f.idToken(asked.Get("nonce"))
	case "refresh_token":
		if !f.refresh[r.FormValue("refresh_token")] {
			f.reused++
			f.send(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
			return
		}
		delete(f.refresh, r.FormValue("refresh_token"))
		f.refreshed++
	}
	f.serial++
	answer["access_token"] = fmt.Sprintf("access-%d-", f.serial) + strings.Repeat("x", f.padding)
	answer["refresh_token"] = fmt.Sprintf("refresh-%d", f.serial)
	answer["token_type"], answer["expires_in"] = "bearer", 300
	f.refresh[answer["refresh_token"].(string)] = true
	f.send(w, http.StatusOK, answer)
}

func (f *fakeIssuer) idToken(nonce string) string {
	claims := map[string]any{
		"iss": issuerURL, "sub": "u1", "aud": "gateway", "nonce": nonce, "name": "Ada",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}
	key := f.key
	for k, v := range f.changes {
		if k == "forged" {
			key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			continue
		}
		claims[k] = v
		if v == nil {
			delete(claims, k)
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	require.NoError(f.t, err)
	doc, err := json.Marshal(claims)
	require.NoError(f.t, err)
	signed, err := signer.Sign(doc)
	require.NoError(f.t, err)
	text, err := signed.CompactSerialize()
	require.NoError(f.t, err)
	return text
}
