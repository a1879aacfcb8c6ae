package trace_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/sim/trace"
)

func TestALineSaysEverythingOnce(t *testing.T) {
	for want, e := range map[string]trace.Event{
		"12.003456789s call greeter-2 <- gateway-1 /greeter.v1.Greeter/SayHello OK +0.001200000s #r7": {
			At: 12003456789, Kind: trace.Call, Host: "greeter-2", Peer: "gateway-1", Name: "/greeter.v1.Greeter/SayHello", Detail: "OK", Took: 1200 * time.Microsecond, ID: "r7",
		},
		`0.000000001s fault greeter-1 "3s crash greeter-1 for 2s" crash +2.000000000s`: {
			At: 1, Kind: trace.Fault, Host: "greeter-1", Name: "3s crash greeter-1 for 2s", Detail: "crash", Took: 2 * time.Second,
		},
		`1.500000000s fact orders-1 order.created "a \"b\"\nc" #x`: {At: 1500 * time.Millisecond, Kind: trace.Fact, Host: "orders-1", Name: "order.created", Detail: "a \"b\"\nc", ID: "x"},
		`1.000000000s count greeter-1 queue =2.5`:                  {At: time.Second, Kind: trace.Count, Host: "greeter-1", Name: "queue", Value: 2.5},
		`1.000000000s fact - "#1" "+x"`:                            {At: time.Second, Kind: trace.Fact, Name: "#1", Detail: "+x"},
	} {
		require.Equal(t, want, string(e.Append(nil)))
	}
}

func FuzzLinesAreLines(f *testing.F) {
	f.Add("a", "b c", "d\ne", int64(5))
	f.Fuzz(func(t *testing.T, host, name, detail string, at int64) {
		e := trace.Event{At: time.Duration(at), Kind: trace.Fact, Host: host, Name: name, Detail: detail, ID: host}
		require.NotContains(t, string(e.Append(nil)), "\n")
		if other := (trace.Event{At: time.Duration(at), Kind: trace.Fact, Host: host, Name: name, Detail: detail + "x", ID: host}); detail != "" {
			require.NotEqual(t, string(e.Append(nil)), string(other.Append(nil)))
		}
	})
}

func TestAppendingAllocatesNothing(t *testing.T) {
	e := trace.Event{At: 12003456789, Kind: trace.Call, Host: "greeter-2", Peer: "gateway-1", Name: "/a", Detail: "OK", Took: 5, ID: "r7"}
	b := make([]byte, 0, 200)
	require.Zero(t, testing.AllocsPerRun(100, func() { b = e.Append(b[:0]) }))
}

func TestATraceKeepsTheLastAndHashesAll(t *testing.T) {
	var lines bytes.Buffer
	all := trace.New(trace.Config{Begin: time.Now(), Lines: &lines})
	few := trace.New(trace.Config{Begin: time.Now(), Limit: 3})
	for i := range 10 {
		e := trace.Event{At: time.Duration(i + 1), Kind: trace.Fact, Name: strconv.Itoa(i)}
		all.Add(e)
		few.Add(e)
	}
	require.Equal(t, all.Hash(), few.Hash())
	require.Len(t, all.Hash(), 64)
	require.Equal(t, 10, few.Len())
	require.Len(t, all.Events(), 10)
	var names []string
	for _, e := range few.Events() {
		names = append(names, e.Name)
	}
	require.Equal(t, []string{"7", "8", "9"}, names)
	require.Equal(t, 10, strings.Count(lines.String(), "\n"))
	since, next := few.Since(8)
	require.Equal(t, 10, next)
	require.Len(t, since, 2)
	require.Equal(t, "8", since[0].Name)
	since, _ = few.Since(0)
	require.Len(t, since, 3)
	all.Add(trace.Event{At: 11, Kind: trace.Fact})
	require.NotEqual(t, all.Hash(), few.Hash())
}

