// Package page is the live page of a fleet that runs: who calls whom, how fast,
// what is broken, and buttons that break more.
//
//	GET    /             the page: one file, with nothing from elsewhere
//	GET    /events       what happens, as server-sent events (WHATWG HTML, section 9.2)
//	POST   /faults       injects a fault, given as a sentence of package fault; answers its id
//	DELETE /faults/{id}  heals it
//	POST   /load         {"rate": 200}, in requests per second
//	POST   /balance      {"policy": "prequal"}
//
// Whoever reaches the page can break the fleet. It is meant for a loopback
// address, and refuses names that are none, so that a site elsewhere can't have
// its name point here (DNS rebinding).
package page

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"example.com/app/sim"
)

// Config says what a page shows. All but the world has a default.
type Config struct {
	World   *sim.World
	Every   time.Duration // between two samples; 0 means 250 ms
	Streams int           // of events at a time; 0 means 32
	Body    int64         // bytes of a request's body; 0 means 64 KiB
	Header  int           // bytes of a request's header; 0 means 16 KiB
}

// A Page shows a world, while Run runs. It is an http.Handler; its methods may
// be called from many goroutines.
type Page struct {
	cfg     Config
	mux     *http.ServeMux
	html    document
	origin  *http.CrossOriginProtection
	streams chan struct{} // a place for each
	turning chan struct{} // held while the policy changes
	ended   chan struct{} // closed when Run returns

	mu       sync.Mutex
	view     *view
	latest   Snapshot
	fresh    chan struct{} // closed when there is another one
	injected map[string]injection
	last     int // number of the last fault injected here
}

// New returns the page of a world that has started.
func New(cfg Config) *Page {
	cfg.Every = cmp.Or(cfg.Every, 250*time.Millisecond)
	cfg.Streams = cmp.Or(cfg.Streams, 32)
	cfg.Body = cmp.Or(cfg.Body, 64<<10)
	cfg.Header = cmp.Or(cfg.Header, 16<<10)
	p := &Page{
		cfg: cfg, mux: http.NewServeMux(), html: assemble(), origin: http.NewCrossOriginProtection(),
		streams: make(chan struct{}, cfg.Streams), turning: make(chan struct{}, 1), ended: make(chan struct{}),
		view: newView(cfg.World, cfg.Every), fresh: make(chan struct{}), injected: map[string]injection{},
	}
	p.latest = p.view.look(nil)
	p.mux.HandleFunc("GET /{$}", p.index)
	p.mux.HandleFunc("GET /events", p.events)
	p.mux.HandleFunc("POST /faults", p.inject)
	p.mux.HandleFunc("DELETE /faults/{id}", p.heal)
	p.mux.HandleFunc("POST /load", p.load)
	p.mux.HandleFunc("POST /balance", p.balance)
	return p
}

// Run looks at the world and heals what is due, until ctx ends. Then it heals
// what is left of the faults injected here, ends all event streams, and
// returns. It is called once.
func (p *Page) Run(ctx context.Context) error {
	defer close(p.ended)
	var healing sync.WaitGroup
	defer healing.Wait()
	tick := time.NewTicker(p.cfg.Every)
	defer tick.Stop()
	for {
		done := false
		select {
		case <-ctx.Done():
			done = true
		case <-tick.C:
		}
		for _, i := range p.due(done || p.cfg.World.Healed()) {
			healing.Go(i.heal)
		}
		p.look()
		if done {
			return nil
		}
	}
}

// look takes a sample and tells the streams.
func (p *Page) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest = p.view.look(p.injected)
	close(p.fresh)
	p.fresh = make(chan struct{})
}

// now is the last sample, and what is closed when there is another one.
func (p *Page) now() (Snapshot, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest, p.fresh
}
