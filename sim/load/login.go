package load

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"example.com/app/platform/app"
)

// early is how long before its end a token is replaced.
const early = 30 * time.Second

// A login gets access tokens for a user, one at a time, and keeps the current
// one until shortly before it ends. Its methods may be called from many
// goroutines.
type login struct {
	config clientcredentials.Config

	mu      sync.Mutex
	token   *oauth2.Token
	fetched chan struct{} // closed when the fetch under way has ended; nil: none is
}

// LogIn has the user show an access token from now on, which a client gets for
// itself from the issuer behind the gateway.
func (u *User) LogIn(client app.Client) {
	config := clientcredentials.Config{ClientID: client.ID, ClientSecret: string(client.Secret), Scopes: client.Scopes, AuthStyle: oauth2.AuthStyleInHeader}
	config.TokenURL = "http://gateway/oauth2/token"
	u.login = &login{config: config}
}

// Token is the user's access token; empty where the user has not logged in.
func (u *User) Token(ctx context.Context) (string, error) {
	if u.login == nil {
		return "", nil
	}
	token, err := u.login.get(ctx, &http.Client{Transport: asked{u}})
	if err != nil {
		return "", fmt.Errorf("get a token: %w", err)
	}
	return token, nil
}

// get returns the current token, or fetches one. Others wait for a fetch that is
// under way, outside the lock: it takes as long as the issuer likes.
func (l *login) get(ctx context.Context, over *http.Client) (string, error) {
	for {
		l.mu.Lock()
		token, fetched := l.token, l.fetched
		if token != nil && time.Until(token.Expiry) > early {
			l.mu.Unlock()
			return token.AccessToken, nil
		}
		if fetched == nil {
			l.fetched = make(chan struct{})
			l.mu.Unlock()
			return l.fetch(ctx, over)
		}
		l.mu.Unlock()
		select {
		case <-fetched:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// drop forgets a token that was refused: its issuer may have new keys.
func (l *login) drop(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token != nil && l.token.AccessToken == token {
		l.token = nil
	}
}

func (l *login) fetch(ctx context.Context, over *http.Client) (string, error) {
	token, err := l.config.Token(context.WithValue(ctx, oauth2.HTTPClient, over))
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.fetched)
	l.fetched = nil
	if err != nil {
		return "", err
	}
	l.token = token
	return token.AccessToken, nil
}

// asked carries the requests of the login by way of whichever gateway answers.
type asked struct{ *User }

// RoundTrip implements http.RoundTripper.
func (a asked) RoundTrip(req *http.Request) (*http.Response, error) { return a.over(req) }