func TestATraceTellsThatItsLinesAreLost(t *testing.T) {
	tr := trace.New(trace.Config{Begin: time.Now(), Lines: full{}})
	tr.Add(trace.Event{Kind: trace.Fact})
	require.EqualError(t, tr.Err(), "disk full")
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestManyAddAtOnce(t *testing.T) {
	tr := trace.New(trace.Config{Begin: time.Now()})
	var adding sync.WaitGroup
	for range 8 {
		adding.Go(func() {
			for range 100 {
				tr.Add(trace.Event{Kind: trace.Fact, Name: "x"})
			}
		})
	}
	adding.Wait()
	require.Equal(t, 800, tr.Len())
}

func TestDiffFindsTheFirstLineThatDiffers(t *testing.T) {
	for _, c := range []struct {
		a, b        string
		line        int
		left, right string
	}{
		{"1\n2\n3\n", "1\n2\n3\n", 0, "", ""},
		{"1\n2\n3\n", "1\nx\n3\n", 2, "2", "x"},
		{"1\n2\n", "1\n2\n3\n", 3, "", "3"},
		{"1\n", "", 1, "1", ""},
	} {
		line, left, right, err := trace.Diff(strings.NewReader(c.a), strings.NewReader(c.b))
		require.NoError(t, err)
		require.Equal(t, c.line, line)
		require.Equal(t, c.left, left)
		require.Equal(t, c.right, right)
	}
	_, _, _, err := trace.Diff(strings.NewReader(strings.Repeat("x", 2<<20)), strings.NewReader(""))
	require.ErrorContains(t, err, "compare traces: line 1: ")
}

// story is a run with a failure: an order is created twice.
func story() []trace.Event {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	return []trace.Event{
		{At: ms(1), Kind: trace.State, Host: "orders-1", Name: "up"},
		{At: ms(500), Took: ms(4), Kind: trace.Request, Host: "user", Name: "POST /orders", Detail: "OK", ID: "r1"},
		{At: ms(900), Took: ms(400), Kind: trace.Fault, Host: "orders-1", Name: "0.8s lose-reply orders-1 1 for 400ms", Detail: "lose-reply"},
		{At: ms(1001), Kind: trace.Fact, Host: "orders-1", Name: "order.created", Detail: "r2"},
		{At: ms(1002), Took: ms(2), Kind: trace.Call, Host: "orders-1", Peer: "gateway-1", Name: "/Orders/Create", Detail: "Unavailable", ID: "r2"},
		{At: ms(1051), Kind: trace.Fact, Host: "orders-2", Name: "order.created", Detail: `r2 </script><script>alert("x")</script>`},
		{At: ms(1052), Kind: trace.Violation, Name: "no order twice", Detail: "order r2", ID: "r2"},
		{At: ms(1053), Took: ms(2), Kind: trace.Call, Host: "orders-2", Peer: "gateway-1", Name: "/Orders/Create", Detail: "OK", ID: "r2"},
		{At: ms(1054), Took: ms(54), Kind: trace.Call, Host: "gateway-1", Peer: "user", Name: "POST /orders", Detail: "OK", ID: "r2"},
		{At: ms(1055), Took: ms(56), Kind: trace.Request, Host: "user", Name: "POST /orders", Detail: "OK", ID: "r2"},
		{At: ms(1300), Kind: trace.Heal, Host: "orders-1", Name: "0.8s lose-reply orders-1 1 for 400ms", Detail: "lose-reply"},
	}
}

func meta() trace.Meta {
	return trace.Meta{Scenario: "a <shop>", Seed: 7, Hash: "0123456789ab", Version: "v1"}
}

func TestTheStoryEndsWithWhatBroke(t *testing.T) {
	var b strings.Builder
	require.NoError(t, trace.WriteStory(&b, story(), meta()))
	require.Equal(t, `      0.001s  orders-1  is up
      0.900s            ✗ lose-reply orders-1 1 for 400ms
      1.001s  orders-1  order.created r2
      1.002s  orders-1  ← gateway-1 /Orders/Create: Unavailable (2ms)
      1.051s  orders-2  order.created r2 </script><script>alert("x")</script>
      1.052s            ‼ no order twice: order r2
`, b.String())
	require.NoError(t, trace.WriteStory(&b, nil, meta()))
}

func TestADiagramOfTheLastMoments(t *testing.T) {
	var b strings.Builder
	require.NoError(t, trace.WriteMermaid(&b, story(), meta()))
	for _, want := range []string{
		"sequenceDiagram\n    title a ‹shop›, seed 7\n", "participant h0 as orders-1", "as gateway-1",
		"->>h0: /Orders/Create\n", "--x", "Note over h0,h2: violation no order twice order r2",
	} {
		require.Contains(t, b.String(), want)
	}
	require.NotContains(t, b.String(), "<script>")
}

func TestPerfettoGetsItsSlicesArrowsAndCounters(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, trace.WriteChrome(&b, story(), meta()))
	var got struct {
		TraceEvents []struct {
			Name, Ph, ID string
			Pid, Tid     int
			Ts, Dur      float64
			Args         map[string]any
		}
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &got))
	processes, slices, arrows, marks := map[string]int{}, 0, map[string]string{}, 0
	busy := map[string]float64{}
	for _, e := range got.TraceEvents {
		switch e.Ph {
		case "M":
			if name, ok := e.Args["name"].(string); ok {
				processes[name] = e.Pid
			}
		case "X":
			slices++
			track := fmt.Sprint(e.Pid, "/", e.Tid)
			require.GreaterOrEqual(t, e.Ts, busy[track], "slices of a track do not overlap")
			busy[track] = e.Ts + e.Dur
		case "s", "t":
			arrows[e.ID] += e.Ph
		case "i":
			marks++
		}
	}
	require.Len(t, processes, 5, "faults, the user, and three hosts")
	require.Equal(t, 6, slices, "five calls and a fault")
	require.Equal(t, "sttt", arrows["r2"])
	require.Equal(t, 5, marks)
}

