package transcode_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	"example.com/app/platform/errs"
	"example.com/app/platform/transcode"
	"example.com/app/platform/transcode/internal/echopb"
)

// An echo fails in the way that the name says, or answers with what it heard.
type echo struct {
	echopb.UnimplementedEchoServer
	wait chan struct{} // each repeat after the first takes one
}

func failure(name string) error {
	switch name {
	case "missing":
		return errs.NotFound.New("no %s", name).Because("NO_NAME", "name", name)
	case "invalid":
		return errs.Invalid.New("bad").Field("name", "string.min", "too short")
	case "secret":
		return status.Error(codes.Internal, "password is 123")
	case "bug":
		return errs.Internal.New("password is 123")
	case "unknown":
		return fmt.Errorf("password is 123")
	case "transport":
		return status.Error(codes.Unavailable, "dial 10.0.0.1:99")
	case "closed":
		return errs.Unavailable.New("closed for lunch")
	case "busy":
		s, err := status.New(codes.ResourceExhausted, "busy").WithDetails(
			&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
			&errdetails.DebugInfo{Detail: "password is 123"})
		if err != nil {
			return err
		}
		return s.Err()
	case "stranger":
		return errs.Unauthenticated.New("who are you")
	}
	return nil
}

func (*echo) Say(ctx context.Context, r *echopb.SayRequest) (*echopb.SayResponse, error) {
	if r.GetName() == "slow" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := failure(r.GetName()); err != nil {
		return nil, err
	}
	out := &echopb.SayResponse{Name: r.GetName(), Times: r.GetTimes(), TagList: r.GetTagList(), SecondsLeft: -1}
	if d, ok := ctx.Deadline(); ok {
		out.SecondsLeft = int64(time.Until(d).Round(time.Second).Seconds())
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, k := range slices.Sorted(maps.Keys(md)) {
		for _, v := range md[k] {
			out.Metadata = append(out.Metadata, k+"="+v)
		}
	}
	return out, nil
}

func (e *echo) Repeat(r *echopb.RepeatRequest, s grpc.ServerStreamingServer[echopb.SayResponse]) error {
	if err := failure(r.GetName()); err != nil {
		return err
	}
	for i := range r.GetTimes() {
		if i > 0 && e.wait != nil {
			select {
			case <-e.wait:
			case <-s.Context().Done():
				return s.Context().Err()
			}
		}
		if err := s.Send(&echopb.SayResponse{Name: r.GetName(), Times: i + 1}); err != nil {
			return err
		}
	}
	if r.GetName() == "half" {
		return errs.Aborted.New("no more")
	}
	return nil
}

func (*echo) UpdateNote(_ context.Context, r *echopb.UpdateNoteRequest) (*echopb.Note, error) {
	return &echopb.Note{Name: r.GetNote().GetName(), Text: r.GetNote().GetText() + "|" + strings.Join(r.GetUpdateMask().GetPaths(), ",")}, nil
}

// serve puts an echo on a bufconn and the transcoder on HTTP in front of it.
func serve(t testing.TB, cfg transcode.Config, e *echo) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(handler(t, cfg, e))
	t.Cleanup(srv.Close)
	return srv
}

func handler(t testing.TB, cfg transcode.Config, e *echo) http.Handler {
	t.Helper()
	lis := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	echopb.RegisterEchoServer(server, e)
	go func() { _ = server.Serve(lis) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///echo", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	h, err := transcode.New(t.Context(), cfg, transcode.Routes{Name: "echo", Register: echopb.RegisterEchoHandler, Conn: conn})
	require.NoError(t, err)
	return h
}

// An answer is a response with its body read.
type answer struct {
	*http.Response
	text string
}

// do makes a request; headers are "Name: value".
func do(t testing.TB, srv *httptest.Server, method, path, body string, headers ...string) answer {
	t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, in)
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		r.Header.Set(k, v)
	}
	res, err := srv.Client().Do(r)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{res, string(b)}
}

// A fault is an error answer, as a client reads it.
type fault struct {
	Error struct {
		Code    int
		Status  string
		Message string
		Details []struct {
			Type            string `json:"@type"`
			Reason          string
			RequestID       string `json:"requestId"`
			FieldViolations []struct{ Field, Reason string }
		}
	}
}

