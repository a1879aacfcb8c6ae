package trace

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"strconv"
	"strings"
	"time"
)

//go:embed timeline.html
var page string

//go:embed timeline.js
var script string

// picture is what the page draws. Texts are named by their place in a list.
type picture struct {
	Meta  Meta      `json:"meta"`
	Hosts []string  `json:"hosts"`
	Texts []string  `json:"texts"`
	Calls [][]int64 `json:"calls"` // begin and length in µs, host, name, outcome, id, peer, 1 for a request
	Marks [][]int64 `json:"marks"` // time and length in µs, kind, host or -1, name, detail, id
	Kinds []Kind    `json:"kinds"`
	End   int64     `json:"end"` // µs
}

// WriteTimeline writes a page for a browser that shows the events on a line for
// each host. It is one file, which needs no network.
func WriteTimeline(w io.Writer, events []Event, meta Meta) error {
	data, err := json.Marshal(paint(events, meta)) // it escapes <, > and & in texts
	if err != nil {
		return fmt.Errorf("write the timeline: %w", err)
	}
	sum := sha256.Sum256([]byte(script))
	out := strings.NewReplacer(
		"@TITLE@", html.EscapeString(fmt.Sprintf("%s, seed %d", meta.Scenario, meta.Seed)),
		"@HASH@", base64.StdEncoding.EncodeToString(sum[:]),
		"@SCRIPT@", script,
		"@DATA@", string(bytes.ReplaceAll(data, []byte("</"), []byte("<\\/"))),
	).Replace(page)
	if _, err := io.WriteString(w, out); err != nil {
		return fmt.Errorf("write the timeline: %w", err)
	}
	return nil
}

// texts is a list in which each text is once.
type texts struct {
	all []string
	at  map[string]int64
}

func (t *texts) of(s string) int64 {
	if i, ok := t.at[s]; ok {
		return i
	}
	t.at[s] = int64(len(t.all))
	t.all = append(t.all, s)
	return t.at[s]
}

func paint(events []Event, meta Meta) picture {
	p := picture{Meta: meta, Hosts: append([]string{}, Hosts(events)...), Kinds: []Kind{Fault, Heal, State, Violation, Fact, Log, Count}, Calls: [][]int64{}, Marks: [][]int64{}}
	host := map[string]int64{"": -1}
	for i, h := range p.Hosts {
		host[h] = int64(i)
	}
	place := func(h string) int64 {
		if i, ok := host[h]; ok {
			return i
		}
		return -1
	}
	kinds := map[Kind]int64{}
	for i, k := range p.Kinds {
		kinds[k] = int64(i)
	}
	t := &texts{at: map[string]int64{}}
	t.of("")
	for _, e := range events {
		p.End = max(p.End, e.At.Microseconds())
		switch e.Kind {
		case Call, Request:
			request := int64(0)
			if e.Kind == Request {
				request = 1
			}
			p.Calls = append(p.Calls, []int64{
				(e.At - e.Took).Microseconds(), e.Took.Microseconds(), place(e.Host), t.of(e.Name), t.of(e.Detail), t.of(e.ID), place(e.Peer), request,
			})
		case Count:
			p.Marks = append(p.Marks, []int64{e.At.Microseconds(), 0, kinds[e.Kind], place(e.Host), t.of(e.Name), t.of(strconv.FormatFloat(e.Value, 'g', -1, 64)), 0})
		default:
			at, took := e.At, e.Took
			if e.Kind != Fault {
				took = 0
			}
			p.Marks = append(p.Marks, []int64{at.Microseconds(), took.Microseconds(), kinds[e.Kind], place(e.Host), t.of(e.Name), t.of(e.Detail), t.of(e.ID)})
		}
	}
	p.Texts = t.all
	p.End += (100 * time.Millisecond).Microseconds()
	return p
}
