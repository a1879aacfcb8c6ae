package hostile

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"example.com/app/services/greeter/greeterpb"
)

// TestEX5MetricsAreAsPromtoolWantsThem holds what all roles together tell to the
// rules of `promtool check metrics`, which are those of promlint.
func TestEX5MetricsAreAsPromtoolWantsThem(t *testing.T) {
	overMTLS(t, func(t *testing.T, w *world) {
		w.shop.on("/cut", cut)
		for _, path := range []string{"/v1/greetings/Ada", "/nowhere", "/shop/bag", "/shop/cut", "/.well-known/openid-configuration", "/oauth2/jwks"} {
			w.get(path)
		}
		families, err := w.metrics.Gather()
		require.NoError(t, err)
		require.Greater(t, len(families), 20, "of all parts of the system")
		var text bytes.Buffer
		for _, f := range families {
			_, err := expfmt.MetricFamilyToText(&text, f)
			require.NoError(t, err)
		}
		problems, err := promlint.New(&text).Lint()
		require.NoError(t, err)
		require.Empty(t, problems)
	})
}

// cut ends an answer in the middle of its header.
func cut(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// requireSilence holds an answer to silence about where and how it was made.
func (w *world) requireSilence(a answer, name string) {
	w.t.Helper()
	host, err := os.Hostname()
	require.NoError(w.t, err)
	dir, err := os.Getwd()
	require.NoError(w.t, err)
	secrets := []string{
		"goroutine", ".go:", "panic", "runtime error", "0xc0", "example.com/app", "github.com", "google.golang.org", // stacks
		dir, strings.TrimSuffix(dir, "/integration/hostile"), os.TempDir(), // paths
		"SELECT ", "select *", "sqlite", "bolt", // stores
		host, "dial tcp", "connection refused", "lookup ", // hosts
	}
	for _, role := range []string{"greeter", "phrasebook", "interop", "shop"} {
		secrets = append(secrets, w.find(role))
	}
	for _, inside := range secrets {
		if len(inside) > 2 {
			require.NotContains(w.t, a.text+fmt.Sprint(a.Header), inside, "%s: %d", name, a.StatusCode)
		}
	}
}

// TestEX6ErrorsTellNothingOfOurInsides makes every part that faces the outside
// fail in the ways that a client can bring about.
func TestEX6ErrorsTellNothingOfOurInsides(t *testing.T) {
	broken := func(w *world, want map[string]int) {
		w.shop.on("/cut", cut)
		w.shop.on("/panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		for text, code := range want {
			a := w.one(text)
			require.Equal(w.t, code, a.StatusCode, "%s: %s", text, a.text)
			w.requireSilence(a, text)
		}
		w.shop.close()
		a := w.one("GET /shop/bag HTTP/1.1\nHost: x\n\n")
		require.Equal(w.t, 502, a.StatusCode, a.text)
		w.requireSilence(a, "a shop that is closed")
	}
	t.Run("whoever asks", func(t *testing.T) {
		everyWorld(t, func(t *testing.T, w *world) {
			broken(w, map[string]int{
				"GET /v1/greetings/%ff HTTP/1.1\nHost: x\n\n":                                  400,
				"GET /v1/greetings/Ada?x=y HTTP/1.1\nHost: x\n\n":                              400,
				"GET /v1/greetings/Ada?language=xx HTTP/1.1\nHost: x\n\n":                      404,
				"GET /nowhere HTTP/1.1\nHost: x\n\n":                                           404,
				"DELETE /v1/greetings/Ada HTTP/1.1\nHost: x\n\n":                               405,
				"POST /v1/greetings HTTP/1.1\nHost: x\nContent-Length: 9999999\n\n":            413,
				"POST /v1/greetings HTTP/1.1\nHost: x\nContent-Length: 3\n\n{}}":               415,
				"POST /v1/greetings HTTP/1.1\nHost: x\n" + asJSON + "Content-Length: 3\n\n{}}": 400,
				"GET /shop/cut HTTP/1.1\nHost: x\n\n":                                          502,
				"GET /shop/panic HTTP/1.1\nHost: x\n\n":                                        502,
			})
		})
	})
	t.Run("who has no token", func(t *testing.T) {
		overMTLS(t, func(t *testing.T, w *world) {
			form := "Host: x\nContent-Type: application/x-www-form-urlencoded\nConnection: close\nContent-Length: "
			broken(w, map[string]int{
				"GET /v1/greetings/Ada HTTP/1.1\nHost: x\n\n":                              401,
				"GET /v1/greetings/Ada HTTP/1.1\nHost: x\nAuthorization: Bearer x.y.z\n\n": 401,
				"GET /oauth2/authorize HTTP/1.1\nHost: x\n\n":                              400,
				"GET /oauth2/authorize?client_id=%27%20OR%201=1-- HTTP/1.1\nHost: x\n\n":   400,
				"GET /oauth2/nowhere HTTP/1.1\nHost: x\n\n":                                404,
				"GET /oauth2/token HTTP/1.1\nHost: x\n\n":                                  405,
				"POST /oauth2/token HTTP/1.1\n" + form + "12\n\ngrant_type=x":              401,
				"POST /oauth2/token HTTP/1.1\n" + form + "3\n\n%zz":                        400,
				"POST /oauth2/introspect HTTP/1.1\n" + form + "7\n\ntoken=x":               401,
			})
		})
	})
}

// TestEX7BaggageAndTraceStateAreLimited sends as much of both as a header may
// hold, and more. Nobody here parses either, and baggage ends at the gateway.
func TestEX7BaggageAndTraceStateAreLimited(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		const most = 4 << 20 // allocated for one request by both sides, in bytes
		members := func(n int) string { return strings.Repeat("k=v;p=p,", n/8) }
		for name, c := range map[string]struct {
			head string
			want int
		}{
			"baggage of the W3C's size":    {"Baggage: " + members(8<<10) + "\n", 200},
			"as much as a header holds":    {"Baggage: " + members(60<<10) + "\n", 200},
			"many headers of baggage":      {strings.Repeat("Baggage: "+members(512)+"\n", 60), 200},
			"a long state":                 {"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nTracestate: " + members(60<<10) + "\n", 200},
			"a state that services refuse": {"Tracestate: " + members(66<<10) + "\n", 200},
			"a language like that":         {"Accept-Language: " + members(66<<10) + "\n", 200},
			"a state that is none":         {"Tracestate: ,=,;=,\n", 200},
			"more than a header holds":     {"Baggage: " + members(70<<10) + "\n", 431},
			"a state of more than that":    {"Tracestate: " + members(70<<10) + "\n", 431},
			"more headers than anybody's":  {strings.Repeat("Baggage: a=b\n", 10_000), 431},
		} {
			text := "GET /v1/greetings/Ada HTTP/1.1\nHost: x\n" + c.head + "\n"
			before := allocated()
			for range 10 {
				a := w.one(text)
				require.Equal(t, c.want, a.StatusCode, "%s: %s", name, a.text)
			}
			require.Less(t, (allocated()-before)/10, uint64(most), name)
		}
		greeter := greeterpb.NewGreeterClient(w.normal("greeter").conn)
		for size, want := range map[int]codes.Code{60 << 10: codes.OK, 100 << 10: codes.Internal} {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "baggage", members(size))
			_, err := greeter.SayHello(ctx, &greeterpb.SayHelloRequest{Name: "Ada"})
			require.Equal(t, want, status.Code(err), "%d bytes over gRPC: %v", size, err)
		}
		require.Equal(t, "200", w.get("/v1/greetings/Ada"))
	})
}

// allocated is the memory that was ever asked for, in bytes.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
