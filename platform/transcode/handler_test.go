package transcode_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/transcode"
)

func TestAllowNamesTheMethodsOfThePath(t *testing.T) {
	srv := serve(t, transcode.Config{}, &echo{})
	for path, want := range map[string]string{
		"/v1/echoes":              "POST",
		"/v1/echoes/Ada":          "GET, HEAD",
		"/v1/echoes/Ada:repeat":   "GET",
		"/v1/shelves/1/notes/2":   "PATCH",
		"/v1/shelves/1/notes/2:x": "PATCH",
	} {
		a := do(t, srv, "DELETE", path, "", "X-HTTP-Method-Override: PATCH")
		require.Equal(t, 405, a.StatusCode, path)
		require.Equal(t, want, a.Header.Get("Allow"), path)
		require.Equal(t, "UNIMPLEMENTED", a.fault(t).Error.Status)
	}
}

func TestHeadIsGetWithoutTheBody(t *testing.T) {
	srv := serve(t, transcode.Config{}, &echo{})
	a := do(t, srv, "HEAD", "/v1/echoes/Ada", "")
	require.Equal(t, 200, a.StatusCode)
	require.Empty(t, a.text)
	require.Equal(t, 405, do(t, srv, "HEAD", "/v1/echoes/Ada:repeat", "").StatusCode)
}

func TestFewHeadersBecomeMetadata(t *testing.T) {
	srv := serve(t, transcode.Config{}, &echo{})
	a := do(t, srv, "GET", "/v1/echoes/Ada", "",
		"Authorization: Bearer x", "X-Request-Id: id-1", "Traceparent: 00-a-b-01", "Tracestate: a=b", "Accept-Language: nl",
		"Grpc-Metadata-Admin: yes", "Grpc-Metadata-X-Request-Id: other", "Cookie: a=b", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil",
		"X-Client: mallory", "X-Priority: critical", "Grpc-Metadata-X-Priority: critical")
	var out struct{ Metadata []string }
	require.NoError(t, json.Unmarshal([]byte(a.text), &out))
	for _, want := range []string{"authorization=Bearer x", "x-request-id=id-1", "traceparent=00-a-b-01", "tracestate=a=b", "accept-language=nl", "x-forwarded-for=127.0.0.1", "x-client=127.0.0.1"} {
		require.Contains(t, out.Metadata, want)
	}
	for _, never := range []string{"yes", "other", "6.6.6.6", "evil", "cookie", "mallory", "critical"} {
		require.NotContains(t, strings.Join(out.Metadata, " "), never)
	}
	for _, md := range out.Metadata {
		key, _, _ := strings.Cut(md, "=")
		require.Contains(t, []string{":authority", "content-type", "user-agent", "grpc-accept-encoding", "authorization", "x-request-id", "traceparent", "tracestate",
			"accept-language", "x-forwarded-for", "x-forwarded-host", "x-client"}, key)
	}
}

func TestALongHintIsLeftOut(t *testing.T) {
	srv := serve(t, transcode.Config{}, &echo{})
	metadata := func(name, value string) string {
		return do(t, srv, "GET", "/v1/echoes/Ada", "", name+": "+value).text
	}
	for _, name := range []string{"Accept-Language", "Traceparent", "Tracestate"} {
		require.Contains(t, metadata(name, strings.Repeat("a", 4<<10)), strings.ToLower(name)+"=a")
		long := metadata(name, strings.Repeat("a", 4<<10+1))
		require.Contains(t, long, "x-client=", "it is answered")
		require.NotContains(t, long, strings.ToLower(name)+"=")
	}
}

func TestARequestHasAnID(t *testing.T) {
	srv := serve(t, transcode.Config{NewID: func() string { return "made" }}, &echo{})
	for given, want := range map[string]string{
		"abc-1":                  "abc-1",
		"":                       "made",
		"a b":                    "made",
		"<script>":               "made",
		strings.Repeat("a", 129): "made",
	} {
		a := do(t, srv, "GET", "/v1/echoes/Ada", "", "X-Request-Id: "+given)
		require.Equal(t, want, a.Header.Get("X-Request-Id"))
		require.Contains(t, a.text, "x-request-id="+want)
		require.Equal(t, want, do(t, srv, "GET", "/none", "", "X-Request-Id: "+given).Header.Get("X-Request-Id"))
	}
}
