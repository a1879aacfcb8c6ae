package transcode_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/transcode"
)

func TestARequestIsMappedOnTheCall(t *testing.T) {
	srv := serve(t, transcode.Config{}, &echo{})
	for _, c := range []struct{ name, method, path, body, want string }{
		{"path", "GET", "/v1/echoes/Ada", "", `"name":"Ada","times":0`},
		{"query", "GET", "/v1/echoes/Ada?times=3", "", `"times":3`},
		{"repeated query in both spellings", "GET", "/v1/echoes/Ada?tag_list=a&tag_list=b", "", `"tagList":["a","b"]`},
		{"json name", "GET", "/v1/echoes/Ada?tagList=a", "", `"tagList":["a"]`},
		{"nested query", "GET", "/v1/echoes/Ada?note.text=hi", "", `"name":"Ada"`},
		{"body", "POST", "/v1/echoes", `{"name":"Ada","times":2}`, `"name":"Ada","times":2`},
		{"null is absent", "POST", "/v1/echoes", `{"name":"Ada","times":null}`, `"times":0`},
		{"charset", "POST", "/v1/echoes", ` {"name":"Ada"} `, `"name":"Ada"`},
		{"no body is an empty one", "POST", "/v1/echoes", "", `"name":""`},
		{"unicode", "GET", "/v1/echoes/%E5%BC%A0", "", `"name":"张"`},
		{"a name with a colon", "GET", "/v1/echoes/a:b", "", `"name":"a:b"`},
		{"no double decoding", "GET", "/v1/echoes/a%252Fb", "", `"name":"a%2Fb"`},
		{"field mask from the body", "PATCH", "/v1/shelves/1/notes/2", `{"text":"hi"}`, `{"name":"shelves/1/notes/2","text":"hi|text"}`},
		{"field mask from the query", "PATCH", "/v1/shelves/1/notes/2?updateMask=name", `{"text":"hi"}`, `"text":"hi|name"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := do(t, srv, c.method, c.path, c.body)
			require.Equal(t, 200, a.StatusCode, a.text)
			require.Equal(t, "application/json", a.Header.Get("Content-Type"))
			require.Contains(t, a.text, c.want)
			require.NotContains(t, a.text, "null")
		})
	}
}

func TestABadRequestIsRefusedByName(t *testing.T) {
	srv := serve(t, transcode.Config{MaxBody: 200}, &echo{})
	long := `{"name":"` + strings.Repeat("a", 300) + `"}`
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		code                     int
		reason                   string
		fields                   []string
	}{
		{"unknown field", "POST", "/v1/echoes", `{"nam":"Ada"}`, nil, 400, "UNKNOWN_FIELD", []string{"nam"}},
		{"unknown fields, deep", "POST", "/v1/echoes", `{"note":{"txt":1},"zzz":1,"notes":{"a":{"b":1}}}`, nil, 400, "UNKNOWN_FIELD", []string{"note.txt", `notes["a"].b`, "zzz"}},
		{"unknown field in a patch", "PATCH", "/v1/shelves/1/notes/2", `{"txt":"hi"}`, nil, 400, "UNKNOWN_FIELD", []string{"txt"}},
		{"wrong type", "POST", "/v1/echoes", `{"name":5}`, nil, 400, "BAD_BODY", nil},
		{"duplicate field", "POST", "/v1/echoes", `{"name":"a","name":"b"}`, nil, 400, "BAD_BODY", nil},
		{"not an object", "POST", "/v1/echoes", `[]`, nil, 400, "BAD_BODY", nil},
		{"not UTF-8", "POST", "/v1/echoes", "{\"name\":\"\xff\"}", nil, 400, "BAD_BODY", nil},
		{"cut", "POST", "/v1/echoes", `{"name":`, nil, 400, "BAD_BODY", nil},
		{"two documents", "POST", "/v1/echoes", `{"name":"a"}{"name":"b"}`, nil, 400, "BAD_BODY", nil},
		{"form", "POST", "/v1/echoes", `name=Ada`, []string{"Content-Type: application/x-www-form-urlencoded"}, 415, "UNSUPPORTED_MEDIA_TYPE", nil},
		{"no type", "POST", "/v1/echoes", `{}`, []string{"Content-Type: "}, 415, "UNSUPPORTED_MEDIA_TYPE", nil},
		{"compressed", "POST", "/v1/echoes", `{}`, []string{"Content-Encoding: gzip"}, 415, "UNSUPPORTED_MEDIA_TYPE", nil},
		{"too large", "POST", "/v1/echoes", long, nil, 413, "BODY_TOO_LARGE", nil},
		{"a body where none is read", "GET", "/v1/echoes/Ada", `{}`, nil, 400, "UNEXPECTED_BODY", nil},
		{"unknown parameters", "GET", "/v1/echoes/Ada?b=1&a=2&times=3", "", nil, 400, "UNKNOWN_PARAMETER", []string{"a", "b"}},
		{"a parameter that the body field sets", "PATCH", "/v1/shelves/1/notes/2?note.text=x", `{"text":"hi"}`, nil, 400, "UNKNOWN_PARAMETER", []string{"note.text"}},
		{"unknown parameter, deep", "GET", "/v1/echoes/Ada?note.txt=1", "", nil, 400, "UNKNOWN_PARAMETER", []string{"note.txt"}},
		{"a parameter that the path sets", "GET", "/v1/echoes/Ada?name=Bob", "", nil, 400, "UNKNOWN_PARAMETER", []string{"name"}},
		{"a parameter that the body sets", "POST", "/v1/echoes?times=1", `{}`, nil, 400, "UNKNOWN_PARAMETER", []string{"times"}},
		{"bad parameter", "GET", "/v1/echoes/Ada?times=many", "", nil, 400, "", nil},
		{"bad query", "GET", "/v1/echoes/Ada?a=%zz", "", nil, 400, "BAD_QUERY", nil},
		{"query not UTF-8", "GET", "/v1/echoes/Ada?tag_list=%ff", "", nil, 400, "BAD_QUERY", nil},
		{"path not UTF-8", "GET", "/v1/echoes/%ff", "", nil, 400, "BAD_PATH", nil},
		{"encoded slash", "GET", "/v1/echoes/a%2Fb", "", nil, 400, "BAD_PATH", nil},
		{"NUL", "GET", "/v1/echoes/a%00b", "", nil, 400, "BAD_PATH", nil},
		{"bad timeout", "GET", "/v1/echoes/Ada", "", []string{"Grpc-Timeout: soon"}, 400, "BAD_TIMEOUT", nil},
		{"unknown path", "GET", "/v1/nothing", "", nil, 404, "NO_ROUTE", nil},
		{"wrong method", "DELETE", "/v1/echoes", "", nil, 405, "METHOD_NOT_ALLOWED", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := do(t, srv, c.method, c.path, c.body, c.headers...)
			require.Equal(t, c.code, a.StatusCode, a.text)
			f := a.fault(t)
			require.Equal(t, c.fields, f.fields())
			if c.reason != "" {
				require.Equal(t, c.reason, f.Error.Details[0].Reason)
			}
		})
	}
}

func TestAChunkedBodyOverTheLimitIsCut(t *testing.T) {
	srv := serve(t, transcode.Config{MaxBody: 100}, &echo{})
	endless, w := io.Pipe()
	go func() {
		for {
			if _, err := w.Write([]byte(`"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"`)); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = endless.Close() })
	r, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/v1/echoes", endless)
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	res, err := srv.Client().Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 413, res.StatusCode)
}

func TestABodyThatIsTooLargeIsNotAskedFor(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/echoes", iotest.ErrReader(io.ErrUnexpectedEOF))
	r.ContentLength = 2 << 20
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	handler(t, transcode.Config{}, &echo{}).ServeHTTP(w, r)
	require.Equal(t, 413, w.Code, w.Body)
}
