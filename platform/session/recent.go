package session

import (
	"container/list"
	"context"
	"sync"
	"time"

	"example.com/app/platform/errs"
)

// maxRecent is how many sessions are remembered that were renewed or ended.
const maxRecent = 10_000

const (
	renewWait  = 10 * time.Second // for the issuer to renew a session
	retryEvery = 5 * time.Second  // asks an issuer again that could not, while the old token lasts
)

// recent remembers the newest turn of sessions. A refresh token works once:
// where two requests of one page find an access token at its end, one renews it
// and both go on with what it got; so do those that come later with the cookie
// from before.
type recent struct {
	room int

	mu    sync.Mutex
	known map[string]*list.Element // of *turn, by session
	order *list.List               // the one that changed last is in front
}

// A turn is what is known of one session.
type turn struct {
	id     string
	state  *state    // the newest; nil: the session has not been renewed here
	ended  bool      // it was logged out, or the issuer renews it no more
	failed time.Time // when it could not be renewed
	busy   *renewal  // under way; nil: none is
}

// A renewal is one request to the issuer, for all who need it. The fields are
// set before done is closed.
type renewal struct {
	done chan struct{}
	next *state
	err  error
	late *state // what came of it when the session had ended meanwhile
}

func newRecent(room int) *recent {
	return &recent{room: room, known: make(map[string]*list.Element), order: list.New()}
}

// newest is the session as far as it has come, and whether it has ended.
func (c *recent) newest(st *state) (*state, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.known[st.ID]
	if !ok {
		return st, false
	}
	t := at.Value.(*turn)
	if t.state != nil && t.state.Turn > st.Turn {
		latest := *t.state
		if st.Seen.After(latest.Seen) {
			latest.Seen = st.Seen
		}
		st = &latest
	}
	return st, t.ended
}

// at is the turn of a session. c.mu is held.
func (c *recent) at(id string) *turn {
	if at, ok := c.known[id]; ok {
		c.order.MoveToFront(at)
		return at.Value.(*turn)
	}
	for at := c.order.Back(); at != nil && c.order.Len() >= c.room; {
		earlier := at.Prev()
		if t := at.Value.(*turn); t.busy == nil {
			delete(c.known, t.id)
			c.order.Remove(at)
		}
		at = earlier
	}
	t := &turn{id: id}
	c.known[id] = c.order.PushFront(t)
	return t
}

// begin says that the caller is to do a renewal, and must call end with it; or
// whose to wait for; or, with neither, that there is nothing to do: it has been
// renewed since, or has ended, or it failed just now and the old token will do.
func (c *recent) begin(st *state, now time.Time) (mine, others *renewal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.at(st.ID)
	switch {
	case t.ended, t.state != nil && t.state.Turn > st.Turn, now.Before(st.Expiry) && now.Before(t.failed.Add(retryEvery)):
		return nil, nil
	case t.busy != nil:
		return nil, t.busy
	}
	t.busy = &renewal{done: make(chan struct{})}
	return t.busy, nil
}

// end notes what a renewal brought: nothing, where somebody logged out meanwhile.
func (c *recent) end(id string, r *renewal, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.at(id)
	t.busy = nil
	if r.err == nil && t.ended {
		r.late, r.next, r.err = r.next, nil, errSessionOver()
	}
	if r.err != nil {
		t.failed = now
	} else {
		t.state = r.next
	}
	close(r.done)
}

// over notes that a session has ended. A cookie of it that somebody kept is of
// no use here any more.
func (c *recent) over(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at(id).ended = true
}

// renew gets a new access token for the session, or waits for who does, unless
// the old one lasts: an issuer that is slow shall not hold up a whole page. The
// issuer is asked to the end, whether or not the browser waits: it has spent the
// old refresh token by then. The error is of kind Unauthenticated where the
// session has ended by that, and of kind Unavailable where it may yet go on.
func (s *Sessions) renew(ctx context.Context, st *state) (*state, error) {
	mine, others := s.recent.begin(st, s.cfg.Now())
	switch {
	case mine != nil:
		func() {
			defer func() { s.recent.end(st.ID, mine, s.cfg.Now()) }()
			mine.err = errs.Internal.New("renew a session: it broke off") // for those who wait, should refresh panic
			mine.next, mine.err = s.refresh(ctx, st)
		}()
		if mine.late != nil {
			s.revoke(ctx, mine.late)
		}
		return mine.next, mine.err
	case others != nil && s.cfg.Now().Before(st.Expiry):
		return st, nil
	case others != nil:
		select {
		case <-others.done:
			return others.next, others.err
		case <-ctx.Done():
			return nil, errs.Cancelled.New("wait for a new access token: %w", ctx.Err())
		}
	}
	newest, ended := s.recent.newest(st)
	if ended {
		return nil, errSessionOver()
	}
	return newest, nil
}

// refresh spends the session's refresh token.
func (s *Sessions) refresh(ctx context.Context, st *state) (*state, error) {
	if st.Refresh == "" {
		return nil, errSessionOver()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewWait)
	defer cancel()
	got, err := s.provider.refresh(ctx, st.Refresh)
	if errs.Unauthenticated.Is(err) {
		s.cfg.Log.InfoContext(ctx, "session ended by the issuer", "subject", st.Subject, "error", err)
		s.recent.over(st.ID)
		return nil, errSessionOver()
	}
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "session not renewed", "error", err)
		return nil, err
	}
	fresh := *st
	fresh.Turn++
	fresh.Seen = s.cfg.Now()
	s.take(&fresh, got)
	return &fresh, nil
}

// take puts what the issuer gave into a session. Where it says nothing of the
// refresh token or the scopes, they are as before (RFC 6749 §5.1 and §6).
func (s *Sessions) take(st *state, got *grant) {
	st.Access, st.Issued = got.Access, s.cfg.Now()
	st.Expiry = st.Issued.Add(got.lifetime())
	if got.Refresh != "" {
		st.Refresh = got.Refresh
	}
	if got.Scope != "" {
		st.Scopes = got.scopes()
	}
}

func errSessionOver() *errs.Error {
	return errs.Unauthenticated.New("the session has ended; log in again").Because("SESSION_OVER")
}
