package rpc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/resilience"
)

func TestMethodSettingsAreReadAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]Methods{
		"/greeter.v1.Greeter/SayHello:timeout=1s,hedge=off,priority=critical": {
			"/greeter.v1.Greeter/SayHello": {Timeout: time.Second, Hedge: Off, Priority: resilience.Critical},
		},
		"/greeter.v1.Greeter/:retry=off":          {"/greeter.v1.Greeter/": {Attempts: 1}},
		":retry=2,hedge=on,weight=10":             {"": {Attempts: 2, Hedge: On, Weight: 10}},
		":hedge=20ms,priority=sheddable":          {"": {Hedge: On, HedgeAfter: 20 * time.Millisecond, Priority: resilience.Sheddable}},
		"/a/b:priority=default,timeout=1h2m3.5ms": {"/a/b": {Timeout: time.Hour + 2*time.Minute + 3500*time.Microsecond}},
	} {
		got, err := ParseMethods([]string{text})
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestMethodSettingsThatMakeNoSenseAreRefused(t *testing.T) {
	for text, words := range map[string]string{
		"":                        "want /pkg.Service/Method:settings",
		"timeout=1s":              "want /pkg.Service/Method:settings",
		"greeter:timeout=1s":      "want /pkg.Service/Method:settings",
		"/greeter:timeout=1s":     "want /pkg.Service/Method:settings",
		"/a/b/c:timeout=1s":       "want /pkg.Service/Method:settings",
		"/a/b:":                   `unknown setting "": there are hedge, priority, retry, timeout, weight`,
		"/a/b:speed=9":            `unknown setting "speed": there are hedge, priority, retry, timeout, weight`,
		"/a/b:timeout=1s,":        `unknown setting ""`,
		"/a/b:timeout":            "want a time above 0s",
		"/a/b:timeout=0s":         "want a time above 0s",
		"/a/b:timeout=-1s":        "want a time above 0s",
		"/a/b:retry=1":            "want off, or the number of attempts from 2 to 5",
		"/a/b:retry=6":            "want off, or the number of attempts",
		"/a/b:retry=on":           "want off, or the number of attempts",
		"/a/b:hedge=maybe":        "want on, off, or the time",
		"/a/b:hedge=0s":           "want on, off, or the time",
		"/a/b:priority=high":      "want critical, default or sheddable",
		"/a/b:weight=0":           "want a number from 1 to 1000",
		"/a/b:weight=1001":        "want a number from 1 to 1000",
		"/a/b:weight=1,weight=2":  "weight is set twice",
		"/a/b:timeout=1s:retry=2": "want a time above 0s",
	} {
		_, err := ParseMethods([]string{text})
		require.True(t, errs.Invalid.Is(err), "%q: %v", text, err)
		require.ErrorContains(t, err, words, text)
	}
	_, err := ParseMethods([]string{":retry=off", ":timeout=1s"})
	require.ErrorContains(t, err, "set twice")
}

func TestTheMostExactSettingCounts(t *testing.T) {
	m := Methods{"/a.B/C": {Weight: 1}, "/a.B/": {Weight: 2}, "": {Weight: 3}}
	require.Equal(t, []int{1, 2, 3, 3}, []int{m.of("/a.B/C").Weight, m.of("/a.B/D").Weight, m.of("/a.E/C").Weight, m.of("").Weight})
	require.Zero(t, Methods{"/a.B/": {Weight: 2}}.of("/a.E/C"))
	require.Zero(t, Methods(nil).of("/a.B/C"))
}

func FuzzMethodSettingsArePrintedAsTheyAreRead(f *testing.F) {
	for _, text := range []string{
		"/greeter.v1.Greeter/SayHello:timeout=1s,hedge=off,priority=critical", "/a.B/:retry=off", ":hedge=20ms,weight=7", ":retry=5,hedge=on", "x",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		methods, err := ParseMethods([]string{text})
		if err != nil {
			require.True(t, errs.Invalid.Is(err))
			require.Nil(t, methods)
			return
		}
		require.Len(t, methods, 1)
		for key, c := range methods {
			if c == (MethodConfig{}) { // priority=default alone says nothing
				continue
			}
			again, err := ParseMethods([]string{key + ":" + c.String()})
			require.NoError(t, err)
			require.Equal(t, methods, again)
		}
	})
}
