package app

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"example.com/app/platform/balance"
)

// Picks is how one instance shares its calls to one role.
type Picks struct {
	Caller string // the instance that calls, by host
	Subset int    `json:",omitempty"` // it calls so many instances at most
	balance.Report
}

// picks are those of all instances of the node, to one role or to all.
func (n *Node) picks(role string) []Picks {
	all := []Picks{}
	for _, in := range n.instances {
		for _, r := range in.balancers.reports() {
			if role == "" || role == r.Role {
				all = append(all, Picks{in.host, n.cfg.balance(r.Role).Subset, r})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Picks) int { return cmp.Compare(a.Role, b.Role) })
	return all
}

// balance says how calls are shared.
func (a *admin) balance(w http.ResponseWriter, r *http.Request) {
	all := a.node.picks(r.URL.Query().Get("role"))
	if r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json") {
		body, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			plain(w, http.StatusInternalServerError, err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
		return
	}
	var text bytes.Buffer
	for i, p := range all {
		if i > 0 {
			text.WriteByte('\n')
		}
		_ = p.Print(&text) // into memory
	}
	plain(w, http.StatusOK, text.String())
}

// Print writes the report for people to read.
func (p Picks) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) } // Flush tells
	line("%s calls %s: %s, %d of %d instances can be reached%s", p.Caller, p.Role, p.Policy, p.Reachable, p.Listed, p.circumstances())
	if p.Explained != "" {
		line("%s", p.Explained)
	}
	line("INSTANCE\tADDRESS\tZONE\tSTATE\tWEIGHT\tIN FLIGHT\tLATENCY\tSUCCESS\tCOST\tCALLS\tFAILURES")
	for _, r := range p.Peers {
		state := string(r.State)
		if r.Why != "" {
			state += ": " + r.Why
		}
		if r.For > 0 {
			state += ", " + round(r.For).String() + " more"
		}
		line("%s\t%s\t%s\t%s\t%.2g\t%d\t%v\t%.1f%%\t%.3g\t%d\t%d", r.ID, r.Addr, cmp.Or(r.Zone, "-"), state,
			r.Weight, r.InFlight, round(r.Latency), 100*r.Success, r.Cost, r.Calls, r.Failures)
	}
	line("%s", p.last())
	return t.Flush()
}

// circumstances are what is not as usual.
func (p Picks) circumstances() (text string) {
	if p.Subset > 0 {
		text += fmt.Sprintf(", of a subset of %d", p.Subset)
	}
	if p.Zone != "" {
		text += ", zone " + p.Zone + " first"
	}
	if p.Spilling {
		text += ", but it is slow: calls go elsewhere"
	}
	if p.Panic {
		text += ", too few are fit: all are called"
	}
	return text
}

// last tells why the last pick fell as it did.
func (p Picks) last() string {
	l := p.Last
	switch {
	case l.Instance == "":
		return "No call was sent yet."
	case l.Over == "":
		return fmt.Sprintf("The last call went to %s, %v ago: %s.", l.Instance, round(l.Ago), l.Why)
	default:
		return fmt.Sprintf("The last call went to %s rather than %s, %v ago: %s (%s).",
			l.Instance, l.Over, round(l.Ago), l.Why, scores(l.Score, l.OverThan))
	}
}

// scores prints two scores of a policy, both in one unit. Policies that go by
// time count nanoseconds; what others count stays far below.
func scores(x, y float64) string {
	if max(x, y) >= float64(10*time.Microsecond) {
		return fmt.Sprintf("%.3g ms against %.3g", x/float64(time.Millisecond), y/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.3g against %.3g", x, y)
}

// round keeps about three digits.
func round(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for unit*1000 <= d {
		unit *= 10
	}
	return d.Round(unit)
}