func (a answer) fault(t testing.TB) fault {
	t.Helper()
	var f fault
	require.NoError(t, json.Unmarshal([]byte(a.text), &f), a.text)
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
	require.Equal(t, a.StatusCode, f.Error.Code)
	require.NotEmpty(t, f.Error.Status)
	require.NotEmpty(t, f.Error.Message)
	require.NotContains(t, a.text, "null")
	return f
}

func (f fault) fields() (list []string) {
	for _, d := range f.Error.Details {
		for _, v := range d.FieldViolations {
			list = append(list, v.Field)
		}
	}
	return list
}

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

func TestAnErrorOfTheServiceReachesTheClient(t *testing.T) {
	srv := serve(t, transcode.Config{}, &echo{})
	for _, c := range []struct {
		name    string
		code    int
		status  string
		message string
	}{
		{"missing", 404, "NOT_FOUND", "no missing"},
		{"invalid", 400, "INVALID_ARGUMENT", "bad"},
		{"secret", 500, "INTERNAL", "internal error"},
		{"bug", 500, "INTERNAL", "internal error"},
		{"unknown", 500, "UNKNOWN", "internal error"},
		{"transport", 503, "UNAVAILABLE", "the service is not available just now"},
		{"closed", 503, "UNAVAILABLE", "closed for lunch"},
		{"busy", 429, "RESOURCE_EXHAUSTED", "busy"},
		{"stranger", 401, "UNAUTHENTICATED", "who are you"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, path := range []string{"/v1/echoes/" + c.name, "/v1/echoes/" + c.name + ":repeat"} {
				a := do(t, srv, "GET", path, "", "X-Request-Id: quote-me", "Accept: text/event-stream")
				require.Equal(t, c.code, a.StatusCode)
				f := a.fault(t)
				require.Equal(t, c.status, f.Error.Status)
				require.Equal(t, c.message, f.Error.Message)
				require.NotContains(t, a.text, "123")
				switch c.name {
				case "missing":
					require.Equal(t, "NO_NAME", f.Error.Details[0].Reason)
				case "invalid":
					require.Equal(t, []string{"name"}, f.fields())
				case "bug":
					require.Equal(t, "quote-me", f.Error.Details[0].RequestID)
				case "busy":
					require.Equal(t, "2", a.Header.Get("Retry-After"))
				case "stranger":
					require.Equal(t, "Bearer", a.Header.Get("WWW-Authenticate"))
				}
			}
		})
	}
}

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
		"Grpc-Metadata-Admin: yes", "Grpc-Metadata-X-Request-Id: other", "Cookie: a=b", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil")
	var out struct{ Metadata []string }
	require.NoError(t, json.Unmarshal([]byte(a.text), &out))
	for _, want := range []string{"authorization=Bearer x", "x-request-id=id-1", "traceparent=00-a-b-01", "tracestate=a=b", "accept-language=nl", "x-forwarded-for=127.0.0.1"} {
		require.Contains(t, out.Metadata, want)
	}
	for _, never := range []string{"yes", "other", "6.6.6.6", "evil", "cookie"} {
		require.NotContains(t, strings.Join(out.Metadata, " "), never)
	}
	for _, md := range out.Metadata {
		key, _, _ := strings.Cut(md, "=")
		require.Contains(t, []string{":authority", "content-type", "user-agent", "grpc-accept-encoding", "authorization", "x-request-id", "traceparent", "tracestate",
			"accept-language", "x-forwarded-for", "x-forwarded-host"}, key)
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

func TestACallHasADeadline(t *testing.T) {
	for header, want := range map[string]string{"": "30", "10S": "10", "1H": "120", "99999999H": "120", "60000m": "60", "9000000u": "9"} {
		synctest.Test(t, func(t *testing.T) {
			w := ask(handler(t, transcode.Config{}, &echo{}), "GET", "/v1/echoes/Ada", "Grpc-Timeout: "+header)
			require.Contains(t, w.Body.String(), `"secondsLeft":"`+want+`"`, header)
		})
	}
}

func TestACallThatTakesTooLongIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := ask(handler(t, transcode.Config{Timeout: time.Minute}, &echo{}), "GET", "/v1/echoes/slow")
		require.Equal(t, 504, w.Code)
		require.Contains(t, w.Body.String(), "DEADLINE_EXCEEDED")
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestARoleWhoseRoutesFailIsNamed(t *testing.T) {
	_, err := transcode.New(t.Context(), transcode.Config{}, transcode.Routes{Name: "none"}, transcode.Routes{
		Name:     "broken",
		Register: func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error { return io.ErrUnexpectedEOF },
	})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "register the routes of broken")
}
