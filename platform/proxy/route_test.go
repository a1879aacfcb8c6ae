package proxy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/proxy"
)

func TestParseRouteReadsPrefixAndService(t *testing.T) {
	for text, want := range map[string]proxy.Route{
		"/shop=shop":             {Prefix: "/shop", Service: "shop"},
		"/shop/=shop":            {Prefix: "/shop", Service: "shop"},
		"/a/b.c=web-1.dc_2":      {Prefix: "/a/b.c", Service: "web-1.dc_2"},
		"/Über=x":                {Prefix: "/Über", Service: "x"},
		"/shop/cart-2~x=backend": {Prefix: "/shop/cart-2~x", Service: "backend"},
	} {
		got, err := proxy.ParseRoute(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestParseRouteSaysWhatIsWrong(t *testing.T) {
	for text, hint := range map[string]string{
		"/shop":          "write it as /shop=shop",
		"":               "write it as /shop=shop",
		"/=shop":         "the whole site",
		"=shop":          "the whole site",
		"shop=shop":      "write /shop",
		"/shop/*=shop":   "wildcard",
		"/shop*=shop":    "wildcard",
		"/a//b=shop":     "empty segment",
		"//=shop":        "the whole site",
		"/shop//=shop":   "plain path",
		"/a/../b=shop":   "dot segment",
		"/a/.=shop":      "dot segment",
		"/a\\b=shop":     "backslash",
		"/a%2fb=shop":    "plain path",
		"/a?b=shop":      "plain path",
		"/{id}=shop":     "plain path",
		"/shop=":         "not a name",
		"/shop=a b":      "not a name",
		"/shop=a/b":      "not a name",
		"/shop=-a":       "not a name",
		"/shop=a=b":      "not a name",
		"/shop=evil:80":  "not a name",
		"/shop=u@evil.x": "not a name",
	} {
		_, err := proxy.ParseRoute(text)
		require.ErrorContains(t, err, hint, text)
		require.Equal(t, errs.Invalid, errs.Of(err), text)
	}
}

func TestTwoRoutesForAPrefixAreRefused(t *testing.T) {
	_, err := proxy.ParseRoutes([]string{"/a=x", "/b=y", "/a/=z"})
	require.EqualError(t, err, "prefix /a has two routes, to x and to z; keep one")
	routes, err := proxy.ParseRoutes([]string{"/a=x", "/b=x"})
	require.NoError(t, err)
	require.Equal(t, []proxy.Route{{Prefix: "/a", Service: "x"}, {Prefix: "/b", Service: "x"}}, routes)
}

func TestGW1DeniedServicesAreNeverRoutedTo(t *testing.T) {
	_, err := proxy.New(proxy.Config{}, []proxy.Route{{Prefix: "/ui", Service: "consul"}})
	require.ErrorContains(t, err, `service "consul" is never routed to`)
	_, err = proxy.New(proxy.Config{Deny: []string{"vault"}}, []proxy.Route{{Prefix: "/v", Service: "vault"}})
	require.Equal(t, errs.Invalid, errs.Of(err))
	_, err = proxy.New(proxy.Config{}, []proxy.Route{{Prefix: "no-slash", Service: "x"}})
	require.ErrorContains(t, err, "does not begin with a slash")
}

func TestThePrefixMatchesWholeSegmentsAndTheLongestWins(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "h1", says("shop"))
		w.backend(t, "cart", "h2", says("cart"))
		w.start(t, proxy.Config{}, "/shop=shop", "/shop/cart=cart")
		for path, want := range map[string]string{
			"/shop": "shop", "/shop/": "shop", "/shop/x": "shop", "/shop/cartoon": "shop",
			"/shop/cart": "cart", "/shop/cart/": "cart", "/shop/cart/1": "cart",
		} {
			require.True(t, handles(w.proxy, path), path)
			_, got := w.get(path)
			require.Equal(t, want, got, path)
		}
		for _, path := range []string{"/shopping", "/", "/Shop", "/x/shop"} {
			require.False(t, handles(w.proxy, path), path)
			code, body := w.get(path)
			require.Equal(t, 404, code, path)
			require.Contains(t, body, "NOT_FOUND", path)
		}
	})
}

func FuzzParseRoute(f *testing.F) {
	for _, s := range []string{"/shop=shop", "/a/b=c", "/../x=y", "=", "/a=b=c", "/\xff=x", "/a;b=c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := proxy.ParseRoute(s)
		if err != nil {
			require.Equal(t, errs.Invalid, errs.Of(err))
			return
		}
		again, err := proxy.ParseRoute(r.String())
		require.NoError(t, err)
		require.Equal(t, r, again, "a route reads as it writes itself")
		require.True(t, strings.HasPrefix(r.Prefix, "/") && !strings.HasSuffix(r.Prefix, "/"))
		p, err := proxy.New(proxy.Config{Deny: []string{}}, []proxy.Route{r})
		require.NoError(t, err)
		require.True(t, handles(p, r.Prefix) && handles(p, r.Prefix+"/x") && !handles(p, r.Prefix+"x"))
	})
}

func handles(p *proxy.Proxy, path string) bool {
	_, ok := p.Route(path)
	return ok
}

func TestARouteSaysWhoMayUseIt(t *testing.T) {
	for text, want := range map[string]proxy.Route{
		"/shop=shop":                        {Prefix: "/shop", Service: "shop"},
		"/shop=shop,whole,public":           {Prefix: "/shop", Service: "shop", Whole: true, Public: true},
		"/shop=shop,public":                 {Prefix: "/shop", Service: "shop", Public: true},
		"/shop=shop,scope=buy,scope=sell:1": {Prefix: "/shop", Service: "shop", Scopes: []string{"buy", "sell:1"}},
	} {
		r, err := proxy.ParseRoute(text)
		require.NoError(t, err)
		require.Equal(t, want, r)
		require.Equal(t, text, r.String())
	}
	for text, why := range map[string]string{
		"/shop=shop,publik":           `unknown option "publik"`,
		"/shop=shop,":                 `unknown option ""`,
		"/shop=shop,scope=":           `unknown option "scope="`,
		"/shop=shop,public,scope=buy": "only one can be meant",
	} {
		_, err := proxy.ParseRoute(text)
		require.ErrorContains(t, err, why)
	}
}
