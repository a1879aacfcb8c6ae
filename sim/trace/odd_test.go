package trace_test

import (
	"bytes"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/sim/trace"
)

func TestTheZeroConfigBeginsWhenItIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := trace.New(trace.Config{})
		time.Sleep(3 * time.Second)
		tr.Add(trace.Event{Kind: trace.Fact})
		require.Equal(t, 3*time.Second, tr.Events()[0].At)
	})
}
func TestNoRenderingFallsOverOddEvents(t *testing.T) {
	odd := []trace.Event{
		{Kind: trace.Count, Name: "q", Value: math.NaN()}, {Kind: trace.Count, Name: "q", Value: math.Inf(1)},
		{Kind: "strange"}, {Kind: trace.Call}, {Kind: trace.Request, Took: -1}, {Kind: trace.Violation}, {Kind: trace.Fault}, {Kind: trace.Heal},
	}
	for name, write := range map[string]func(io.Writer, []trace.Event, trace.Meta) error{"timeline": trace.WriteTimeline, "chrome": trace.WriteChrome, "story": trace.WriteStory, "mermaid": trace.WriteMermaid} {
		t.Run(name, func(t *testing.T) {
			for i := range odd {
				require.NotPanics(t, func() { require.NoError(t, write(io.Discard, odd[i:i+1], trace.Meta{})) }, "%+v", odd[i])
			}
			require.NoError(t, write(io.Discard, nil, trace.Meta{}))
		})
	}
}
func TestAnArrowBeginsAtTheUserAlsoWithoutLatency(t *testing.T) {
	events := []trace.Event{
		{At: 5, Took: 5, Kind: trace.Call, Host: "gateway-1", Peer: "user", Name: "/", Detail: "OK", ID: "r1"},
		{At: 5, Took: 5, Kind: trace.Request, Host: "user", Name: "/", Detail: "OK", ID: "r1"},
	}
	var b bytes.Buffer
	require.NoError(t, trace.WriteChrome(&b, events, meta()))
	require.Less(t, strings.Index(b.String(), `"ph":"s"`), strings.Index(b.String(), `"ph":"t"`))
}
