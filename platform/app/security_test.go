package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"iter"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"example.com/app/platform/auth"
	"example.com/app/platform/auth/rule"
	"example.com/app/platform/errs"
	"example.com/app/platform/identity"
	"example.com/app/platform/identity/intention"
	"example.com/app/platform/rpc"
)

// mint is an issuer that signs whatever it is asked to.
type mint struct {
	key   *ecdsa.PrivateKey
	asked atomic.Int64 // for its keys
}

func newMint(t testing.TB) *mint {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return &mint{key: key}
}

func (*mint) Register(grpc.ServiceRegistrar) {}

func (m *mint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/keys" {
		m.asked.Add(1)
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: m.key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"issuer": "http://" + r.Host, "jwks_uri": "http://" + r.Host + "/keys"})
}

// token is one that lets its bearer do what scope says, for five minutes.
func (m *mint) token(t *testing.T, scope string) string {
	t.Helper()
	return m.sign(t, "http://localhost:8080", scope)
}

func (m *mint) sign(t testing.TB, issuer, scope string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: m.key, KeyID: "k"}}, (&jose.SignerOptions{}).WithType("at+jwt"))
	require.NoError(t, err)
	now := time.Now()
	text, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": issuer, "aud": "app", "sub": "ada", "client_id": "desk", "jti": rand.Text(), "scope": scope,
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}).Serialize()
	require.NoError(t, err)
	return text
}

// relay is a gRPC role that asks another.
type relay struct {
	grpc_testing.UnimplementedTestServiceServer
	next grpc_testing.TestServiceClient
}

func (r relay) Register(s grpc.ServiceRegistrar) { grpc_testing.RegisterTestServiceServer(s, r) }

func (r relay) EmptyCall(ctx context.Context, in *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	return r.next.EmptyCall(ctx, in)
}

// guarded is a system of two services behind each other, and an issuer: front
// may be called by door, back by front, both with the scope "go".
func guarded(m *mint, seen *atomic.Pointer[auth.Principal]) []Role {
	rules := rule.Table{"/grpc.testing.TestService/": {Scopes: []string{"go"}}}
	return []Role{
		{Name: "front", Callers: []string{"door"}, Rules: rules, New: func(env *Env) (Service, error) {
			conn, err := env.Dial("back")
			return relay{next: grpc_testing.NewTestServiceClient(conn)}, err
		}},
		{Name: "back", Callers: []string{"front"}, Rules: rules, New: func(*Env) (Service, error) {
			return &echo{call: func(ctx context.Context) error { seen.Store(auth.From(ctx)); return nil }}, nil
		}},
		{Name: "issuer", Callers: []string{"*"}, New: func(*Env) (Service, error) { return m, nil }},
	}
}

// as calls a role with a certificate of another.
func as(t *testing.T, s *subject, ca *identity.Memory, who, whom string) grpc_testing.TestServiceClient {
	t.Helper()
	w := identity.NewWorkload(identity.WorkloadConfig{Role: who, Source: ca})
	ctx, end := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); _ = w.Run(ctx) }()
	reg, net := s.cfg.Fabric.Host("outside")
	conn, err := rpc.Dial(rpc.ClientConfig{Role: whom, Registry: reg, Network: net, Credentials: w.Client(whom)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(); end(); <-over })
	require.Eventually(t, func() bool { return w.Ready() == nil }, time.Minute, time.Millisecond)
	return grpc_testing.NewTestServiceClient(conn)
}

func bearing(t *testing.T, token string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
}

func TestEveryServiceSeesForItselfWhoCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen atomic.Pointer[auth.Principal]
		m, ca := newMint(t), identity.NewMemory(identity.MemoryConfig{})
		s := start(t, Config{Roles: guarded(m, &seen), Fabric: Memory(), Security: Security{Identity: ca}})
		door := as(t, s, ca, "door", "front")

		_, err := door.EmptyCall(bearing(t, m.token(t, "go elsewhere")), new(grpc_testing.Empty))
		require.NoError(t, err)
		require.Equal(t, "ada", seen.Load().Subject, "the token itself went on to the one behind")
		require.EqualValues(t, 2, m.asked.Load(), "each service fetched the keys, once")

		for name, c := range map[string]struct {
			ctx    context.Context
			kind   errs.Kind
			reason string
		}{
			"no token":      {t.Context(), errs.Unauthenticated, auth.Missing},
			"not the scope": {bearing(t, m.token(t, "went")), errs.Denied, auth.ScopeMissing},
			"rubbish":       {bearing(t, "ey.x.y"), errs.Unauthenticated, auth.Malformed},
			"two tokens":    {metadata.AppendToOutgoingContext(bearing(t, "a"), "authorization", "Bearer b"), errs.Unauthenticated, auth.Repeated},
			"another's key": {bearing(t, newMint(t).token(t, "go")), errs.Unauthenticated, auth.Signature},
		} {
			_, err := door.EmptyCall(c.ctx, new(grpc_testing.Empty))
			require.Equal(t, c.kind, errs.Of(err), "%s: %v", name, err)
			require.Equal(t, c.reason, auth.Reason(err), name)
		}
	})
}

