package quality_test

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/balance/quality"
)

// A fixed entrant always picks the same instance, and counts.
type fixed struct {
	to      int
	updates [][]quality.Instance
	ended   []balance.Outcome
	closed  bool
}

func (f *fixed) Update(set []quality.Instance) { f.updates = append(f.updates, set) }

func (f *fixed) Pick() (int, func(balance.Outcome, quality.Report)) {
	return f.to, func(o balance.Outcome, _ quality.Report) { f.ended = append(f.ended, o) }
}

func (f *fixed) Close() { f.closed = true }

func (f *fixed) maker() quality.Maker {
	return quality.Maker{Name: "fixed", New: func(quality.Ground) quality.Entrant { return f }}
}

func scenario(t *testing.T, name string) quality.Scenario {
	for _, s := range quality.Scenarios() {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "there is no scenario "+name)
	return quality.Scenario{}
}

func TestEveryCallThatReachesTheBadInstanceCounts(t *testing.T) {
	bad, good := &fixed{}, &fixed{to: 1}
	r := quality.Run(quality.Config{Scenario: scenario(t, "slow"), Maker: bad.maker(), Calls: 100})
	require.Equal(t, 100, r.Calls)
	require.Equal(t, 100.0, r.Share())
	require.Equal(t, time.Second, r.P50.Round(time.Microsecond))
	require.Len(t, bad.ended, 100)
	require.True(t, bad.closed)

	r = quality.Run(quality.Config{Scenario: scenario(t, "slow"), Maker: good.maker(), Calls: 100})
	require.Zero(t, r.Share())
	require.Equal(t, 10*time.Millisecond, r.P99.Round(time.Millisecond))
}

func TestCallsWithoutAnAnswerAreGivenUp(t *testing.T) {
	f := &fixed{}
	r := quality.Run(quality.Config{Scenario: scenario(t, "hang"), Maker: f.maker(), Calls: 800})
	require.Equal(t, 402, r.Lost, "those of 2 s, and two that were on their way")
	require.Equal(t, 400, r.Bad)
	require.Equal(t, quality.Patience, r.P99)
	require.Len(t, f.ended, 800)
}

func TestCallsThatWarmUpDoNotCount(t *testing.T) {
	f := &fixed{}
	m := f.maker()
	m.Warm = 5 * time.Second
	r := quality.Run(quality.Config{Scenario: scenario(t, "slow"), Maker: m, Calls: 100})
	require.Equal(t, 100, r.Calls)
	require.InDelta(t, 1100, len(f.ended), 1)
	require.Equal(t, 100.0, r.Share())
}

func TestWhoPicksNobodyLosesTheCall(t *testing.T) {
	r := quality.Run(quality.Config{Scenario: scenario(t, "slow"), Maker: (&fixed{to: -1}).maker(), Calls: 10})
	require.Equal(t, 10, r.Lost)
}

func TestTheListChanges(t *testing.T) {
	for name, sizes := range map[string][]int{
		"slow":         {4},
		"new instance": {3, 4},
		"zone refuses": {4, 2},
	} {
		f := &fixed{to: 1}
		quality.Run(quality.Config{Scenario: scenario(t, name), Maker: f.maker(), Instances: 4})
		var got []int
		for _, set := range f.updates {
			got = append(got, len(set))
		}
		require.Equal(t, sizes, got, name)
	}
	f := &fixed{}
	quality.Run(quality.Config{Scenario: scenario(t, "churn"), Maker: f.maker(), Instances: 4})
	require.Len(t, f.updates, 1+40)
}

func TestScenariosSayWhatTheyAre(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range quality.Scenarios() {
		require.NotEmpty(t, s.Doc, s.Name)
		require.False(t, seen[s.Name], s.Name)
		require.False(t, s.Shares && s.Losses, s.Name)
		seen[s.Name] = true
	}
}

func TestTheirRoundRobinTakesTurns(t *testing.T) {
	e := quality.Theirs()[0].New(quality.Ground{})
	count := func(calls int) map[int]int {
		n := make(map[int]int)
		for range calls {
			to, done := e.Pick()
			done(balance.OK, quality.Report{})
			n[to]++
		}
		return n
	}
	e.Update([]quality.Instance{{Number: 0}, {Number: 1}, {Number: 7}})
	require.Equal(t, map[int]int{0: 10, 1: 10, 7: 10}, count(30))
	e.Update([]quality.Instance{{Number: 1}, {Number: 7}})
	require.Equal(t, map[int]int{1: 10, 7: 10}, count(20))
}

