package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"example.com/app/platform/errs"
	"example.com/app/platform/resilience"
	"example.com/app/platform/rpc/internal/probepb"
)

func TestGR9APanicIsInternalAndItsTextStaysHere(t *testing.T) {
	inMemory(t, func(w *world) {
		log := &journal{}
		p := &probe{
			answer: func(context.Context, *probepb.Request) (*probepb.Reply, error) { panic("secret 42") },
			chat: func(grpc.BidiStreamingServer[probepb.Request, probepb.Reply]) error {
				panic(errors.New("secret 43"))
			},
		}
		in := w.start("probe-0", p, ServerConfig{Log: log.logger()})
		client := w.ready()
		_, err := client.Write(w.Context(), &probepb.Request{})
		requireInternal(w, err, "/probe.v1.Probe/Write")
		stream, err := client.Chat(w.Context())
		require.NoError(w, err)
		_, err = stream.Recv()
		requireInternal(w, err, "/probe.v1.Probe/Chat")
		for _, secret := range []string{"secret 42", "secret 43"} {
			lines := log.lines(secret)
			require.Len(w, lines, 1)
			require.Contains(w, lines[0], "level=ERROR")
			require.Contains(w, lines[0], "server_test.go", "the stack says where")
		}
		require.Zero(w, in.InFlight())
	})
}

func requireInternal(t require.TestingT, err error, method string) {
	s := status.Convert(err)
	require.Equal(t, codes.Internal, s.Code())
	require.Equal(t, "internal error in "+method, s.Message())
	require.Equal(t, "INTERNAL", s.Details()[0].(*errdetails.ErrorInfo).GetReason())
}

func TestAPanicGivesItsWorkerBack(t *testing.T) {
	inMemory(t, func(w *world) {
		p := &probe{answer: func(context.Context, *probepb.Request) (*probepb.Reply, error) { panic("again") }}
		w.start("probe-0", p, ServerConfig{Workers: resilience.NewWorkers(resilience.Work{Workers: 1, Queue: 1})})
		client := w.ready()
		for range 5 {
			_, err := client.Write(w.Context(), &probepb.Request{})
			require.Equal(w, codes.Internal, status.Code(err))
		}
	})
}

func TestErrorsGoOutwardWithTheirKindOnly(t *testing.T) {
	kept := errs.NotFound.New("no such thing").Because("GONE", "id", "7").Field("id", "exists", "no such thing")
	for name, test := range map[string]struct {
		err     error
		code    codes.Code
		message string
		details int
	}{
		"a plain error":          {errors.New("dsn=secret"), codes.Internal, "internal error in /probe.v1.Probe/Write", 1},
		"a wrapped plain error":  {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), codes.Internal, "internal error in /probe.v1.Probe/Write", 1},
		"a kind":                 {kept, codes.NotFound, "no such thing", 2},
		"a wrapped kind":         {fmt.Errorf("ask: %w", kept), codes.NotFound, "ask: no such thing", 2},
		"a kind around a cause":  {errs.Aborted.New("lost the race: %w", io.EOF), codes.Aborted, "lost the race: EOF", 1},
		"another role's error":   {fmt.Errorf("ask: %w", status.Error(codes.OutOfRange, "too far")), codes.OutOfRange, "ask: too far", 0},
		"a gRPC status":          {status.Error(codes.OutOfRange, "too far"), codes.OutOfRange, "too far", 0},
		"a deadline":             {context.DeadlineExceeded, codes.DeadlineExceeded, "context deadline exceeded", 0},
		"a wrapped cancellation": {fmt.Errorf("ask: %w", context.Canceled), codes.Canceled, "ask: context canceled", 0},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				w.start("probe-0", refusing(test.err), ServerConfig{})
				_, err := w.ready().Write(w.Context(), &probepb.Request{})
				s := status.Convert(err)
				require.Equal(w, test.code, s.Code())
				require.Equal(w, test.message, s.Message())
				require.Len(w, s.Details(), test.details)
			})
		})
	}
}

func TestTheTextOfAPlainErrorIsLogged(t *testing.T) {
	inMemory(t, func(w *world) {
		log := &journal{}
		w.start("probe-0", refusing(errors.New("dsn=secret")), ServerConfig{Log: log.logger()})
		ctx := metadata.AppendToOutgoingContext(w.Context(), RequestID, "r-7")
		_, err := w.ready().Write(ctx, &probepb.Request{})
		require.Error(w, err)
		require.Len(w, log.lines("dsn=secret"), 1)
		calls := log.lines("msg=call")
		require.Len(w, calls, 1)
		for _, part := range []string{"level=WARN", "method=/probe.v1.Probe/Write", "code=INTERNAL", "request_id=r-7", "peer="} {
			require.Contains(w, calls[0], part)
		}
	})
}

func TestAnAnsweredCallIsLoggedForDebuggingOnly(t *testing.T) {
	inMemory(t, func(w *world) {
		quiet, loud := &journal{}, &journal{}
		w.start("probe-0", &probe{}, ServerConfig{Log: quiet.logger()})
		_, err := w.ready().Write(w.Context(), &probepb.Request{})
		require.NoError(w, err)
		require.Empty(w, quiet.String())
		w.start("probe-1", &probe{}, ServerConfig{Log: slog.New(slog.NewTextHandler(loud, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		client := w.ready()
		for range 2 {
			_, err = client.Write(w.Context(), &probepb.Request{})
			require.NoError(w, err)
		}
		require.Len(w, loud.lines("code=OK"), 1)
	})
}

func TestEveryCallIsObserved(t *testing.T) {
	inMemory(t, func(w *world) {
		calls := make(chan Call, 10)
		p := &probe{answer: func(context.Context, *probepb.Request) (*probepb.Reply, error) {
			time.Sleep(20 * time.Millisecond)
			return nil, errs.Exists.New("twice")
		}}
		w.start("probe-0", p, ServerConfig{Observe: func(c Call) { calls <- c }})
		_, err := w.ready().Write(w.Context(), &probepb.Request{})
		require.Error(w, err)
		got := <-calls
		require.NotEmpty(w, got.Peer)
		got.Peer = ""
		require.Equal(w, Call{Method: "/probe.v1.Probe/Write", Code: codes.AlreadyExists, Duration: 20 * time.Millisecond}, got)
		synctest.Wait()
		require.Empty(w, calls, "health is no business")
	})
}

func TestAnInvalidMessageNamesItsFields(t *testing.T) {
	everyNetwork(t, func(w *world) {
		p := &probe{}
		w.start("probe-0", p, ServerConfig{})
		_, err := w.ready().Write(w.Context(), &probepb.Request{Text: "FAR TOO LONG AND LOUD"})
		require.Zero(w, p.calls())
		requireInvalid(w, err)
	})
}

func requireInvalid(t require.TestingT, err error) {
	s := status.Convert(err)
	require.Equal(t, codes.InvalidArgument, s.Code())
	require.Contains(t, s.Message(), "text")
	require.Len(t, s.Details(), 2)
	require.Equal(t, "INVALID_FIELD", s.Details()[0].(*errdetails.ErrorInfo).GetReason())
	fields := s.Details()[1].(*errdetails.BadRequest).GetFieldViolations()
	require.Len(t, fields, 2)
	rules := []string{fields[0].GetReason(), fields[1].GetReason()}
	require.ElementsMatch(t, []string{"string.max_len", "string.pattern"}, rules)
	for _, f := range fields {
		require.Equal(t, "text", f.GetField())
		require.NotEmpty(t, f.GetDescription())
	}
}

func TestEveryMessageOfAStreamIsChecked(t *testing.T) {
	inMemory(t, func(w *world) {
		w.start("probe-0", &probe{}, ServerConfig{})
		stream, err := w.ready().Chat(w.Context())
		require.NoError(w, err)
		require.NoError(w, stream.Send(&probepb.Request{Text: "fine"}))
		reply, err := stream.Recv()
		require.NoError(w, err)
		require.Equal(w, "fine", reply.GetText())
		require.NoError(w, stream.Send(&probepb.Request{Text: "FAR TOO LONG AND LOUD"}))
		_, err = stream.Recv()
		requireInvalid(w, err)
	})
}

func TestGR2AMessageHasALimitBeforeAndAfterDecompression(t *testing.T) {
	const limit = 64 << 10
	for name, test := range map[string]struct {
		size int
		opts []grpc.CallOption
		code codes.Code
	}{
		"small":             {limit / 2, nil, codes.OK},
		"large":             {limit + 1, nil, codes.ResourceExhausted},
		"small, compressed": {limit / 2, []grpc.CallOption{grpc.UseCompressor(gzip.Name)}, codes.OK},
		"a bomb":            {100 * limit, []grpc.CallOption{grpc.UseCompressor(gzip.Name)}, codes.ResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			everyNetwork(t, func(w *world) {
				p := &probe{}
				w.start("probe-0", p, ServerConfig{MaxMessage: limit})
				_, err := w.ready().Write(w.Context(), &probepb.Request{Body: bytes.Repeat([]byte{0}, test.size)}, test.opts...)
				require.Equal(w, test.code, status.Code(err))
				require.Equal(w, test.code == codes.OK, p.calls() == 1)
			})
		})
	}
}

func TestTheDefaultMessageLimitIsFourMebibytes(t *testing.T) {
	inMemory(t, func(w *world) {
		w.start("probe-0", &probe{}, ServerConfig{})
		client := w.ready()
		fits := &probepb.Request{Body: make([]byte, 4<<20-16)}
		require.LessOrEqual(w, proto.Size(fits), 4<<20)
		_, err := client.Write(w.Context(), fits)
		require.NoError(w, err)
		_, err = client.Write(w.Context(), &probepb.Request{Body: make([]byte, 4<<20)})
		require.Equal(w, codes.ResourceExhausted, status.Code(err))
	})
}

func TestGR3MetadataHasALimitThatRealTokensFitUnder(t *testing.T) {
	everyNetwork(t, func(w *world) {
		var got string
		p := &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
			got = strings.Join(metadata.ValueFromIncomingContext(ctx, "token"), "")
			return &probepb.Reply{}, nil
		}}
		w.start("probe-0", p, ServerConfig{})
		client := w.ready()
		call := func(size int) error {
			_, err := client.Write(metadata.AppendToOutgoingContext(w.Context(), "token", strings.Repeat("x", size)), &probepb.Request{})
			return err
		}
		require.NoError(w, call(8<<10))
		require.Len(w, got, 8<<10)
		require.Error(w, call(65<<10))
		require.Equal(w, 1, p.calls())
		require.NoError(w, call(10), "the connection is still good")
	})
}

func TestGR4AConnectionCarriesALimitedNumberOfCalls(t *testing.T) {
	inMemory(t, func(w *world) {
		release := make(chan struct{})
		p := &probe{answer: func(context.Context, *probepb.Request) (*probepb.Reply, error) {
			<-release
			return &probepb.Reply{}, nil
		}}
		in := w.start("probe-0", p, ServerConfig{MaxStreams: 4}) // one is the client's health watch
		client := w.ready()
		ended := make(chan error, 5)
		for range 5 {
			go func() {
				_, err := client.Write(w.Context(), &probepb.Request{})
				ended <- err
			}()
		}
		synctest.Wait()
		require.Equal(w, 3, in.InFlight())
		close(release)
		for range 5 {
			require.NoError(w, <-ended)
		}
	})
}

func TestTheDefaultsAreTheLimitsOfTheHouse(t *testing.T) {
	c := ServerConfig{}.withDefaults()
	require.Equal(t, uint32(1000), c.MaxStreams)
	require.Equal(t, 4<<20, c.MaxMessage)
	require.Equal(t, uint32(64<<10), c.MaxHeaders)
	require.Equal(t, 10*time.Second, c.Handshake)
	require.NotNil(t, c.Log)
	require.Equal(t, 7, ServerConfig{MaxMessage: 7}.withDefaults().MaxMessage)
}

func TestGR4AConnectionThatSaysNothingIsClosed(t *testing.T) {
	inMemory(t, func(w *world) {
		in := w.start("probe-0", &probe{}, ServerConfig{})
		_, n := w.host("client")
		conn, err := n.Dial(w.Context(), in.addr)
		require.NoError(w, err)
		defer func(c net.Conn) { _ = c.Close() }(conn)
		start := time.Now()
		_, err = io.Copy(io.Discard, conn)
		require.NoError(w, err)
		require.LessOrEqual(w, time.Since(start), 11*time.Second)
	})
}

func TestOV7AnExpiredCallIsNotStarted(t *testing.T) {
	s := &Server{cfg: ServerConfig{}.withDefaults()}
	late, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	p := &probe{}
	_, err := s.unary(late, &probepb.Request{}, &grpc.UnaryServerInfo{FullMethod: "/probe.v1.Probe/Write"}, func(ctx context.Context, req any) (any, error) {
		return p.Write(ctx, req.(*probepb.Request))
	})
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	err = s.stream(p, lateStream{ctx: late}, &grpc.StreamServerInfo{FullMethod: "/probe.v1.Probe/Chat"}, func(any, grpc.ServerStream) error {
		p.count("Chat")
		return nil
	})
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	require.Zero(t, p.calls())
	require.Zero(t, s.InFlight())
}

type lateStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // as gRPC's streams
}

func (s lateStream) Context() context.Context { return s.ctx }

func TestACallThatExpiresInTheQueueIsNotStarted(t *testing.T) {
	inMemory(t, func(w *world) {
		p := &probe{}
		w.start("probe-0", p, ServerConfig{Workers: resilience.NewWorkers(resilience.Work{Time: time.Second, Workers: 1})})
		client := w.ready()
		codesSeen := make(chan codes.Code, 3)
		for range 3 {
			go func() {
				ctx, cancel := context.WithTimeout(w.Context(), 1500*time.Millisecond)
				defer cancel()
				_, err := client.Write(ctx, &probepb.Request{})
				codesSeen <- status.Code(err)
			}()
		}
		got := []codes.Code{<-codesSeen, <-codesSeen, <-codesSeen}
		require.ElementsMatch(w, []codes.Code{codes.OK, codes.DeadlineExceeded, codes.DeadlineExceeded}, got)
		time.Sleep(10 * time.Second)
		require.Equal(w, 1, p.calls())
	})
}

func TestWorkersRefuseByName(t *testing.T) {
	inMemory(t, func(w *world) {
		w.start("probe-0", &probe{}, ServerConfig{Workers: resilience.NewWorkers(resilience.Work{Time: time.Second, Workers: 1, Queue: 1})})
		client := w.ready()
		ended := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := client.Read(w.Context(), &probepb.Request{})
				ended <- err
			}()
		}
		refused := <-ended // the others take a second at least
		require.True(w, errs.Exhausted.Is(refused))
		require.Equal(w, "QUEUE_FULL", status.Convert(refused).Details()[0].(*errdetails.ErrorInfo).GetReason())
		require.NoError(w, <-ended)
		require.NoError(w, <-ended)
	})
}
