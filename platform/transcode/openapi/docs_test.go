package openapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/transcode/openapi"
)

// ask makes a request without the packing that http.Client does unasked.
func ask(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, nil)
	for _, header := range headers {
		k, v, _ := strings.Cut(header, ": ")
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func docs(t *testing.T) http.Handler {
	t.Helper()
	h, err := openapi.Docs(`/openapi.json`)
	require.NoError(t, err)
	return h
}

func TestThePageNeedsNothingFromElsewhere(t *testing.T) {
	h := docs(t)
	page := ask(h, "GET", "/docs")
	require.Equal(t, 200, page.Code)
	require.Equal(t, "text/html; charset=utf-8", page.Header().Get("Content-Type"))
	require.Contains(t, page.Body.String(), `data-spec="/openapi.json"`)
	require.NotContains(t, page.Body.String(), "<script>")
	require.Equal(t, page.Body.String(), ask(h, "GET", "/docs/").Body.String())
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page.Body.String(), -1)
	require.GreaterOrEqual(t, len(links), 5)
	for _, l := range links {
		if l[1] == "data:," || l[1] == "/openapi.json" {
			continue
		}
		require.Equal(t, 200, ask(h, "GET", l[1]).Code, l[1])
	}
	policy := page.Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'; script-src 'self';")
	require.Contains(t, policy, "frame-ancestors 'none'")
}

func TestAnAssetIsPackedForThoseWhoUnpack(t *testing.T) {
	h := docs(t)
	for name, media := range map[string]string{
		"swagger-ui-bundle.js": "text/javascript; charset=utf-8", "swagger-ui.css": "text/css; charset=utf-8",
	} {
		packed, plain := ask(h, "GET", "/docs/"+name, "Accept-Encoding: br, gzip"), ask(h, "GET", "/docs/"+name)
		require.Equal(t, "gzip", packed.Header().Get("Content-Encoding"))
		require.Empty(t, plain.Header().Get("Content-Encoding"))
		require.NotEqual(t, packed.Header().Get("ETag"), plain.Header().Get("ETag"))
		for _, w := range []*httptest.ResponseRecorder{packed, plain} {
			require.Equal(t, media, w.Header().Get("Content-Type"))
			require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
			require.Equal(t, "Accept-Encoding", w.Header().Get("Vary"))
		}
		z, err := gzip.NewReader(packed.Body)
		require.NoError(t, err)
		unpacked, err := io.ReadAll(z)
		require.NoError(t, err)
		require.True(t, bytes.Equal(unpacked, plain.Body.Bytes()))
		require.Less(t, 100_000, plain.Body.Len())
		for _, no := range []string{"gzip;q=0", "identity", "gzipped"} {
			require.Empty(t, ask(h, "GET", "/docs/"+name, "Accept-Encoding: "+no).Header().Get("Content-Encoding"), no)
		}
	}
}

func TestWhatIsKnownIsNotSentAgain(t *testing.T) {
	spec, err := openapi.Spec([]byte(`{"openapi":"3.1.0"}`))
	require.NoError(t, err)
	first := ask(spec, "GET", "/openapi.json")
	require.Equal(t, `{"openapi":"3.1.0"}`, first.Body.String())
	require.Equal(t, "application/json", first.Header().Get("Content-Type"))
	again := ask(spec, "GET", "/openapi.json", `If-None-Match: "other", W/`+first.Header().Get("ETag"))
	require.Equal(t, http.StatusNotModified, again.Code)
	require.Zero(t, again.Body.Len())
	require.Equal(t, 200, ask(spec, "GET", "/openapi.json", `If-None-Match: "other"`).Code)
}

func TestDocsHaveNothingElse(t *testing.T) {
	h := docs(t)
	require.Equal(t, 404, ask(h, "GET", "/docs/../docs.go").Code)
	require.Equal(t, 404, ask(h, "GET", "/docs/README.md").Code)
	w := ask(h, "POST", "/docs")
	require.Equal(t, 405, w.Code)
	require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
}

func TestTheSpecPathIsEscapedInThePage(t *testing.T) {
	h, err := openapi.Docs(`/"><script>`)
	require.NoError(t, err)
	require.NotContains(t, ask(h, "GET", "/docs").Body.String(), `"><script>`)
}
