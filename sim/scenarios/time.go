package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/app/platform/app"
	"example.com/app/platform/identity"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
)

// Clock has clocks go wrong, by less than what verifiers forgive and by more.
func Clock() sim.Scenario {
	return sim.Scenario{
		Name: "clock", Doc: "clocks are off: a little is forgiven, and a token that has ended is refused",
		Fleet: fleet(3), Arrivals: load.Poisson(5), Duration: 10 * time.Minute,
		Faults: sim.Script(
			"30s skew greeter-1 20s for 1m0s", "100s skew gateway-1 -20s for 1m0s", "170s skew issuer-1 20s for 1m0s", "240s skew issuer-1 -20s for 1m0s",
			"310s skew phrasebook-1 -5m0s for 30s", "350s skew greeter-2 5m0s for 30s", "390s skew gateway-2 -5m0s for 30s", "430s skew gateway-1 5m0s for 30s",
		),
		Begin: func(s *sim.Scenario) {
			old := &hoarder{}
			s.Calls = append(hello(), load.Call{Name: "show an old token", Do: old.show})
			s.Node = func(cfg *app.Config) {
				cfg.Security.Clients = append(cfg.Security.Clients, app.Client{ID: "hoarder", Secret: "hoarder", Scopes: []string{"greetings.read", "phrases.read"}})
			}
			s.Check = func(w *sim.World) {
				wrong := func() bool {
					return slices.ContainsFunc(w.Active(), func(f fault.Fault) bool { return f.Delay.Abs() > forgiven })
				}
				w.EachRequest("a token is good for as long as it says", func(d load.Done) error {
					if errors.Is(d.Err, errTaken) && wrong() {
						return nil // a clock that is 5 min late takes what ended 5 min ago
					}
					var answer *load.StatusError
					if errors.As(d.Err, &answer) && answer.Status == http.StatusUnauthorized && wrong() {
						return nil
					}
					return d.Err
				})
				w.EachCall("no call takes less than no time", func(c app.Call) error {
					if c.Duration < 0 {
						return fmt.Errorf("%s took %v for %s", c.Host, c.Duration, c.Method)
					}
					return nil
				})
				w.Sometimes("a token that ended is refused", func() bool { return old.wasRefused() })
			}
		},
	}
}

// forgiven is how far clocks may be apart (RFC 7519 section 4.1.4 allows some
// leeway): what package token grants by default.
const forgiven = 30 * time.Second

var errTaken = errors.New("a token that has ended was taken")

// A hoarder keeps an access token and shows it when it has ended.
type hoarder struct {
	mu      sync.Mutex
	token   string
	until   time.Time
	refused bool
}

func (h *hoarder) wasRefused() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.refused }

// show shows the token, which may be taken until it ends, and somewhat longer.
// It gets a new one where it has none, and after one that was refused.
func (h *hoarder) show(ctx context.Context, u *load.User) error {
	h.mu.Lock()
	token, until := h.token, h.until
	h.mu.Unlock()
	if token == "" {
		return h.fetch(ctx, u)
	}
	res, err := u.Send(ctx, http.MethodGet, "/v1/greetings/Ada", "", http.Header{"Authorization": {"Bearer " + token}})
	if err == nil {
		_ = res.Body.Close()
	}
	var answer *load.StatusError
	switch late := time.Since(until); {
	case late < 0:
		return err
	case err == nil && late > forgiven+time.Second:
		return errTaken
	case errors.As(err, &answer) && answer.Status == http.StatusUnauthorized:
		h.mu.Lock()
		defer h.mu.Unlock()
		h.refused, h.token = true, ""
		return nil
	default:
		return err
	}
}

// fetch gets a token (client credentials, RFC 6749 section 4.4).
func (h *hoarder) fetch(ctx context.Context, u *load.User) error {
	req := http.Request{Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
	req.SetBasicAuth("hoarder", "hoarder")
	res, err := u.Send(ctx, http.MethodPost, "/oauth2/token", "grant_type=client_credentials", req.Header)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var got struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
	}
	text, err := io.ReadAll(res.Body)
	if err := errors.Join(err, json.Unmarshal(text, &got)); err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.token, h.until = got.Token, time.Now().Add(time.Duration(got.Expires)*time.Second)
	return nil
}

// Rotation has the CA replaced under load, again and again.
func Rotation() sim.Scenario {
	return sim.Scenario{
		Name: "rotation", Doc: "the CA changes under load, and some hear of it late",
		Fleet: fleet(3), Calls: hello(), Duration: 2 * time.Minute,
		Faults: sim.Script("35s restart greeter-3 for 5s", "50s reset gateway <-> greeter", "75s crash phrasebook-2 for 5s", "90s reset * <-> *"),
		Begin: func(s *sim.Scenario) {
			var authority *identity.Memory
			var first string
			s.Node = func(cfg *app.Config) {
				authority = identity.NewMemory(identity.MemoryConfig{TTL: 30 * time.Second, RootTTL: rootTTL, Now: cfg.Now})
				cfg.Security.Identity = late{authority, "greeter", 5 * time.Second}
			}
			s.Check = func(w *sim.World) {
				w.NoneLost()
				w.EachCall("the first root is noted", func(app.Call) error {
					if first != "" {
						return nil
					}
					pem, err := authority.Export()
					first = string(pem)
					return err
				})
				w.Finally("the first root is trusted no more", func() error {
					pem, err := authority.Export()
					if err == nil && strings.HasSuffix(string(pem), first) { // the oldest stands last
						err = errors.New("it is still")
					}
					return err
				})
			}
		},
	}
}

// rootTTL is how long a root is good for: it is replaced after two thirds of it.
const rootTTL = time.Minute

// A late Source tells a role of each change a while after all others.
type late struct {
	identity.Source
	role string
	by   time.Duration
}

// Watch implements identity.Source.
func (l late) Watch(ctx context.Context, role string) iter.Seq2[identity.Certs, error] {
	changes := l.Source.Watch(ctx, role)
	if role != l.role {
		return changes
	}
	return func(yield func(identity.Certs, error) bool) {
		begin := time.Now()
		for certs, err := range changes {
			if time.Since(begin) > l.by && !pause(ctx, l.by) || !yield(certs, err) {
				return
			}
		}
	}
}

// pause waits, and says whether ctx lasted.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
