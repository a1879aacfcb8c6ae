package consul

import (
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

// reread is how long a token that comes from a file is used before the file is
// read again.
const reread = 5 * time.Second

// A tokenFile sends with every request the token that its file holds, and not
// the one it held when the client was made. Where the file cannot be read, or
// is empty, as while it is being replaced, the last token stays.
type tokenFile struct {
	http.RoundTripper
	path string

	mu    sync.Mutex
	token string
	read  time.Time // zero: never
}

// readToken reads a file as Consul's own client does when it is made.
func readToken(path string) (string, error) {
	conf := api.Config{TokenFile: path, HttpClient: &http.Client{}}
	_, err := api.NewClient(&conf)
	return conf.Token, err
}

// RoundTrip implements http.RoundTripper.
func (t *tokenFile) RoundTrip(req *http.Request) (*http.Response, error) {
	if token := t.current(); token != "" {
		req = req.Clone(req.Context())
		req.Header.Set("X-Consul-Token", token)
	}
	return t.RoundTripper.RoundTrip(req)
}

// current returns the token, read again if that is due.
func (t *tokenFile) current() string {
	t.mu.Lock()
	token, due := t.token, time.Since(t.read) >= reread
	if due {
		t.read = time.Now() // others go on with the old one meanwhile
	}
	t.mu.Unlock()
	if !due {
		return token
	}
	again, err := readToken(t.path)
	if err != nil || again == "" {
		return token
	}
	t.mu.Lock()
	t.token = again
	t.mu.Unlock()
	return again
}
