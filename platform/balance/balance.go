// Package balance shares the calls of one client among the instances of one
// role, for gRPC and for HTTP with the same code.
//
//	Balancer  whom to call next: it follows the list, ejects who fails, prefers a zone
//	Policy    picks among those who may be called; package policy has them all
//	Peer      an instance as this client knows it: its calls, latency, failures
//
// What is known of a peer outlives every change of the list. A picker that
// forgets when a neighbour joins sends the next calls to whoever was slow.
package balance

import (
	"context"
	"time"
)

// A Policy picks one peer of a set. It serves one Balancer, is called from many
// goroutines, allocates nothing and never blocks. It counts calls, not
// connections, and looks at nothing but what peers tell.
type Policy interface {
	// Pick returns a choice whose Peer is of the set, which is never empty.
	Pick(c Call, s *Set) Choice

	// String is its name, as policy.Parse reads it.
	String() string
}

// A Hearer is a Policy that wants to know how busy instances say they are. It
// asks with Set.Ask, and hears later, or never.
type Hearer interface {
	Policy
	Hear(p *Peer, l Load)
}

// An Explainer is a Policy that can tell, in a line, what it goes by just now.
type Explainer interface {
	Policy
	Explain() string
}

// A Call is what is known of a call before it is sent.
type Call struct {
	Now   time.Duration // since the Balancer was made
	Key   uint64        // a hash of what keeps calls together; 0: nothing does
	Long  bool          // a stream: its time says nothing of the instance
	Avoid []string      // ids of instances that the same call was sent to already
}

// A Choice is a pick and its reason. Scores are the policy's own; the lower one
// wins.
type Choice struct {
	Peer, Over      *Peer // who was picked, and the next best that was looked at; Over may be nil
	Score, OverThan float64
	Why             string // a constant, as in "lower cost"
}

// A Set is whom a policy may pick from, as of now. Policies keep what they
// compute from it under its pointer: a set never changes, it is replaced.
type Set struct {
	Peers []*Peer // in order of id, never empty; not to be changed
	balancer
}

// balancer is what a set offers of its Balancer.
type balancer struct{ b *Balancer }

// Ask asks a peer for its load, some time soon. It does nothing where nobody
// can be asked, or too much has been asked already.
func (s *Set) Ask(p *Peer) { s.b.questions.ask(p) }

// Asks reports whether peers can be asked for their load at all.
func (s *Set) Asks() bool { return s.b.questions.queue != nil || s.b.questions.asks != nil }

// InFlight is the number of calls that the Balancer's peers have not answered,
// whether they are of the set or not.
func (s *Set) InFlight() int { return int(s.b.inFlight.Load()) }

// Rand is the source of randomness of the set's Balancer.
func (s *Set) Rand() *Rand { return &s.b.rand }

// A Load is how busy an instance says it is.
type Load struct {
	InFlight int           // calls it works on, waiting ones included
	Latency  time.Duration // of recent calls at about this many in flight; 0: it has none
}

// A Prober asks instances for their load. An error means that there was no
// answer: it is not held against the instance.
type Prober interface {
	Probe(ctx context.Context, p *Peer) (Load, error)
}

// An Outcome is how a call ended, for who picks the next one.
type Outcome int

const (
	// OK is an answer, also one that says no for the caller's own fault.
	OK Outcome = iota
	// Failed is an answer that a healthy instance would not have given.
	Failed
	// Unreachable means that nothing was sent: the connection was refused.
	Unreachable
	// GivenUp means that the caller went away. It says nothing of the instance
	// but that it took at least so long.
	GivenUp
)
