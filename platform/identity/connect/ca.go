package connect

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/errs"
	"example.com/app/platform/identity"
)

// A CA is an identity.Source over Consul's own CA (Connect). The agent makes
// the key of each leaf, keeps it, and renews it in time. Watches of one role at
// one agent get the same leaf. Its methods may be called from many goroutines;
// it has none of its own while no Watch is under way.
type CA struct{ asker *asker }

// Watch implements identity.Source. It yields an error when Consul stops
// answering, and again when it does so for another reason.
func (c *CA) Watch(ctx context.Context, role string) iter.Seq2[identity.Certs, error] {
	return func(yield func(identity.Certs, error) bool) {
		if ctx.Err() != nil {
			return
		}
		w := &caWatch{role: role, changed: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(ctx)
		var lines sync.WaitGroup
		defer lines.Wait()
		defer cancel()
		lines.Go(func() { follow(ctx, c.asker, w.leaf(c.asker.client)) })
		lines.Go(func() { follow(ctx, c.asker, w.roots(c.asker.client)) })
		w.run(ctx, yield)
	}
}

// A caWatch puts together what two questions learn.
type caWatch struct {
	role    string
	changed chan struct{} // holds a token when news has changed

	mu   sync.Mutex
	news caNews
}

// caNews is what Consul said last.
type caNews struct {
	leaf              *api.LeafCert
	roots             *api.CARootList
	leafErr, rootsErr error // of the last question; nil: it was answered
}

// learn changes what is known.
func (w *caWatch) learn(change func(*caNews)) {
	w.mu.Lock()
	change(&w.news)
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default: // it is known already that there is news
	}
}

func (w *caWatch) look() caNews {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.news
}

func (w *caWatch) leaf(c *api.Client) question[*api.LeafCert] {
	return question[*api.LeafCert]{
		act: "watch certificate of " + w.role,
		put: func(o *api.QueryOptions) (*api.LeafCert, *api.QueryMeta, error) {
			return c.Agent().ConnectCALeaf(w.role, o)
		},
		tell: func(leaf *api.LeafCert, err error) {
			w.learn(func(n *caNews) {
				if n.leafErr = err; err == nil {
					n.leaf = leaf
				}
			})
		},
	}
}

func (w *caWatch) roots(c *api.Client) question[*api.CARootList] {
	return question[*api.CARootList]{
		act: "watch roots for " + w.role,
		put: c.Agent().ConnectCARoots,
		tell: func(roots *api.CARootList, err error) {
			w.learn(func(n *caNews) {
				if n.rootsErr = err; err == nil {
					n.roots = roots
				}
			})
		},
	}
}

// recheck is how often a watch looks at the clock. A change of the leaf that
// Consul did not tell of would be noticed by everybody when it expires.
const recheck = time.Minute

// run yields what is news until ctx ends or the loop is left.
func (w *caWatch) run(ctx context.Context, yield func(identity.Certs, error) bool) {
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	var last material
	var told repeat
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
		case <-tick.C:
		}
		now := w.look()
		err := cmp.Or(now.leafErr, now.rootsErr)
		if m, complete := now.material(); complete && !m.equal(last) {
			certs, bad := m.certs()
			if bad == nil && !yield(certs, nil) {
				return
			}
			last = m
			err = cmp.Or(err, bad)
		}
		if err == nil && now.leaf != nil {
			err = overdue(w.role, now.leaf)
		}
		if told.news(err) && !yield(identity.Certs{}, err) {
			return
		}
	}
}

// overdue says that a leaf lives on borrowed time: Consul renews one when nine
// tenths of its life are over, at the latest.
func overdue(role string, leaf *api.LeafCert) error {
	life := leaf.ValidBefore.Sub(leaf.ValidAfter)
	if life <= 0 || time.Until(leaf.ValidBefore) > life/20 {
		return nil
	}
	return errs.Unavailable.New("consul does not renew the certificate of %s, which expires at %s: look at the agent's log and at its CA",
		role, leaf.ValidBefore.UTC().Format(time.RFC3339))
}

// A material is what certificates are made of.
type material struct {
	cert, key, domain string
	roots             []string // sorted
}

// material reports false while something is missing.
func (n caNews) material() (material, bool) {
	if n.leaf == nil || n.roots == nil {
		return material{}, false
	}
	m := material{cert: n.leaf.CertPEM, key: n.leaf.PrivateKeyPEM, domain: n.roots.TrustDomain}
	for _, r := range n.roots.Roots {
		if r != nil {
			m.roots = append(m.roots, r.RootCertPEM)
		}
	}
	slices.Sort(m.roots)
	return m, true
}

func (m material) equal(o material) bool {
	return m.cert == o.cert && m.key == o.key && m.domain == o.domain && slices.Equal(m.roots, o.roots)
}

// certs reads the material.
func (m material) certs() (identity.Certs, error) {
	leaf, err := tls.X509KeyPair([]byte(m.cert), []byte(m.key))
	if err != nil {
		return identity.Certs{}, errs.Unavailable.New("read the certificate that consul gives: %w", err)
	}
	pool := x509.NewCertPool()
	for _, text := range m.roots {
		if !pool.AppendCertsFromPEM([]byte(text)) {
			return identity.Certs{}, errs.Unavailable.New("read the roots that consul gives: one is no certificate")
		}
	}
	return identity.Certs{Leaf: &leaf, Roots: pool, Domain: m.domain}, nil
}
