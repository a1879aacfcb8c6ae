package page

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/app/sim/fault"
)

// An injection is a fault that was injected here.
type injection struct {
	number int
	fault  fault.Fault // At is when it was
	heal   func()      // may be called twice
}

// most is how many faults may be at work at a time.
const most = 64

// inject reads a sentence, with or without its time: faults happen at once.
func (p *Page) inject(w http.ResponseWriter, r *http.Request) {
	text, ok := body(w, r)
	if !ok {
		return
	}
	text = strings.TrimSpace(text)
	first, _, _ := strings.Cut(text, " ")
	if _, err := time.ParseDuration(first); err != nil {
		text = "0s " + text
	}
	f, err := fault.Parse(text)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if p.cfg.World.Healed() {
		refuse(w, http.StatusConflict, "all has been healed: the run is about to end")
		return
	}
	id, err := p.begin(f)
	switch {
	case errors.Is(err, errMany):
		refuse(w, http.StatusTooManyRequests, err.Error())
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
	default:
		answer(w, http.StatusCreated, map[string]string{"id": id})
	}
}

var errMany = fmt.Errorf("%d faults are at work: heal some first", most)

// begin injects a fault. Its time makes its sentence one of a kind.
func (p *Page) begin(f fault.Fault) (id string, err error) {
	p.mu.Lock()
	p.last++
	number, many := p.last, len(p.injected) >= most
	p.mu.Unlock()
	if many {
		return "", errMany
	}
	f.At = p.cfg.World.Time().Truncate(time.Millisecond) + time.Duration(number%1000)*time.Microsecond
	heal, err := p.cfg.World.Inject(f)
	if err != nil {
		return "", err
	}
	id = strconv.Itoa(number)
	if f.Kind.Once() {
		return id, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.injected[id] = injection{number, f, heal}
	return id, nil
}

// due takes the faults off the list whose time is over, or all.
func (p *Page) due(all bool) []injection {
	now := p.cfg.World.Time()
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []injection
	for id, i := range p.injected {
		if end, ok := i.fault.End(); all || ok && end <= now {
			list = append(list, i)
			delete(p.injected, id)
		}
	}
	slices.SortFunc(list, func(a, b injection) int { return cmp.Compare(a.number, b.number) })
	return list
}

func (p *Page) heal(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	p.mu.Lock()
	i, ok := p.injected[id]
	delete(p.injected, id)
	p.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "there is no such fault, or it has been healed")
		return
	}
	i.heal()
	w.WriteHeader(http.StatusNoContent)
}

func (p *Page) load(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Rate float64 `json:"rate"`
	}
	if !read(w, r, &in) {
		return
	}
	if err := p.cfg.World.SetRate(in.Rate); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// balance answers when the last instance has been restarted.
func (p *Page) balance(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Policy string `json:"policy"`
	}
	if !read(w, r, &in) {
		return
	}
	select {
	case p.turning <- struct{}{}:
		defer func() { <-p.turning }()
	default:
		refuse(w, http.StatusConflict, "the policy is being changed: wait until it is")
		return
	}
	if err := p.cfg.World.SetBalance(r.Context(), in.Policy); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// body is the whole body; without it the answer has been given.
func body(w http.ResponseWriter, r *http.Request) (string, bool) {
	text, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", large.Limit))
	case err != nil:
		refuse(w, http.StatusBadRequest, "the body broke off")
	}
	return string(text), err == nil
}

// read reads a body in JSON; without it the answer has been given.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	text, ok := body(w, r)
	if !ok {
		return false
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("there is more than one value")
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "read the body as JSON: "+err.Error())
	}
	return err == nil
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client went away; nobody is left to tell
}
