package identity

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"example.com/app/platform/errs"
)

// A MemoryConfig sets the lives of what a Memory issues. Zero values are the
// defaults.
type MemoryConfig struct {
	Domain  string           // trust domain; empty means "app.internal"
	TTL     time.Duration    // of a leaf, which is renewed after two thirds of it; 0 means 24 h
	RootTTL time.Duration    // of a root, which is replaced after two thirds of it; 0 means 10 years
	Now     func() time.Time // nil: time.Now
	Seed    uint64           // of the jitter of renewals
}

// A Memory is a CA in this process: a Source for a system that lives in one
// process, and the maker of files for others. Its keys die with it. Its methods
// may be called from many goroutines.
type Memory struct {
	config MemoryConfig

	mu      sync.Mutex
	roots   []*authority  // the newest first; empty: none was needed yet
	watches uint64        // counts them
	changed chan struct{} // closed at the next change of roots
}

// NewMemory returns a CA. It makes its root when it is first asked; what is
// wrong with the configuration is said then.
func NewMemory(c MemoryConfig) *Memory {
	c.Domain = cmp.Or(c.Domain, "app.internal")
	c.TTL = cmp.Or(c.TTL, 24*time.Hour)
	c.RootTTL = cmp.Or(c.RootTTL, 10*365*24*time.Hour)
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Memory{config: c, changed: make(chan struct{})}
}

// A chapter is what a Memory trusts at a time.
type chapter struct {
	signs   *authority
	between [][]byte       // that lead from signs to the roots before it
	pool    *x509.CertPool // never written to
	certs   []*x509.Certificate
	next    time.Time       // when a root goes; zero: none is about to
	changed <-chan struct{} // closed when another chapter begins
}

// now is the time without a monotonic part, which stands still while a laptop
// sleeps.
func (m *Memory) now() time.Time { return m.config.Now().Round(0) }

// look returns the present chapter. It makes the first root, replaces one that
// grows old, and drops those whose leaves are gone.
func (m *Memory) look() (chapter, error) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.keep(now); err != nil {
		return chapter{}, err
	}
	c := chapter{signs: m.roots[0], pool: x509.NewCertPool(), changed: m.changed}
	for i, a := range m.roots {
		c.pool.AddCert(a.cert)
		c.certs = append(c.certs, a.cert)
		if i+1 < len(m.roots) {
			c.between = append(c.between, a.cross.Raw)
		}
		if !a.until.IsZero() {
			c.next = a.until // the last is the oldest, which goes first
		}
	}
	return c, nil
}

// keep makes the list of roots what it should be. The caller holds m.mu.
func (m *Memory) keep(now time.Time) error {
	if len(m.roots) == 0 {
		return m.add(now)
	}
	if born := m.roots[0].cert.NotBefore.Add(backdate); now.Sub(born) > 2*m.config.RootTTL/3 {
		return m.add(now)
	}
	for last := m.roots[len(m.roots)-1]; !last.until.IsZero() && !now.Before(last.until); last = m.roots[len(m.roots)-1] {
		m.roots = m.roots[:len(m.roots)-1]
		m.turn()
	}
	return nil
}

// add puts a new root in front. The caller holds m.mu.
func (m *Memory) add(now time.Time) error {
	var before *authority
	if len(m.roots) > 0 {
		before = m.roots[0]
	}
	a, err := newAuthority(m.config.Domain, term{now.Add(-backdate), now.Add(m.config.RootTTL)}, before)
	if err != nil {
		return err
	}
	if before != nil {
		before.until = now.Add(m.config.TTL)
	}
	m.roots = append([]*authority{a}, m.roots...)
	m.turn()
	return nil
}

// turn wakes the watches. The caller holds m.mu.
func (m *Memory) turn() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// RotateRoot replaces the root. Every watch gets a leaf of the new one at once.
// The old one vouches for it, and stays trusted for as long as a leaf of it may
// live, so that workloads may learn of it in any order.
func (m *Memory) RotateRoot() error {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.keep(now); err != nil {
		return err
	}
	return m.add(now)
}

// leaf makes a certificate of a role, and says when it should be renewed.
func (m *Memory) leaf(c chapter, role string) (*tls.Certificate, error) {
	id, err := For(m.config.Domain, role)
	if err != nil {
		return nil, err
	}
	now := m.now()
	to := now.Add(m.config.TTL)
	if to.After(c.signs.cert.NotAfter) {
		to = c.signs.cert.NotAfter
	}
	return c.signs.issue(id, term{now.Add(-min(backdate, m.config.TTL)), to})
}

