package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// silence is how long a stream may be silent before it sends a comment, so that
// nobody between takes it for dead.
const silence = 15 * time.Second

// patience is how long a reader may take to take an event in.
const patience = 10 * time.Second

// events sends what the page needs to begin, with the past that its reader has
// not seen, then each sample.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	select {
	case p.streams <- struct{}{}:
		defer func() { <-p.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, "there are too many event streams: close a page")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	seen, err := strconv.Atoi(r.Header.Get("Last-Event-ID"))
	if err != nil || seen < 0 {
		seen = 0
	}
	s, fresh := p.now()
	if !send(w, out, "hello", s.Number, p.hello(seen)) || !send(w, out, "sample", s.Number, s) {
		return
	}
	beat := time.NewTicker(silence)
	defer beat.Stop()
	for {
		var ok bool
		select {
		case <-fresh:
			s, fresh = p.now()
			ok = send(w, out, "sample", s.Number, s)
		case <-beat.C:
			_, err := fmt.Fprint(w, ": still here\n\n")
			ok = err == nil && out.Flush() == nil
		case <-p.ended:
		case <-r.Context().Done():
		}
		if !ok {
			return
		}
	}
}

// send sends one event, and says whether somebody may still be there.
func send(w http.ResponseWriter, out *http.ResponseController, name string, id int, v any) bool {
	text, err := json.Marshal(v)
	if err != nil {
		return false
	}
	_ = out.SetWriteDeadline(time.Now().Add(patience)) // where there is none, the server has its own
	_, err = fmt.Fprintf(w, "event: %s\nid: %d\nretry: 1000\ndata: %s\n\n", name, id, text)
	return err == nil && out.Flush() == nil
}

// hello is the past after a sample.
func (p *Page) hello(seen int) Hello {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view.hello(seen)
}