func TestTheirLeastRequestCountsCalls(t *testing.T) {
	e := quality.Theirs()[2].New(quality.Ground{})
	e.Update([]quality.Instance{{Number: 0}, {Number: 1}})
	busy, _ := e.Pick()
	toBusy := 0
	for range 2000 {
		to, done := e.Pick()
		if to == busy {
			toBusy++
		}
		done(balance.OK, quality.Report{})
	}
	// It may draw the same instance ten times: one pick of 1,024.
	require.Less(t, toBusy, 30, "it is one in flight ahead")
}

func TestANameThatNobodyHasIsASlip(t *testing.T) {
	require.Panics(t, func() { quality.Ours("no such policy").New(quality.Ground{}) })
	require.Panics(t, func() { quality.GRPC{Name: "no such policy"}.Maker("").New(quality.Ground{}) })
	require.Panics(t, func() {
		quality.GRPC{Name: "least_request_experimental", Config: `{"choiceCount": 1}`}.Maker("").New(quality.Ground{})
	})
}

func bench(t *testing.T) []quality.Result {
	results, err := quality.Bench{
		Makers:    []quality.Maker{quality.Ours(policy.Names()[0]), {Name: `a <b> & "c"`, New: quality.Ours("random").New}},
		Scenarios: []quality.Scenario{scenario(t, "slow"), scenario(t, "hang")},
		Sizes:     []int{2, 3}, Ramp: 5,
	}.Run(t.Context())
	require.NoError(t, err)
	return results
}

func TestABenchIsInOrder(t *testing.T) {
	results := bench(t)
	require.Len(t, results, 2*2*2+2*9)
	require.Equal(t, policy.Names()[0], results[0].Entrant)
	require.Equal(t, "slow", results[1].Scenario)
	require.Equal(t, 3, results[1].Instances)
	require.Equal(t, "hang", results[2].Scenario)
	require.InDelta(t, 0.75, results[8].Offered, 0.001)
	require.InDelta(t, 1.74, results[16].Offered, 0.01)
	for _, r := range results[8:] {
		require.InDelta(t, r.Offered*10*5*2/0.08125, float64(r.Calls), 0.1*float64(r.Calls), "10 s of 5 times 2 processors, at %.2f", r.Offered)
	}
	require.Equal(t, results, bench(t))
}

func TestABenchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := quality.Bench{Makers: []quality.Maker{quality.Ours("")}}.Run(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestATableLinesUp(t *testing.T) {
	var out strings.Builder
	require.NoError(t, quality.Table(&out, []quality.Result{
		{Entrant: "one", Scenario: "slow", Instances: 2, Bad: 1, During: 200},
		{Entrant: "one", Scenario: "slow", Instances: 10, Bad: 50, During: 200},
		{Entrant: "one", Scenario: "churn", Instances: 2, Bad: 200, During: 200},
		{Entrant: "the other", Scenario: "slow", Instances: 10, During: 200},
		{Entrant: "one", Scenario: "hang", Instances: 2, Lost: 7},
	}))
	require.Equal(t, `
calls that reached the bad instance, %
                                  slow            churn
                                   n=2    n=10     n=2
one                               0.50   25.00  100.00
the other                                 0.00        

calls lost, of 2000
                                  hang
                                   n=2
one                                  7

slow: one instance takes 1 s, the others 10 ms
churn: the same, and the list changes every 250 ms
hang: one instance stops answering after 2 s
`, out.String())
	require.NoError(t, quality.Table(&out, bench(t)))
	require.Contains(t, out.String(), "ramp: p99.9 ms")
	require.ErrorIs(t, quality.Table(broken{}, nil), errBroken)
}

func TestAPictureIsWellFormedAndNeedsNothingElse(t *testing.T) {
	var out strings.Builder
	require.NoError(t, quality.SVG(&out, bench(t)))
	counts := make(map[string]int)
	var words strings.Builder
	for d := xml.NewDecoder(strings.NewReader(out.String())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			counts[token.Name.Local]++
			for _, a := range token.Attr {
				require.NotContains(t, []string{"href", "src", "onload"}, a.Name.Local)
			}
		case xml.CharData:
			words.Write(token)
		}
	}
	require.Equal(t, 4, counts["circle"], "two entrants, two numbers of instances, one scenario of shares")
	require.Equal(t, 2, counts["polyline"], "a line for each")
	require.Zero(t, counts["script"])
	require.Contains(t, words.String(), `a <b> & "c"`)
	require.ErrorIs(t, quality.SVG(broken{}, nil), errBroken)
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }
