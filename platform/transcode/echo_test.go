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
	"time"

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
