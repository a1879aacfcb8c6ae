package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"example.com/app/platform/errs"
)

// The prefix __Host- keeps other hosts of the domain from setting a cookie of
// this name, and a page on plain HTTP from reading it (RFC 6265bis §4.1.3.2).
const (
	sessionCookie = "__Host-session"
	loginCookie   = "__Host-login-" // and a part of its state: each tab has its own
)

// Browsers keep cookies of 4,096 bytes, name and attributes included (RFC
// 6265bis §5.6). What is longer is split, up to what servers take of headers.
const (
	maxChunk  = 3800
	maxChunks = 4
)

// minKey is how long a key must be, in bytes.
const minKey = 32

// What a sealed text may be used for. One for a login is none for a session.
const (
	sealedSession = "session"
	sealedLogin   = "login"
)

// A seal keeps what cookies hold from being read, changed, or used for another
// purpose or client.
type seal struct {
	client string
	keys   []cipher.AEAD // the first seals, all open
}

func newSeal(cfg Config) (*seal, error) {
	s := &seal{client: cfg.Issuer + " " + cfg.ClientID}
	for _, key := range append([][]byte{cfg.Key}, cfg.OldKeys...) {
		if len(key) < minKey {
			return nil, errs.Invalid.New("sessions: a key has %d bytes; want %d, as from: openssl rand 32", len(key), minKey)
		}
		derived, err := hkdf.Key(sha256.New, key, nil, "app session cookie v1", 32)
		if err != nil {
			return nil, errs.Internal.New("sessions: derive a key: %w", err)
		}
		block, err := aes.NewCipher(derived)
		if err != nil {
			return nil, errs.Internal.New("sessions: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, errs.Internal.New("sessions: %w", err)
		}
		s.keys = append(s.keys, aead)
	}
	return s, nil
}

// close seals v, with AES-256-GCM and a random nonce (NIST SP 800-38D §8.2.2).
func (s *seal) close(purpose string, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", errs.Internal.New("seal a cookie: %w", err)
	}
	sealed := s.keys[0].Seal(nil, nil, plain, s.label(purpose)) //nolint:gosec // this AEAD makes the nonce itself, and wants none
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// open reads into v what close sealed for the same purpose; false: it is not
// ours.
func (s *seal) open(purpose, text string, v any) bool {
	if len(text) > maxChunk*maxChunks {
		return false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return false
	}
	for _, key := range s.keys {
		if plain, err := key.Open(nil, nil, sealed, s.label(purpose)); err == nil {
			return json.Unmarshal(plain, v) == nil
		}
	}
	return false
}

func (s *seal) label(purpose string) []byte { return []byte(purpose + " " + s.client) }

// ownCookie says whether a cookie is one of ours.
func ownCookie(name string) bool {
	return strings.HasPrefix(name, sessionCookie) || strings.HasPrefix(name, loginCookie)
}

// chunk is the name of the nth part of a session's cookie.
func chunk(n int) string {
	if n == 0 {
		return sessionCookie
	}
	return sessionCookie + "-" + strconv.Itoa(n)
}

// cookie joins the parts of the session's cookie; false: there is none. Where
// one is there twice, somebody has put it there, and nothing opens it.
func cookie(r *http.Request) (sealed string, found bool) {
	for n := range maxChunks {
		parts := r.CookiesNamed(chunk(n))
		switch len(parts) {
		case 0:
			return sealed, found
		case 1:
			sealed, found = sealed+parts[0].Value, true
		default:
			return "", true
		}
	}
	return sealed, found
}

// give hands the session to the browser.
func (s *Sessions) give(w http.ResponseWriter, r *http.Request, st *state) error {
	sealed, err := s.seal.close(sealedSession, st)
	if err != nil {
		return err
	}
	if len(sealed) > maxChunk*maxChunks {
		return errs.Exhausted.New("the session takes %d bytes; a browser sends back %d", len(sealed), maxChunk*maxChunks).
			Because("SESSION_SIZE").Status(http.StatusBadGateway)
	}
	now := s.cfg.Now()
	last := min(s.cfg.Idle, st.Began.Add(s.cfg.Lifetime).Sub(now))
	n := 0
	for ; len(sealed) > 0; n++ {
		part := sealed[:min(len(sealed), maxChunk)]
		sealed = sealed[len(part):]
		set(w, chunk(n), part, last)
	}
	for ; n < maxChunks; n++ {
		if _, err := r.Cookie(chunk(n)); err == nil {
			set(w, chunk(n), "", -1)
		}
	}
	return nil
}

// drop takes the session from the browser.
func (s *Sessions) drop(w http.ResponseWriter, r *http.Request) {
	for n := range maxChunks {
		if len(r.CookiesNamed(chunk(n))) > 0 {
			set(w, chunk(n), "", -1)
		}
	}
}

// set sends a cookie that no script reads, and that other sites' pages send
// along only where a person follows a link. A life below 0 deletes it.
func set(w http.ResponseWriter, name, value string, life time.Duration) {
	age := -1
	if life > 0 {
		age = max(1, int(life.Seconds()))
	}
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: age,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// withoutCookies is a copy of r that has none of our cookies: they are nobody's
// business behind the gateway. The other cookies stay as they came.
func withoutCookies(r *http.Request) *http.Request {
	out := r.WithContext(r.Context())
	out.Header = r.Header.Clone()
	lines := r.Header["Cookie"]
	delete(out.Header, "Cookie")
	for _, line := range lines {
		var kept []string
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			name, _, _ := strings.Cut(pair, "=")
			if pair != "" && !ownCookie(strings.TrimSpace(name)) {
				kept = append(kept, pair)
			}
		}
		if len(kept) > 0 {
			out.Header["Cookie"] = append(out.Header["Cookie"], strings.Join(kept, "; "))
		}
	}
	return out
}