// recheck is how often a watch looks at the clock: a timer alone is late by
// the time that the machine slept.
const recheck = 30 * time.Second

// Watch implements Source. The only errors are of kind errs.Invalid, and are of
// the configuration or the role.
func (m *Memory) Watch(ctx context.Context, role string) iter.Seq2[Certs, error] {
	return func(yield func(Certs, error) bool) {
		w := &memoryWatch{memory: m, role: role, rand: m.random(role)}
		for ctx.Err() == nil {
			wait, ok := w.step(yield)
			if !ok {
				return
			}
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-w.chapter.changed:
			case <-timer.C:
			}
			timer.Stop()
		}
	}
}

// random returns the source of jitter of one more watch of a role.
func (m *Memory) random(role string) *rand.Rand {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watches++
	h := fnv.New64a()
	_, _ = h.Write([]byte(role))
	return rand.New(rand.NewPCG(m.config.Seed+m.watches, h.Sum64()))
}

// A memoryWatch is one loop over Watch. It belongs to its goroutine.
type memoryWatch struct {
	memory  *Memory
	role    string
	rand    *rand.Rand
	chapter chapter
	signer  *authority // of the leaf; nil: there is none
	leaf    *tls.Certificate
	renew   time.Time
	roots   int // of what was yielded last
	failure string
}

// step yields what is new, and returns how long nothing will be. It reports
// false when the loop was left.
func (w *memoryWatch) step(yield func(Certs, error) bool) (time.Duration, bool) {
	fresh, err := w.turn()
	switch {
	case err != nil && err.Error() != w.failure:
		w.failure = err.Error()
		return recheck, yield(Certs{}, err)
	case err != nil:
		return recheck, true
	}
	w.failure = ""
	if fresh {
		w.roots = len(w.chapter.certs)
		shown := &tls.Certificate{
			Certificate: append([][]byte{w.leaf.Certificate[0]}, w.chapter.between...),
			PrivateKey:  w.leaf.PrivateKey, Leaf: w.leaf.Leaf,
		}
		if !yield(Certs{Leaf: shown, Roots: w.chapter.pool, Domain: w.memory.config.Domain}, nil) {
			return 0, false
		}
	}
	now := w.memory.now()
	wait := min(recheck, w.renew.Sub(now))
	if !w.chapter.next.IsZero() {
		wait = min(wait, w.chapter.next.Sub(now))
	}
	return max(wait, time.Millisecond), true
}

// turn looks at the CA and the clock, and reports whether there is news.
func (w *memoryWatch) turn() (bool, error) {
	c, err := w.memory.look()
	if err != nil {
		return false, err
	}
	w.chapter = c
	now := w.memory.now()
	if w.signer == c.signs && now.Before(w.renew) {
		return len(c.certs) != w.roots, nil
	}
	leaf, err := w.memory.leaf(c, w.role)
	if err != nil {
		return false, err
	}
	w.signer, w.leaf = c.signs, leaf
	life := leaf.Leaf.NotAfter.Sub(now)
	// Not all at once: those that started together would renew together.
	w.renew = now.Add(2*life/3 - time.Duration(w.rand.Int64N(int64(life/10)+1)))
	return true, nil
}

// A Bundle is an identity in files: PEM, as Files reads it.
type Bundle struct {
	Cert []byte // the leaf, and what leads to a root
	Key  []byte // its private key, PKCS #8
	CA   []byte // the roots
}

// Issue makes a certificate of a role for another process. It lives as long as
// any leaf and is not renewed.
func (m *Memory) Issue(role string) (Bundle, error) {
	c, err := m.look()
	if err != nil {
		return Bundle{}, err
	}
	leaf, err := m.leaf(c, role)
	if err != nil {
		return Bundle{}, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		return Bundle{}, errs.Internal.New("write key of %s: %w", role, err)
	}
	b := Bundle{Cert: block("CERTIFICATE", leaf.Certificate[0]), Key: block("PRIVATE KEY", key)}
	for _, der := range c.between {
		b.Cert = append(b.Cert, block("CERTIFICATE", der)...)
	}
	b.CA = c.export()
	return b, nil
}

// Export returns the roots that are trusted, as PEM, the newest first. There is
// no key among it.
func (m *Memory) Export() ([]byte, error) {
	c, err := m.look()
	return c.export(), err
}

func (c chapter) export() []byte {
	var all []byte
	for _, cert := range c.certs {
		all = append(all, block("CERTIFICATE", cert.Raw)...)
	}
	return all
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
