package proxy_test

import (
	"io"
	"net/http"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/proxy"
)

// echo answers with the request as it arrived, headers sorted.
func echo(w http.ResponseWriter, r *http.Request) {
	lines := []string{}
	for name, values := range r.Header {
		lines = append(lines, name+": "+strings.Join(values, " | "))
	}
	sort.Strings(lines)
	_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+"\nHost: "+r.Host+"\n"+strings.Join(lines, "\n")+"\n")
}

func startEcho(t *testing.T, w *world) {
	w.backend(t, "shop", "a", echo)
	w.start(t, proxy.Config{}, "/shop=shop")
}

func TestABackendSeesWhereARequestCameFrom(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		startEcho(t, w)
		_, got := w.do("GET", "/shop/a?b=c", "")
		require.Equal(t, `GET /a?b=c
Host: shop.example
User-Agent: Go-http-client/1.1
X-Forwarded-For: client
X-Forwarded-Host: shop.example
X-Forwarded-Prefix: /shop
X-Forwarded-Proto: http
X-Real-Ip: client
`, got)
	})
}

func TestGW3AClientCannotSayWhereItComesFrom(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		startEcho(t, w)
		_, got := w.do("GET", "/shop", "",
			"X-Forwarded-For", "FORGED", "X-Forwarded-Host", "FORGED", "X-Forwarded-Proto", "FORGED", "X-Forwarded-Prefix", "FORGED",
			"X-Forwarded-Port", "FORGED", "X-Forwarded-Tls-Client-Cert", "FORGED", "X-Forwarded-Client-Cert", "FORGED",
			"Forwarded", "for=FORGED", "X-Real-Ip", "FORGED", "True-Client-Ip", "FORGED", "Client-Cert", "FORGED",
			"X-Ssl-Client-Verify", "FORGED", "X-Original-Url", "/FORGED", "X-Rewrite-Url", "/FORGED",
			"X-Http-Method-Override", "FORGED", "Proxy", "http://FORGED", "x-forwarded-FOR", "FORGED")
		require.NotContains(t, got, "FORGED")
		require.Contains(t, got, "X-Forwarded-Host: shop.example\nX-Forwarded-Prefix: /shop\nX-Forwarded-Proto: http\n")
	})
}

func TestGW2HopByHopHeadersEndHere(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "x-hop")
			w.Header().Set("X-Hop", "HOP")
			w.Header().Set("Proxy-Authenticate", "HOP")
			w.Header().Set("Keep-Alive", "HOP")
			echo(w, r)
		})
		w.start(t, proxy.Config{}, "/shop=shop")
		res, got := w.do("GET", "/shop", "", "Connection", "x-forwarded-for, x-forwarded-host, x-real-ip, x-mine",
			"X-Mine", "HOP", "Keep-Alive", "HOP", "Proxy-Authorization", "HOP", "Proxy-Connection", "HOP", "Te", "gzip;HOP", "X-Other", "kept")
		require.NotContains(t, got, "HOP")
		require.Contains(t, got, "X-Other: kept")
		require.Contains(t, got, "X-Forwarded-For: client", "ours cannot be named away")
		require.Contains(t, got, "X-Forwarded-Host: shop.example")
		require.Contains(t, got, "X-Real-Ip: client")
		for name := range res.Header {
			require.NotContains(t, []string{"X-Hop", "Proxy-Authenticate", "Keep-Alive"}, name)
		}
	})
}

func TestGW4HeaderNamesWithUnderscoresAreDropped(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		startEcho(t, w)
		_, got := w.do("GET", "/shop", "", "X_forwarded_for", "FORGED", "A_b", "FORGED", "X-Real_ip", "FORGED")
		require.NotContains(t, got, "FORGED")
	})
}

func TestGW6HT7ConnectAndTraceAreRefused(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		startEcho(t, w)
		for _, request := range []string{
			"CONNECT /shop HTTP/1.1\nHost: x\n\n", "TRACE /shop HTTP/1.1\nHost: x\nCookie: SECRET\n\n",
		} {
			res, _, _ := w.send(request)
			require.Equal(t, 405, res.StatusCode, request)
			require.Contains(t, res.Header.Get("Allow"), "GET")
			body, _ := io.ReadAll(res.Body)
			require.NotContains(t, string(body), "SECRET")
		}
		res, _, _ := w.send("CONNECT shop:80 HTTP/1.1\nHost: shop:80\n\n")
		require.Equal(t, 404, res.StatusCode, "no route, no tunnel")
	})
}

func TestAbsoluteFormDoesNotChooseTheBackend(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		startEcho(t, w)
		w.backend(t, "evil", "evil", says("EVIL"))
		res, _, _ := w.send("GET http://evil/shop/x HTTP/1.1\nHost: shop.example\n\n")
		body, _ := io.ReadAll(res.Body)
		require.True(t, strings.HasPrefix(string(body), "GET /x\nHost: evil\n"), string(body))
	})
}

func TestGW5AmbiguousRequestsNeverReachABackend(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", func(http.ResponseWriter, *http.Request) { t.Error("reached") })
		w.start(t, proxy.Config{}, "/shop=shop")
		for _, target := range []string{"/shop/../admin", "/shop/%2e%2e/admin", "/shop/a%2fb", "/shop%2Fa", "/shop/a%5cb", "/shop/a\\b", "/shop/%00", "/shop//evil"} {
			res, _, _ := w.send("GET " + target + " HTTP/1.1\nHost: x\n\n")
			require.Equal(t, 400, res.StatusCode, target)
			require.Equal(t, "application/json", res.Header.Get("Content-Type"), target)
		}
	})
}

func TestHT1SmugglingRequestsAreRefusedOrForwardedOnce(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		paths := make(chan string, 10)
		w.backend(t, "shop", "a", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			paths <- r.URL.Path
		})
		w.start(t, proxy.Config{}, "/shop=shop")
		const hidden = "0\n\nGET /shop/hidden HTTP/1.1\nHost: x\n\n"
		for name, head := range map[string]string{
			"two lengths":        "Content-Length: 5\nContent-Length: 6",
			"signed length":      "Content-Length: +5",
			"odd encoding":       "Transfer-Encoding: xchunked",
			"encoding twice":     "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
			"chunked not last":   "Transfer-Encoding: chunked, identity",
			"space before colon": "Transfer-Encoding : chunked",
			"bad name":           "X(y: z",
		} {
			res, _, _ := w.send("POST /shop/seen HTTP/1.1\nHost: x\n" + head + "\n\n" + hidden)
			require.Contains(t, []int{400, 501}, res.StatusCode, name)
			require.Empty(t, paths, name)
		}
		// With both, chunked counts (RFC 9112 6.3) and nothing is hidden in the length.
		res, _, _ := w.send("POST /shop/seen HTTP/1.1\nHost: x\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n")
		if res.StatusCode == 200 {
			require.Equal(t, "/seen", <-paths)
		}
		require.Empty(t, paths)
	})
}
