package session_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnAccessTokenIsRenewedALittleBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.logIn()
		sleep(4*time.Minute - time.Second)
		require.Equal(t, "Bearer access-2-", w.token())
		sleep(time.Second)
		require.Equal(t, "Bearer access-3-", w.token(), "it had a minute left")
		require.Equal(t, "Bearer access-3-", w.token())
		require.Equal(t, 1, w.issuer.refreshed)
		sleep(30 * time.Minute)
		require.Equal(t, "Bearer access-4-", w.token(), "long after its end")
	})
}

func TestParallelRequestsRenewOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.logIn()
		old := *w.cookies["__Host-session"]
		sleep(5 * time.Minute)
		w.issuer.hold = make(chan struct{})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if code := w.ask(http.MethodGet, "/v1/greetings").Code; code != http.StatusOK {
					t.Errorf("code %d", code)
				}
			})
		}
		synctest.Wait()
		close(w.issuer.hold)
		all.Wait()
		require.Equal(t, 1, w.issuer.refreshed)
		require.Zero(t, w.issuer.reused)
		require.Len(t, w.backend.seen, 20)
		for _, h := range w.backend.seen {
			require.Equal(t, "Bearer access-3-", h.Get("Authorization"))
		}
		w.cookies[old.Name] = &old
		require.Equal(t, "Bearer access-3-", w.token(), "a request that was on its way with the old cookie")
		require.NotEqual(t, old.Value, w.cookies[old.Name].Value, "the browser gets the new one again")
		require.Zero(t, w.issuer.reused)
	})
}

func TestARenewalSurvivesABrowserThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.logIn()
		old := *w.cookies["__Host-session"]
		sleep(5 * time.Minute)
		w.issuer.hold = make(chan struct{})
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			w.leave("/v1/greetings", time.Second)
		}()
		sleep(2 * time.Second)
		close(w.issuer.hold)
		<-gone
		w.cookies[old.Name] = &old
		require.Equal(t, "Bearer access-3-", w.token())
		require.Zero(t, w.issuer.reused)
	})
}

func TestAnIssuerThatIsAwayEndsNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.logIn()
		w.issuer.away = true
		sleep(4*time.Minute + time.Second)
		for range 10 {
			require.Equal(t, "Bearer access-2-", w.token(), "the old token lasts")
		}
		require.Equal(t, 2, w.issuer.asked, "once for the login, and once just now")
		sleep(time.Minute)
		answer := w.ask(http.MethodGet, "/v1/greetings")
		require.Equal(t, http.StatusServiceUnavailable, answer.Code)
		require.NotContains(t, answer.Body.String(), "192.0.2.9")
		require.Nil(t, w.backend.last())
		w.issuer.away = false
		sleep(time.Second)
		require.Equal(t, "Bearer access-3-", w.token())
	})
}

func TestASessionThatTheIssuerEndsIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.logIn()
		old := *w.cookies["__Host-session"]
		clear(w.issuer.refresh)
		sleep(5 * time.Minute)
		require.Empty(t, w.token(), "what needs no token still works")
		require.Empty(t, w.cookies)
		w.cookies[old.Name] = &old
		require.Equal(t, http.StatusUnauthorized, w.ask(http.MethodGet, "/auth/me").Code)
		require.Equal(t, 1, w.issuer.reused, "it is not asked again")
	})
}

// TestALogoutDuringARenewalStands has the issuer answer the renewal after the
// person has logged out: what it gives is given back, and no cookie tells of it.
func TestALogoutDuringARenewalStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.logIn()
		old := *w.cookies["__Host-session"]
		sleep(5 * time.Minute)
		w.issuer.hold = make(chan struct{})
		seen := make(chan string)
		go func() { seen <- w.token() }()
		synctest.Wait()
		require.Equal(t, http.StatusNoContent, w.ask(http.MethodPost, "/auth/logout").Code)
		close(w.issuer.hold)
		require.Empty(t, <-seen, "the request goes on as one of nobody")
		require.Empty(t, w.cookies)
		require.Equal(t, []string{"refresh-2", "refresh-3"}, w.issuer.revoked)
		w.cookies[old.Name] = &old
		require.Empty(t, w.token())
	})
}
