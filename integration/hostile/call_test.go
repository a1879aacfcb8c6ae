package hostile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"example.com/app/services/greeter/greeterpb"
)

// message is bytes as a gRPC message: a flag, a length, and what it says.
func message(flag byte, length int, body string) []byte {
	head := []byte{flag, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(head[1:], uint32(length))
	return append(head, body...)
}

// ada is the request for a greeting.
const ada = "\x0a\x03Ada"

// TestGR1GR11MalformedCallsEndWithACode writes calls that no client library
// would. Both transports answer the same.
func TestGR1GR11MalformedCallsEndWithACode(t *testing.T) {
	first := map[string]codes.Code{} // in the world that came first
	everyWorld(t, func(t *testing.T, w *world) {
		for name, c := range map[string]struct {
			head []string // beside those of a call, or in their place
			body []byte
			want []codes.Code
		}{
			"no such service":         {[]string{":path", "/nobody.v1.None/Call"}, message(0, 5, ada), []codes.Code{codes.Unimplemented}},
			"no such method":          {[]string{":path", "/greeter.v1.Greeter/Nothing"}, message(0, 5, ada), []codes.Code{codes.Unimplemented}},
			"no path":                 {[]string{":path", ""}, message(0, 5, ada), []codes.Code{codes.Unimplemented, codes.Internal, codes.Unknown}},
			"a path of slashes":       {[]string{":path", "////"}, message(0, 5, ada), []codes.Code{codes.Unimplemented}},
			"GET":                     {[]string{":method", "GET"}, message(0, 5, ada), []codes.Code{codes.Internal, codes.Unknown}},
			"another type":            {[]string{"content-type", "text/plain"}, message(0, 5, ada), []codes.Code{codes.InvalidArgument, codes.Unknown, codes.Internal}},
			"no message":              {nil, nil, []codes.Code{codes.Internal, codes.InvalidArgument}},
			"half a prefix":           {nil, []byte{0, 0}, []codes.Code{codes.Internal, codes.Unknown}},
			"less than it says":       {nil, message(0, 100, ada), []codes.Code{codes.Internal, codes.Unknown}},
			"far less than it says":   {nil, message(0, 1<<31-1, ada), []codes.Code{codes.ResourceExhausted}},
			"4 GiB":                   {nil, message(0, 1<<32-1, ada), []codes.Code{codes.ResourceExhausted}},
			"an unknown flag":         {nil, message(7, 5, ada), []codes.Code{codes.Internal, codes.Unimplemented}},
			"compressed with nothing": {nil, message(1, 5, ada), []codes.Code{codes.Internal, codes.Unimplemented}},
			"an unknown compression":  {[]string{"grpc-encoding", "lzma"}, message(1, 5, ada), []codes.Code{codes.Unimplemented, codes.Internal}},
			"not gzip":                {[]string{"grpc-encoding", "gzip"}, message(1, 5, ada), []codes.Code{codes.Internal, codes.Unimplemented, codes.Unknown}},
			"not a message":           {nil, message(0, 5, "\xff\xff\xff\xff\xff"), []codes.Code{codes.Internal, codes.InvalidArgument}},
			"two messages":            {nil, append(message(0, 5, ada), message(0, 5, ada)...), []codes.Code{codes.Internal, codes.OK}},
			"a bad deadline":          {[]string{"grpc-timeout", "soon"}, message(0, 5, ada), []codes.Code{codes.Internal, codes.Unknown, codes.InvalidArgument}},
			"a deadline that passed":  {[]string{"grpc-timeout", "0n"}, message(0, 5, ada), []codes.Code{codes.DeadlineExceeded, codes.Internal}},
			"bad base64":              {[]string{"x-bin", "%%%"}, message(0, 5, ada), []codes.Code{codes.Internal, codes.OK, codes.Unknown}},
			"a name that is too long": {nil, message(0, 203, "\x0a\xc8\x01"+strings.Repeat("x", 200)), []codes.Code{codes.InvalidArgument}},
		} {
			code, text := w.rough(c.head, c.body)
			require.Contains(t, c.want, code, "%s: %s", name, text)
			if before, ok := first[name]; ok {
				require.Equal(t, before, code, name)
			}
			first[name] = code
			for _, inside := range []string{"goroutine", ".go:", "panic", "/root"} {
				require.NotContains(t, text, inside, name)
			}
		}
		require.NoError(t, w.normal("greeter").once())
	})
}

// rough makes one call from raw parts, and returns how it ended.
func (w *world) rough(head []string, body []byte) (codes.Code, string) {
	w.t.Helper()
	s := w.connect("greeter")
	defer s.Close()
	a := newAttacker(s)
	// Whoever expects something else may have closed already; what counts is what it said.
	_ = a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.changed(head), EndHeaders: true})
	_ = a.WriteData(1, true, body)
	require.NoError(w.t, s.SetReadDeadline(time.Now().Add(10*time.Second)))
	in := http2.NewFramer(nil, s.in)
	in.ReadMetaHeaders = newDecoder()
	code, text := codes.Code(99), ""
	for {
		f, err := in.ReadFrame()
		if err != nil {
			return codes.Unknown, err.Error()
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			for _, field := range f.RegularFields() {
				switch field.Name {
				case "grpc-status":
					_, _ = fmt.Sscan(field.Value, (*uint32)(&code))
				case "grpc-message":
					text = field.Value
				}
			}
			if f.StreamEnded() {
				return code, text
			}
		case *http2.RSTStreamFrame:
			if f.ErrCode == http2.ErrCodeNo {
				continue
			}
			return codes.Internal, f.ErrCode.String()
		case *http2.GoAwayFrame:
			return codes.Internal, f.ErrCode.String()
		}
	}
}

