// Package audit writes down who was refused what.
//
// Everybody may be refused as often as they like, so a refusal must cost little:
// lines are limited, by what was refused and in all, and each says how many it
// stands for. The counter counts every one.
package audit

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"example.com/app/platform/errs"
)

// What a log can take: a day of one flood is some 100 MB, whatever is flooded.
const (
	kinds       = 256 // pairs of method and reason that are told apart at a time
	labels      = 32  // reasons that the counter tells apart
	longest     = 256 // bytes of a method, a subject and the like
	kindBurst   = 10
	kindEvery   = 10 * time.Second
	totalBurst  = 100
	totalEvery  = 500 * time.Millisecond
	forgetEvery = time.Second // looks for kinds to forget at most so often
)

// A Config says where refusals go. The zero value counts and writes nothing.
type Config struct {
	Log     *slog.Logger          // nil: nothing is written
	Metrics prometheus.Registerer // labelled with the role already; nil: nothing is counted
}

// A Denial is a call that was refused. What is not known is empty. Subject and
// Client are those of a token that was verified: what a refused one says of
// itself is no evidence.
type Denial struct {
	Method    string    // as in /greeter.v1.Greeter/SayHello, or GET
	Peer      string    // the workload that sent the call: its SPIFFE id, or its address
	Subject   string    // the user, as the token says (sub of RFC 9068 §2.2)
	Client    string    // the OAuth client, as the token says (client_id)
	Reason    string    // one of few, in UPPER_SNAKE_CASE, as in TOKEN_EXPIRED
	Kind      errs.Kind // what the caller was told
	RequestID string
}

// A Log writes down denials. It is made by New; its methods may be called from
// many goroutines.
type Log struct {
	log   *slog.Logger
	total *prometheus.CounterVec

	mu      sync.Mutex
	all     *rate.Limiter
	seen    map[kind]*tally
	reasons map[string]bool
	forgot  time.Time
}

// A kind of denial is what its lines are limited by.
type kind struct{ method, reason string }

type tally struct {
	lines      *rate.Limiter
	suppressed int // since the last line
	last       time.Time
}

// New registers authz_denials_total. An error is that of the registerer.
func New(cfg Config) (*Log, error) {
	l := &Log{
		log: cfg.Log,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authz_denials_total", Help: "Calls that were refused because of who called, by reason.",
		}, []string{"reason"}),
		all:     rate.NewLimiter(rate.Every(totalEvery), totalBurst),
		seen:    make(map[kind]*tally),
		reasons: make(map[string]bool),
	}
	if cfg.Log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics != nil {
		return l, cfg.Metrics.Register(l.total)
	}
	return l, nil
}

// Denied counts a denial and writes it down, unless too many of its kind were
// written lately: the next line then says how many were not (suppressed).
func (l *Log) Denied(ctx context.Context, d Denial) {
	label, suppressed, write := l.admit(d)
	l.total.WithLabelValues(label).Inc()
	if !write {
		return
	}
	category := "iam"
	if d.Kind == errs.Unauthenticated {
		category = "authentication"
	}
	// The names are those of the Elastic Common Schema, whatever the format.
	attrs := []slog.Attr{
		slog.String("method", cut(d.Method)), slog.String("event.reason", cut(d.Reason)), slog.String("event.code", d.Kind.String()),
		slog.String("event.kind", "event"), slog.Any("event.category", []string{category, "api"}), slog.Any("event.type", []string{"denied"}),
		slog.String("event.action", "call-denied"), slog.String("event.outcome", "failure"),
	}
	for _, a := range []slog.Attr{
		slog.String("peer", cut(d.Peer)), slog.String("user.id", cut(d.Subject)),
		slog.String("labels.oauth_client", cut(d.Client)), slog.String("request_id", cut(d.RequestID)),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	l.log.LogAttrs(ctx, slog.LevelWarn, "call denied", attrs...)
}

// admit says whether a denial may be written, how many were not since the last
// one of its kind, and the reason it is counted by.
func (l *Log) admit(d Denial) (label string, suppressed int, write bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	label = l.label(d.Reason)
	t := l.tally(kind{cut(d.Method), label}, now)
	t.last = now
	if !t.lines.AllowN(now, 1) || !l.all.AllowN(now, 1) {
		t.suppressed++
		return label, 0, false
	}
	suppressed, t.suppressed = t.suppressed, 0
	return label, suppressed, true
}

// label is the reason, as long as there are few of them and it looks like one.
func (l *Log) label(reason string) string {
	if l.reasons[reason] {
		return reason
	}
	if reason == "" || len(reason) > 64 || len(l.reasons) >= labels || strings.Trim(reason, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return "OTHER"
	}
	l.reasons[reason] = true
	return reason
}

// tally is that of a kind. Methods come from callers, who may invent them: when
// there are too many kinds, those nobody saw for a while are forgotten, and
// while there are none the method does not count.
func (l *Log) tally(k kind, now time.Time) *tally {
	if t := l.seen[k]; t != nil {
		return t
	}
	if len(l.seen) >= kinds && now.Sub(l.forgot) >= forgetEvery {
		l.forgot = now
		for k, t := range l.seen {
			if now.Sub(t.last) > kindBurst*kindEvery { // its limit is as good as new
				delete(l.seen, k)
			}
		}
	}
	if len(l.seen) >= kinds {
		k.method = ""
		if t := l.seen[k]; t != nil {
			return t
		}
	}
	t := &tally{lines: rate.NewLimiter(rate.Every(kindEvery), kindBurst)}
	l.seen[k] = t
	return t
}

func cut(text string) string {
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "")
}
