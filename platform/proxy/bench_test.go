package proxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"example.com/app/platform/network"
	"example.com/app/platform/proxy"
)

// BenchmarkProxy is one kilobyte through the proxy over TCP, next to what the
// standard library has for one host, with and without a pool that fits.
func BenchmarkProxy(b *testing.B) {
	hello := says(strings.Repeat("x", 1<<10))
	b.Run("ours", func(b *testing.B) {
		w := newWorld(b, new(network.TCP).Host, "127.0.0.1:0")
		for _, h := range []string{"a", "b", "c"} {
			w.backend(b, "shop", h, hello)
		}
		w.start(b, proxy.Config{}, "/shop=shop")
		load(b, w.edge)
	})
	for name, idle := range map[string]int{"standard": 2, "standard, pooled": 64} {
		b.Run(name, func(b *testing.B) {
			n := new(network.TCP)
			u := &url.URL{Scheme: "http", Host: serve(b, n, "127.0.0.1:0", hello)}
			p := httputil.NewSingleHostReverseProxy(u)
			p.Transport = &http.Transport{MaxIdleConnsPerHost: idle, DisableCompression: true,
				DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return n.Dial(ctx, addr) }}
			load(b, serve(b, n, "127.0.0.1:0", p))
		})
	}
}

// load sends b.N requests, 32 at a time.
func load(b *testing.B, addr string) {
	n := new(network.TCP)
	transport := &http.Transport{MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return n.Dial(ctx, addr) }}
	defer transport.CloseIdleConnections()
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, _ := http.NewRequestWithContext(b.Context(), "GET", "http://"+addr+"/shop/x", nil)
			res, err := transport.RoundTrip(req)
			if err != nil || res.StatusCode != 200 {
				b.Error(res, err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	})
}
