package oauth_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/services/issuer/oauth"
)

func TestTheStoreIsBoundedByKind(t *testing.T) {
	now := time.Now()
	m := oauth.NewMemory(func() time.Time { return now }, 3)
	put := func(kind oauth.Kind, key string) error {
		return m.Put(kind, key, oauth.Record{Expires: now.Add(time.Minute)})
	}
	for i := range 3 {
		require.NoError(t, put(oauth.Codes, strconv.Itoa(i)))
	}
	require.True(t, errs.Exhausted.Is(put(oauth.Codes, "one more")))
	require.NoError(t, put(oauth.Codes, "1"), "one that is there may change")
	require.NoError(t, put(oauth.Sessions, "x"), "a kind does not take the room of another")
	now = now.Add(time.Minute)
	require.True(t, errs.NotFound.Is(m.Edit(oauth.Codes, "1", func(*oauth.Record) error { return nil })), "expired")
	require.NoError(t, put(oauth.Codes, "one more"), "what has expired makes room")
}

func TestAnEditHappensWholeOrNotAtAll(t *testing.T) {
	m := oauth.NewMemory(time.Now, 3)
	require.NoError(t, m.Put(oauth.Families, "x", oauth.Record{Expires: time.Now().Add(time.Hour)}))
	no := errors.New("no")
	require.ErrorIs(t, m.Edit(oauth.Families, "x", func(r *oauth.Record) error { r.Generation = 7; return no }), no)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			_ = m.Edit(oauth.Families, "x", func(r *oauth.Record) error { r.Generation++; return nil })
		})
	}
	all.Wait()
	m.Sweep()
	require.NoError(t, m.Edit(oauth.Families, "x", func(r *oauth.Record) error { require.EqualValues(t, 50, r.Generation); return nil }))
	m.Delete(oauth.Families, "x")
	require.True(t, errs.NotFound.Is(m.Edit(oauth.Families, "x", func(*oauth.Record) error { return nil })))
}

// TestOneOfManyGetsTheTokensOfACode: the rest are replays, which revoke them.
func TestOneOfManyGetsTheTokensOfACode(t *testing.T) {
	w := newWorld(t)
	code := w.login(ask()).Get("code")
	var all sync.WaitGroup
	answers := make(chan answer, 8)
	for range cap(answers) {
		all.Go(func() {
			c := *w
			c.cookies = make(map[string]string)
			answers <- c.redeem(code)
		})
	}
	all.Wait()
	close(answers)
	for a := range answers {
		if a.status == 200 {
			require.False(t, w.active(a.text("access_token")))
			require.False(t, w.active(a.text("refresh_token")))
			continue
		}
		require.Equal(t, "invalid_grant", a.text("error"), a.body)
	}
}