// TestGR3MetadataHasALimit holds the promise over the wire too.
func TestGR3MetadataHasALimitButATokenFits(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		conn := w.normal("greeter").conn
		for size, want := range map[int]codes.Code{8 << 10: codes.OK, 100 << 10: codes.Internal} {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "a", strings.Repeat("x", size))
			_, err := greeterpb.NewGreeterClient(conn).SayHello(ctx, &greeterpb.SayHelloRequest{Name: "Ada"})
			if want == codes.OK {
				require.NoError(t, err)
			} else {
				require.Error(t, err, "%d bytes", size)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := greeterpb.NewGreeterClient(conn).SayHello(ctx, &greeterpb.SayHelloRequest{Name: "Ada"})
		require.NoError(t, err)
	})
}

// TestGR5WatchesConnectionsAndCancellationsLeaveNothing holds many of each open
// at once.
func TestGR5WatchesConnectionsAndCancellationsLeaveNothing(t *testing.T) {
	watches, conns, calls := 10_000, 1000, 20_000
	if testing.Short() {
		watches, conns, calls = 500, 50, 1000
	}
	overTCP(t, func(t *testing.T, w *world) {
		normal := w.normal("greeter")
		goroutines, memory := runtime.NumGoroutine(), inUse()
		ctx, leave := context.WithCancel(t.Context())
		var open []*grpc.ClientConn
		for range watches / 500 {
			conn := w.normal("greeter").conn
			open = append(open, conn)
			for range 500 {
				stream, err := grpc_health_v1.NewHealthClient(conn).Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
				require.NoError(t, err)
				_, err = stream.Recv()
				require.NoError(t, err)
			}
		}
		require.NoError(t, normal.once(), "with %d watches", watches)
		var held []net.Conn
		for range conns {
			c, err := w.net.Dial(ctx, w.where["greeter"])
			require.NoError(t, err)
			held = append(held, c)
			newAttacker(c)
		}
		require.NoError(t, normal.once(), "with %d connections", conns)
		client := greeterpb.NewGreeterClient(open[0])
		for range calls {
			gone, cancel := context.WithCancel(ctx)
			stream, err := client.SayHelloStream(gone, &greeterpb.SayHelloStreamRequest{Name: "Ada"})
			require.NoError(t, err)
			cancel()
			_ = stream
		}
		require.NoError(t, normal.once(), "after %d cancellations", calls)
		leave()
		for _, c := range held {
			_ = c.Close()
		}
		for _, c := range open {
			_ = c.Close()
		}
		w.eventually("goroutines are back", func() bool { return runtime.NumGoroutine() <= goroutines+20 })
		debug.FreeOSMemory()
		require.Less(t, inUse(), memory+64<<20)
	})
}