func TestAU10OnlyWhoMayCallsARole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen atomic.Pointer[auth.Principal]
		m, ca := newMint(t), identity.NewMemory(identity.MemoryConfig{})
		s := start(t, Config{Roles: guarded(m, &seen), Fabric: Memory(), Security: Security{Identity: ca}})
		good := bearing(t, m.token(t, "go"))

		_, err := as(t, s, ca, "door", "back").EmptyCall(good, new(grpc_testing.Empty))
		require.True(t, errs.Denied.Is(err), "%v", err)
		require.ErrorContains(t, err, "door may not call back", "a good token does not help the wrong workload")

		stranger := identity.NewMemory(identity.MemoryConfig{})
		_, err = as(t, s, stranger, "door", "front").EmptyCall(good, new(grpc_testing.Empty))
		require.True(t, errs.Unavailable.Is(err), "a foreign CA gets no connection: %v %v", errs.Of(err), err)
	})
}

func TestAnIntentionBitesWithinASecond(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen atomic.Pointer[auth.Principal]
		m, ca := newMint(t), identity.NewMemory(identity.MemoryConfig{})
		intentions, err := intention.NewMemory(nil)
		require.NoError(t, err)
		s := start(t, Config{Roles: guarded(m, &seen), Fabric: Memory(), Security: Security{Identity: ca, Intentions: intentions}})
		door, good := as(t, s, ca, "door", "front"), bearing(t, m.token(t, "go"))
		_, err = door.EmptyCall(good, new(grpc_testing.Empty))
		require.NoError(t, err, "where no intention says anything the role itself does")

		require.NoError(t, intentions.Set(intention.Table{{Source: "door", Destination: "front", Action: intention.Deny}}))
		time.Sleep(time.Second)
		_, err = door.EmptyCall(good, new(grpc_testing.Empty))
		require.True(t, errs.Denied.Is(err), "over the connection that is there already: %v", err)

		require.NoError(t, intentions.Set(intention.Table{{Source: "*", Destination: "front", Action: intention.Allow}}))
		time.Sleep(time.Second)
		_, err = as(t, s, ca, "anybody", "front").EmptyCall(good, new(grpc_testing.Empty))
		require.NoError(t, err)
	})
}

// lateRules are intentions that can't be read for a while.
type lateRules struct {
	*intention.Memory
	late time.Duration
}

func (r lateRules) Watch(ctx context.Context, role string) iter.Seq2[intention.Table, error] {
	return func(yield func(intention.Table, error) bool) {
		if !yield(nil, errs.Denied.New("no right to read intentions")) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.late):
		}
		for table, err := range r.Memory.Watch(ctx, role) {
			if !yield(table, err) {
				return
			}
		}
	}
}

// TestNobodyIsServedBeforeTheIntentionsAreKnown has one of them say no, which
// must not be missed.
func TestNobodyIsServedBeforeTheIntentionsAreKnown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen atomic.Pointer[auth.Principal]
		m, ca := newMint(t), identity.NewMemory(identity.MemoryConfig{})
		began := time.Now()
		intentions, err := intention.NewMemory(intention.Table{{Source: "door", Destination: "front", Action: intention.Deny}})
		require.NoError(t, err)
		s := launch(t, Config{Roles: guarded(m, &seen), Fabric: Memory(), Security: Security{Identity: ca, Intentions: lateRules{intentions, time.Hour}}})
		time.Sleep(30 * time.Minute)
		for _, in := range s.instances {
			serves, text := in.state.ready()
			require.False(t, serves, "%s", in.role.Name)
			require.Contains(t, text, "no right to read intentions")
			require.True(t, errs.Unavailable.Is(in.guard.admitPeer("door")), "nor is one who knows the address let in")
		}
		<-s.Started()
		require.Equal(t, time.Hour, time.Since(began).Round(time.Minute))
		_, err = as(t, s, ca, "door", "front").EmptyCall(bearing(t, m.token(t, "go")), new(grpc_testing.Empty))
		require.True(t, errs.Denied.Is(err), "%v", err)
	})
}

func TestAU8TheIssuerMayComeLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen atomic.Pointer[auth.Principal]
		m, ca := newMint(t), identity.NewMemory(identity.MemoryConfig{})
		ground := Memory()
		roles := guarded(m, &seen)
		s := start(t, Config{Roles: roles, Run: map[string]int{"front": 1, "back": 1}, Fabric: ground, Security: Security{Identity: ca}})
		door, good := as(t, s, ca, "door", "front"), bearing(t, m.token(t, "go"))
		_, err := door.EmptyCall(good, new(grpc_testing.Empty))
		require.Equal(t, auth.KeysUnavailable, auth.Reason(err), "%v", err)

		start(t, Config{Roles: roles, Run: map[string]int{"issuer": 1}, Fabric: ground, Security: Security{Identity: ca}})
		time.Sleep(15 * time.Second)
		_, err = door.EmptyCall(good, new(grpc_testing.Empty))
		require.NoError(t, err)
	})
}

func TestARoleWhoseMethodsHaveNoRuleDoesNotStart(t *testing.T) {
	for name, security := range map[string]Security{"secure": {}, "insecure": {Insecure: true}} {
		node, err := New(Config{Roles: []Role{{Name: "a", New: func(*Env) (Service, error) { return new(echo), nil }}}, Run: map[string]int{"a": 1}, Security: security})
		require.NoError(t, err)
		err = node.Run(t.Context())
		require.ErrorContains(t, err, "start a-1: grpc.testing.TestService/CacheableUnaryCall has no rule", name)
		require.True(t, strings.Contains(err.Error(), "grpc.testing.TestService/EmptyCall"), name)
	}
}
