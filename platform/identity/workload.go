package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/credentials"

	"example.com/app/platform/errs"
)

// A WorkloadConfig says whose certificates a Workload holds.
type WorkloadConfig struct {
	Role    string                // that it proves to be
	Source  Source                // of its certificates
	Log     *slog.Logger          // hears of changes and of peers refused; nil: nobody does
	Metrics prometheus.Registerer // gets the metrics of one Workload; nil: nobody does
	Now     func() time.Time      // for the lives of certificates; nil: time.Now
}

// A Workload proves who this instance is, and finds out who others are. What it
// makes reads the newest certificates at each handshake, so that nothing is
// built again when they change, and connections that are open stay open. Its
// methods may be called from many goroutines, before Run and after.
type Workload struct {
	config  WorkloadConfig
	metrics *metrics
	refusal *rate.Limiter // of log lines: who sends rubbish shall not fill the log

	held atomic.Pointer[holding] // nil: none yet
	last atomic.Pointer[trouble] // why there is nothing new; nil: nothing is wrong

	mu      sync.Mutex
	offered int         // how many certificates the source has yielded
	again   *time.Timer // tries the last of them once more; nil: it was taken
}

// retry is how long after a certificate was refused it is looked at again: it may
// be this host's clock that was wrong, and a source says a thing once.
const retry = 10 * time.Second

// A holding is certificates that have been checked.
type holding struct {
	Certs
	leaf *x509.Certificate // that of Certs.Leaf
	id   ID                // in it
}

// A trouble is an error behind a pointer.
type trouble struct{ error }

// NewWorkload returns a workload that holds no certificate before Run.
func NewWorkload(c WorkloadConfig) *Workload {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	w := &Workload{config: c, refusal: rate.NewLimiter(1, 10)}
	w.metrics = newMetrics(w)
	return w
}

// Run holds the certificates until ctx ends. It returns an error only where
// the metrics can't be registered. It is called once.
func (w *Workload) Run(ctx context.Context) error {
	if w.config.Metrics != nil {
		if err := w.config.Metrics.Register(w.metrics); err != nil {
			return errs.Internal.New("register metrics of the identity: %w", err)
		}
	}
	defer w.next()
	for certs, err := range w.config.Source.Watch(ctx, w.config.Role) {
		if err != nil {
			w.fail(err)
			continue
		}
		w.offer(w.next(), certs)
	}
	return nil
}

// next is the number of what the source yields next. What it yielded before is
// not tried again.
func (w *Workload) next() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offered++
	if w.again != nil {
		w.again.Stop()
		w.again = nil
	}
	return w.offered
}

// offer takes certs, or tries them again later, while they are the newest.
func (w *Workload) offer(number int, certs Certs) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if number != w.offered {
		return
	}
	w.again = nil
	if err := w.take(certs); err != nil {
		w.fail(err)
		w.again = time.AfterFunc(retry, func() { w.offer(number, certs) })
	}
}

// fail keeps what is held, and says so once for each reason.
func (w *Workload) fail(err error) {
	w.metrics.errors.Inc()
	before := w.last.Swap(&trouble{err})
	if before == nil || before.Error() != err.Error() {
		w.config.Log.Warn("no new certificate, keeping the last", slog.Any("error", err))
	}
}

// take shows certs from now on, if they are fit for it.
func (w *Workload) take(certs Certs) error {
	leaf, id, err := certs.check(w.config.Role, w.config.Now())
	if err != nil {
		return err
	}
	w.last.Store(nil)
	before := w.held.Swap(&holding{certs, leaf, id})
	if before != nil {
		w.metrics.rotations.Inc()
	}
	w.config.Log.Info("certificate", slog.String("id", id.String()), slog.Time("until", leaf.NotAfter))
	return nil
}

// Ready says why this instance can't prove who it is: of kind errs.Unavailable
// before there is a certificate, and when the one it holds has expired.
func (w *Workload) Ready() error {
	held, err := w.current()
	if err != nil {
		return err
	}
	if until := held.leaf.NotAfter; w.config.Now().After(until) {
		return w.because(errs.Unavailable.New("the certificate expired at %s", stamp(until)))
	}
	return nil
}

// current are the certificates held.
func (w *Workload) current() (*holding, error) {
	if held := w.held.Load(); held != nil {
		return held, nil
	}
	return nil, w.because(errs.Unavailable.New("no certificate yet"))
}

// because adds why there is nothing new.
func (w *Workload) because(err error) error {
	if why := w.last.Load(); why != nil {
		return errs.Unavailable.New("%w: %w", err, why.error)
	}
	return err
}

// plain is err as a handshake may fail with: its text alone. A kind would
// become that of every call that waits for the connection, and a caller would
// be told that it is not known, where it is this system that is at odds.
func plain(err error) error { return errors.New(err.Error()) }

// show is the certificate for a handshake.
func (w *Workload) show() (*tls.Certificate, error) {
	held, err := w.current()
	if err != nil {
		return nil, plain(err)
	}
	return held.Leaf, nil
}

// Server are the credentials of a gRPC server that answers workloads of its
// trust domain. Whether they may call is asked for each call: see Peer.
func (w *Workload) Server() credentials.TransportCredentials {
	return credentials.NewTLS(w.ServerTLS())
}

// Client are the credentials of a gRPC client that talks to a role and to
// nobody else.
func (w *Workload) Client(role string) credentials.TransportCredentials {
	return credentials.NewTLS(w.ClientTLS(role))
}

// ServerTLS is Server for net/http. The caller may add protocols (NextProtos)
// and must leave the rest.
func (w *Workload) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		Time:       w.config.Now,
		// Not VerifyPeerCertificate, and no tickets: a session that is resumed
		// skips the one, and brings back an identity from before a change with
		// the other.
		SessionTicketsDisabled: true,
		ClientAuth:             tls.RequireAnyClientCert,
		VerifyConnection:       w.verifier("", x509.ExtKeyUsageClientAuth),
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return w.show() },
	}
}

// ClientTLS is Client for net/http. The caller may add protocols (NextProtos)
// and must leave the rest.
func (w *Workload) ClientTLS(role string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Time:                   w.config.Now,
		SessionTicketsDisabled: true,
		// Host names say nothing in a mesh, and certificates have none: the
		// SPIFFE id is checked in their place.
		InsecureSkipVerify:   true, //nolint:gosec // VerifyConnection checks chain and id
		VerifyConnection:     w.verifier(role, x509.ExtKeyUsageServerAuth),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return w.show() },
	}
}

// verifier checks the other side of a connection, resumed or not. A role that
// is empty stands for any.
func (w *Workload) verifier(role string, usage x509.ExtKeyUsage) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		held, err := w.current()
		if err != nil {
			return plain(err)
		}
		id, err := demand{held.Certs, held.id, role, usage, w.config.Now()}.meet(state.PeerCertificates)
		if err == nil {
			return nil
		}
		w.metrics.refused.Inc()
		if w.refusal.Allow() {
			w.config.Log.Warn("peer refused", slog.String("id", id.String()), slog.Any("error", err))
		}
		return plain(err)
	}
}

// Chain is the certificates that the workload shows, leaf first, each DER. They
// are public.
func (w *Workload) Chain() ([][]byte, error) {
	held, err := w.current()
	if err != nil {
		return nil, err
	}
	return held.Leaf.Certificate, nil
}