// TestGR6OtherSpellingsOfAMethodReachNothing would otherwise pass by the rules,
// which compare whole names.
func TestGR6OtherSpellingsOfAMethodReachNothing(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		for _, path := range []string{
			"/greeter.v1.greeter/SayHello", "/greeter.v1.Greeter/sayhello", "/greeter.v1.Greeter/SayHello/", "//greeter.v1.Greeter/SayHello",
			"/greeter.v1.Greeter//SayHello", "/greeter.v1.Greeter/SayHello?x", "/greeter.v1.Greeter/SayHello%20", "/greeter.v1.Greeter%2fSayHello",
			"/./greeter.v1.Greeter/SayHello", "/x/../greeter.v1.Greeter/SayHello", "/greeter.v1.Greeter.SayHello", "/Greeter/SayHello",
			"/greeter.v1.Greeter/SayHello ", "/greeter.v1.Greeter\\SayHello", "/x/greeter.v1.Greeter/SayHello",
		} {
			code, text := w.rough([]string{":path", path}, message(0, 5, ada))
			require.NotEqual(t, codes.OK, code, "%s: %s", path, text)
		}
		// The slash in front is said to be optional by some servers; if it is taken
		// here, it is the same method for the rules too.
		code, _ := w.rough([]string{":path", "greeter.v1.Greeter/SayHello"}, message(0, 5, ada))
		require.NotEqual(t, codes.OK, code)
	})
}

func TestGR8NothingDescribesTheServer(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		for _, role := range []string{"greeter", "phrasebook"} {
			conn := w.normal("greeter").conn
			for _, method := range []string{
				"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
				"/grpc.channelz.v1.Channelz/GetServers", "/grpc.admin.v1.Admin/x", "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
			} {
				err := conn.Invoke(t.Context(), method, new(emptypb.Empty), new(emptypb.Empty))
				require.Equal(t, codes.Unimplemented, status.Code(err), "%s: %s", role, method)
			}
		}
	})
}

func TestGR12GRPCIsNewEnough(t *testing.T) {
	require.GreaterOrEqual(t, grpc.Version, "1.82.1", "GHSA-hrxh-6v49-42gf")
	info, ok := debug.ReadBuildInfo()
	require.True(t, ok)
	for _, dep := range info.Deps {
		if dep.Path == "golang.org/x/net" {
			require.GreaterOrEqual(t, dep.Version, "v0.55.0")
		}
	}
}

// TestHT13TheGatewaySpeaksHTTP2OverTLSAlone tries both ways into HTTP/2 without it.
func TestHT13TheGatewaySpeaksHTTP2OverTLSAlone(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		a := w.one("GET /v1/greetings/Ada HTTP/1.1\nHost: x\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n\n")
		require.Equal(t, 200, a.StatusCode)
		require.Equal(t, 1, a.ProtoMajor)
		w.one("GET /shop/a HTTP/1.1\nHost: x\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n\n")
		for _, name := range []string{"Upgrade", "Http2-Settings"} {
			require.Empty(t, w.shop.head()[name])
		}
		s := w.connect("gateway")
		newAttacker(s)
		require.NoError(t, s.SetReadDeadline(time.Now().Add(20*time.Second)))
		text, _ := io.ReadAll(s)
		require.False(t, bytes.HasPrefix(text, []byte{0, 0}), "frames: %q", text)
	})
}