// chromium opens the timeline in a real browser and returns its document.
func chromium(t *testing.T, events []trace.Event, fragment string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts a browser")
	}
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("no chromium here; get it with: apt-get install chromium")
	}
	file := filepath.Join(t.TempDir(), "timeline.html")
	out, err := os.Create(file)
	require.NoError(t, err)
	require.NoError(t, trace.WriteTimeline(out, events, meta()))
	require.NoError(t, out.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
		"--user-data-dir="+t.TempDir(), "--virtual-time-budget=3000", "--dump-dom", "file://"+file+fragment)
	var dom, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &dom, &said
	require.NoError(t, cmd.Run(), said.String())
	require.NotContains(t, said.String(), "CONSOLE", "the page has an error")
	return dom.String()
}

// body is a data attribute that the page sets.
func body(t *testing.T, dom, name string) string {
	t.Helper()
	m := regexp.MustCompile(`<body[^>]* data-` + name + `="([^"]*)"`).FindStringSubmatch(dom)
	require.NotNil(t, m, name)
	return m[1]
}

func TestTheTimelineIsDrawnByABrowser(t *testing.T) {
	dom := chromium(t, story(), "#id=r1")
	require.Equal(t, "yes", body(t, dom, "ready"))
	require.Equal(t, "4", body(t, dom, "lanes"))
	require.Equal(t, "5", body(t, dom, "matches"))
	require.Equal(t, "r1", body(t, dom, "chosen"))
	require.Contains(t, dom, "✗ no order twice: order r2 (at 1.052s)")

	dom = chromium(t, story(), "#filter=unavailable")
	require.Equal(t, "1", body(t, dom, "matches"))
	require.Equal(t, "r2", body(t, dom, "chosen"), "what broke is shown first")
	require.Contains(t, dom, "&lt;/script&gt;&lt;script&gt;alert", "it is shown, not run")
}

func TestATimelineOfAHundredThousandCallsIsDrawn(t *testing.T) {
	var events []trace.Event
	for i := range 100_000 {
		host := "greeter-" + strconv.Itoa(i%50+1)
		events = append(events, trace.Event{At: time.Duration(i+10) * time.Millisecond, Took: 3 * time.Millisecond, Kind: trace.Call, Host: host, Peer: "gateway-1", Name: "/a", Detail: "OK", ID: "r" + strconv.Itoa(i)})
	}
	dom := chromium(t, events, "")
	require.Equal(t, "50", body(t, dom, "lanes"))
	bars, err := strconv.Atoi(body(t, dom, "bars"))
	require.NoError(t, err)
	require.Less(t, bars, 60_000, "what can't be told apart is not drawn")
	require.Positive(t, bars)
}

func TestTheTimelineNeedsNoNetwork(t *testing.T) {
	var b strings.Builder
	require.NoError(t, trace.WriteTimeline(&b, story(), meta()))
	require.NotRegexp(t, `(src|href)=|https?://|@[A-Z]+@`, b.String())
	require.Equal(t, 2, strings.Count(b.String(), "</script>"), "nothing in the data ends it")
	require.Contains(t, b.String(), "<title>a &lt;shop&gt;, seed 7</title>")
}
