// Package issuer is the role that says who is who: an OAuth 2.0 and OpenID
// Connect authorization server behind the gateway, for development and small
// deployments. Run one instance: codes, sessions and revocations are in its
// memory, keys, clients and users in its directory.
package issuer

import (
	"context"
	"net/http"
	"sync"

	"google.golang.org/grpc"

	"example.com/app/platform/app"
	"example.com/app/services/issuer/account"
	"example.com/app/services/issuer/keys"
	"example.com/app/services/issuer/oauth"
)

// Role makes tokens.
var Role = app.Role{
	Name:    "issuer",
	Doc:     "logs people and programs in, and makes access tokens (OAuth2, OpenID Connect): run one",
	Callers: []string{"*"},
	Paths:   []string{"/oauth2", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"},
	New:     New,
}

type issuer struct {
	*oauth.Server
	keys *keys.Ring
}

// New builds an issuer that keeps what outlives it in env.Issuer.Dir, or all in
// memory where that is empty.
func New(env *app.Env) (app.Service, error) {
	cfg := env.Issuer
	clients := make([]account.Client, len(cfg.Clients))
	for i, c := range cfg.Clients {
		clients[i] = account.Client{ID: c.ID, SecretHash: account.HashSecret(string(c.Secret)), Scopes: c.Scopes, Grants: []string{"client_credentials"}}
	}
	accounts, err := account.Open(account.Config{Dir: cfg.Dir, PublicURL: cfg.PublicURL, Clients: clients})
	if err != nil {
		return nil, err
	}
	ring, err := keys.New(keys.Config{Dir: cfg.Dir, Now: env.Now, Log: env.Log})
	if err != nil {
		return nil, err
	}
	server, err := oauth.New(oauth.Config{
		Issuer: cfg.URL, Audience: cfg.Audience, Accounts: accounts, Keys: ring, Now: env.Now, Log: env.Log, Metrics: env.Metrics,
	})
	return &issuer{server, ring}, err
}

// Register adds nothing: an issuer speaks HTTP.
func (*issuer) Register(grpc.ServiceRegistrar) {}

// Run changes the keys and forgets what has expired, until ctx ends.
func (i *issuer) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { _ = i.keys.Run(ctx) }) // it returns nil
	return i.Server.Run(ctx)
}

var _ http.Handler = (*issuer)(nil)
