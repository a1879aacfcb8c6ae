package balance_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
)

func TestAReportTellsWhyTheLastPickFellAsItDid(t *testing.T) {
	in(t, balance.Config{Role: "greeter", Policy: policy.PeakEWMA{}}, func(t *testing.T, w *world) {
		w.Update(endpoints("a", "b@west"), 3)
		require.Equal(t, balance.Last{}, w.Explain().Last)
		f, _ := w.Pick(balance.Call{})
		g, _ := w.Pick(balance.Call{})
		require.NotEqual(t, f.Peer, g.Peer)
		time.Sleep(10 * time.Millisecond)
		r := w.Explain()
		require.Equal(t, "greeter", r.Role)
		require.Equal(t, "peak_ewma", r.Policy)
		require.Equal(t, 3, r.Listed)
		require.Equal(t, 2, r.Reachable)
		require.Equal(t, g.Peer.ID(), r.Last.Instance)
		require.Equal(t, f.Peer.ID(), r.Last.Over)
		require.Less(t, r.Last.Score, r.Last.OverThan)
		require.Equal(t, "lower cost", r.Last.Why)
		require.Equal(t, 10*time.Millisecond, r.Last.Ago)
		f.Done(balance.OK)
		g.Done(balance.Failed)
		row := w.row(g.Peer.ID())
		require.EqualValues(t, 1, row.Calls)
		require.EqualValues(t, 1, row.Failures)
		require.Equal(t, "b:1", w.row("b").Addr)
		require.Equal(t, "west", w.row("b").Zone)
	})
}
