// Package fake is a Consul agent without Consul: the part of its HTTP API that
// programs use, over a state in memory, with faults that can be injected while
// it runs.
//
// An [Agent] is an http.Handler. It asks nobody for the time but package time,
// so that on a memory network it lives in virtual time too; what it answers is
// compared with a real agent by the tests of consultest.
//
//	client ──HTTP── Agent ── what it was told ──sync── state.Store ── other Agents
//	                  └ faults
package fake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"example.com/app/platform/registry/consul/consultest/state"
)

// An Agent is what a program talks to. Use New. It may be served on any number
// of listeners, and its methods may be called from many goroutines.
type Agent struct {
	node   string
	home   *state.Store
	abroad map[string]*state.Store // by name of the datacentre

	mu     sync.Mutex
	local  local
	faults []*injection
	turned chan struct{} // closed when the faults change
	held   int           // questions that wait now
	most   int           // of them at once so far
}

// New returns the agent of a node of the datacentre that home keeps. Its
// questions reach the other datacentres too.
func New(node string, home *state.Store, abroad ...*state.Store) *Agent {
	a := &Agent{
		node: node, home: home, abroad: map[string]*state.Store{home.Datacenter(): home},
		local: newLocal(), turned: make(chan struct{}),
	}
	for _, s := range abroad {
		a.abroad[s.Datacenter()] = s
	}
	home.Join(node, "127.0.0.1")
	return a
}

// Held returns how many questions wait for a change now, and how many did at
// most at once.
func (a *Agent) Held() (now, most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held, a.most
}

// hold counts a question that waits; what it returns counts it out.
func (a *Agent) hold() func() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held++
	a.most = max(a.most, a.held)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.held--
	}
}

// ServeHTTP implements http.Handler. A question under way is put again when
// the faults change, and answered without waiting, so that they spoil it, or
// spare it, at once.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for again := false; ; again = true {
		serve, turned := a.chain()
		x := &Exchange{
			Request: r, Status: http.StatusOK, Header: http.Header{},
			agent: a, store: a.home, turned: turned, hurried: again,
		}
		serve(x)
		if r.Context().Err() != nil || x.Cut {
			panic(http.ErrAbortHandler) // nobody is to get an answer
		}
		if r.Method != http.MethodGet || !over(turned) {
			x.write(w)
			return
		}
	}
}

func over(turned <-chan struct{}) bool {
	select {
	case <-turned:
		return true
	default:
		return false
	}
}

// An Exchange is a request and the answer to it as it comes about.
type Exchange struct {
	Request *http.Request
	Status  int
	Header  http.Header
	Body    []byte
	Cut     bool // the connection ends without an answer

	agent      *Agent
	store      *state.Store    // that answers
	turned     <-chan struct{} // closed when this answer is no longer wanted
	hurried    bool            // it has waited already: answer now
	leaderless bool
}

func (x *Exchange) write(w http.ResponseWriter) {
	for key, values := range x.Header {
		w.Header()[key] = values
	}
	w.WriteHeader(x.Status)
	_, _ = w.Write(x.Body)
}

// refuse answers with a status and a text.
func (x *Exchange) refuse(status int, text string) {
	x.Header = http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "X-Consul-Default-Acl-Policy": {"allow"}}
	x.Status, x.Body = status, []byte(text)
}

// A refusal is an error with the status code that Consul gives it.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

func refused(status int, format string, args ...any) error {
	return refusal{status, fmt.Sprintf(format, args...)}
}

// A route is an endpoint: a path, or the beginning of one if it ends in a
// slash.
type route struct {
	path    string
	methods string // that are allowed, with commas
	serve   func(x *Exchange, rest string) (any, error)
}

// answer lets the endpoint of a path answer.
func (a *Agent) answer(x *Exchange) {
	path := strings.TrimPrefix(x.Request.URL.Path, "/v1/")
	for _, r := range a.routes() {
		rest, under := strings.CutPrefix(path, r.path)
		if !under || rest != "" && !strings.HasSuffix(r.path, "/") {
			continue
		}
		x.Header.Set("X-Consul-Default-Acl-Policy", "allow")
		if !strings.Contains(r.methods+",", x.Request.Method+",") {
			x.refuse(http.StatusMethodNotAllowed, "method "+x.Request.Method+" not allowed")
			x.Header.Set("Allow", "OPTIONS,"+r.methods)
			return
		}
		x.reply(r.serve(x, rest))
		return
	}
	x.refuse(http.StatusNotFound, "Invalid URL path: not a recognized HTTP API endpoint\n") //nolint:misspell // Consul's own words
	x.Header.Del("X-Consul-Default-Acl-Policy")
}

// reply turns what an endpoint returned into an answer.
func (x *Exchange) reply(body any, err error) {
	if err != nil {
		status := http.StatusInternalServerError
		if r, ok := err.(refusal); ok { //nolint:errorlint // endpoints return it bare
			status = r.status
		}
		x.refuse(status, err.Error())
		return
	}
	if body == nil {
		if x.Status == http.StatusOK {
			x.Header.Set("Content-Type", "application/json")
		}
		return
	}
	if _, raw := body.([]byte); raw {
		return // the endpoint has seen to it
	}
	x.Header.Set("Content-Type", "application/json")
	if x.Body, err = json.Marshal(body); err != nil {
		x.refuse(http.StatusInternalServerError, err.Error())
	}
}

// routes are the endpoints, of two with a common beginning the longer first.
func (a *Agent) routes() []route {
	return []route{
		{"agent/self", "GET", a.self},
		{"agent/services", "GET", a.services},
		{"agent/checks", "GET", a.checks},
		{"agent/service/register", "PUT", a.register},
		{"agent/service/deregister/", "PUT", a.deregister},
		{"agent/service/maintenance/", "PUT", a.serviceMaintenance},
		{"agent/service/", "GET", a.service},
		{"agent/maintenance", "PUT", a.nodeMaintenance},
		{"agent/check/pass/", "PUT", a.note("passing")},
		{"agent/check/warn/", "PUT", a.note("warning")},
		{"agent/check/fail/", "PUT", a.note("critical")},
		{"agent/check/update/", "PUT", a.update},
		{"agent/check/deregister/", "PUT", a.deregisterCheck},
		{"health/service/", "GET", healthService},
		{"health/state/", "GET", healthState},
		{"catalog/datacenters", "GET", a.datacenters},
		{"catalog/nodes", "GET", catalogNodes},
		{"catalog/services", "GET", catalogServices},
		{"catalog/service/", "GET", catalogService},
		{"kv/", "GET,PUT,DELETE", kv},
		{"txn", "PUT", txn},
		{"session/create", "PUT", a.createSession},
		{"session/destroy/", "PUT", destroySession},
		{"session/renew/", "PUT", renewSession},
		{"session/info/", "GET", infoSession},
		{"session/list", "GET", listSessions},
		{"status/leader", "GET", leader},
		{"status/peers", "GET", peers},
	}
}
