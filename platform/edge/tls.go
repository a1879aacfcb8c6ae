package edge

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"example.com/app/platform/errs"
)

// A TLSConfig says which certificate the edge shows. The zero value shows none.
type TLSConfig struct {
	// Cert and Key are PEM files: the chain, leaf first, and its private key,
	// which nobody else may read. They are read again when they change.
	Cert, Key string

	// GetCertificate is asked in place of the files, by each handshake, so that
	// an ACME client (RFC 8555) can answer; nil: the files count.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// Protocols are ALPN names beside h2 and http/1.1, as "acme-tls/1" (RFC 8737).
	Protocols []string

	Log *slog.Logger     // told when new files are of no use; nil: nobody is told
	Now func() time.Time // nil means time.Now
}

// lookEvery is how often the files are looked at, at most.
const lookEvery = time.Second

// NewTLS is the configuration of a TLS server at the edge: TLS 1.3, and 1.2
// with forward secrecy and authenticated encryption alone (RFC 9325 §4.2). It
// fails, with kind errs.Invalid, where the files are of no use; files that go
// bad later leave the last good ones in place. It is safe for many goroutines.
func NewTLS(cfg TLSConfig) (*tls.Config, error) {
	get := cfg.GetCertificate
	if get == nil {
		p := &pair{cfg: cfg}
		if cfg.Log == nil {
			p.cfg.Log = slog.New(slog.DiscardHandler)
		}
		if cfg.Now == nil {
			p.cfg.Now = time.Now
		}
		now, err := p.read()
		if err != nil {
			return nil, err
		}
		p.current.Store(now)
		get = p.certificate
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // for 1.2; those of 1.3 are all good
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     append([]string{"h2", "http/1.1"}, cfg.Protocols...),
		GetCertificate: get,
	}, nil
}

// A pair is a certificate and its key in files. Whichever handshake finds that
// a look is due takes it; the others do not wait for it.
type pair struct {
	cfg     TLSConfig
	current atomic.Pointer[loaded]
	looking atomic.Bool
	looked  atomic.Int64 // when, in ns since 1970
}

type loaded struct {
	certificate *tls.Certificate
	stamps      [2]stamp
}

// A stamp changes when a file does.
type stamp struct {
	modified time.Time
	size     int64
}

func (p *pair) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	now := p.cfg.Now().UnixNano()
	if now-p.looked.Load() >= int64(lookEvery) && p.looking.CompareAndSwap(false, true) {
		p.look()
		p.looked.Store(now)
		p.looking.Store(false)
	}
	return p.current.Load().certificate, nil
}

// look reads the files if they have changed. What is broken, or half replaced,
// is read again at the next look.
func (p *pair) look() {
	stamps, err := p.stamps()
	if err == nil && stamps == p.current.Load().stamps {
		return
	}
	next, err := p.read()
	if err != nil {
		p.cfg.Log.Warn("keep the old certificate", "error", err)
		return
	}
	p.current.Store(next)
	p.cfg.Log.Info("new certificate", "not_after", next.certificate.Leaf.NotAfter)
}

// stamps looks at both files.
func (p *pair) stamps() ([2]stamp, error) {
	var stamps [2]stamp
	for i, path := range []string{p.cfg.Cert, p.cfg.Key} {
		info, err := os.Stat(path)
		if err != nil {
			return stamps, errs.Invalid.New("look at the certificate of the edge: %w", err)
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
		if mode := info.Mode().Perm(); path == p.cfg.Key && mode&0o077 != 0 {
			return stamps, errs.Invalid.New("others may read the key %s (mode %04o): chmod 600 %[1]s", path, mode)
		}
	}
	return stamps, nil
}

func (p *pair) read() (*loaded, error) {
	stamps, err := p.stamps()
	if err != nil {
		return nil, err
	}
	certificate, err := tls.LoadX509KeyPair(p.cfg.Cert, p.cfg.Key)
	if err != nil {
		return nil, errs.Invalid.New("read the certificate of the edge: %w", err)
	}
	return &loaded{&certificate, stamps}, nil
}
