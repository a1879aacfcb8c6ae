package hostile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/app/services/greeter/greeterpb"
)

// An attacker is a connection that speaks HTTP/2 frame by frame.
type attacker struct {
	*http2.Framer
	head   bytes.Buffer
	encode *hpack.Encoder
	stream uint32   // the last one that was begun
	fields []string // changes the headers of a call
}

// newAttacker says hello on a connection.
func newAttacker(c net.Conn) *attacker {
	a := &attacker{Framer: http2.NewFramer(c, nil), stream: ^uint32(0)}
	a.AllowIllegalWrites = true
	a.encode = hpack.NewEncoder(&a.head)
	_, _ = io.WriteString(c, http2.ClientPreface)
	_ = a.WriteSettings()
	return a
}

// call is the headers of a greeting, and more.
func (a *attacker) call(more ...string) []byte {
	return a.changed(append(slices.Clone(a.fields), more...))
}

// changed is the headers of a greeting with some fields in the place of others,
// by name, or behind them.
func (a *attacker) changed(fields []string) []byte {
	all := [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/greeter.v1.Greeter/SayHello"}, {":authority", "x"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	}
	for i := 0; i < len(fields); i += 2 {
		at := slices.IndexFunc(all, func(f [2]string) bool { return f[0] == fields[i] })
		if at < 0 {
			all = append(all, [2]string{})
			at = len(all) - 1
		}
		all[at] = [2]string{fields[i], fields[i+1]}
	}
	a.head.Reset()
	for _, f := range all {
		_ = a.encode.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return a.head.Bytes()
}

// newDecoder reads the headers of answers.
func newDecoder() *hpack.Decoder { return hpack.NewDecoder(4096, nil) }

// begin begins another stream, whose body is still to come.
func (a *attacker) begin() (uint32, error) {
	a.stream += 2
	return a.stream, a.WriteHeaders(http2.HeadersFrameParam{StreamID: a.stream, BlockFragment: a.call(), EndHeaders: true})
}

// A flood is one step of an attack, repeated until the server has enough.
type flood struct {
	name string
	step func(a *attacker) error
}

// onStream is a step that begins a stream and does something bad with it.
func onStream(bad func(a *attacker, id uint32) error) func(*attacker) error {
	return func(a *attacker) error {
		id, err := a.begin()
		if err != nil {
			return err
		}
		return bad(a, id)
	}
}

func floods() []flood {
	return []flood{
		{"rapid reset", onStream(func(a *attacker, id uint32) error { return a.WriteRSTStream(id, http2.ErrCodeCancel) })},
		{"made you reset: window of 0", onStream(func(a *attacker, id uint32) error { return a.WriteWindowUpdate(id, 0) })},
		{"made you reset: window too large", onStream(func(a *attacker, id uint32) error { return a.WriteWindowUpdate(id, 1<<31-1) })},
		{"made you reset: priority of 4 bytes", onStream(func(a *attacker, id uint32) error {
			return a.WriteRawFrame(http2.FramePriority, 0, id, []byte{0, 0, 0, 0})
		})},
		{"made you reset: priority on itself", onStream(func(a *attacker, id uint32) error {
			return a.WritePriority(id, http2.PriorityParam{StreamDep: id})
		})},
		{"made you reset: data after the end", onStream(func(a *attacker, id uint32) error {
			_ = a.WriteData(id, true, []byte{0, 0, 0, 0, 0})
			return a.WriteData(id, true, []byte{0})
		})},
		{"continuation", func(a *attacker) error {
			if a.stream == ^uint32(0) {
				a.stream = 1
				return a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.call()})
			}
			return a.WriteContinuation(1, false, bytes.Repeat([]byte{0x40, 1, 'a', 1, 'b'}, 100))
		}},
		{"settings", func(a *attacker) error {
			return a.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 16}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096})
		}},
		{"ping", func(a *attacker) error { return a.WritePing(false, [8]byte{}) }},
		{"empty data", func(a *attacker) error {
			if a.stream == ^uint32(0) {
				if _, err := a.begin(); err != nil {
					return err
				}
			}
			return a.WriteData(a.stream, false, nil)
		}},
		{"priority", func(a *attacker) error {
			a.stream += 2
			return a.WritePriority(a.stream, http2.PriorityParam{StreamDep: 0, Weight: 7})
		}},
		{"window updates", func(a *attacker) error { return a.WriteWindowUpdate(0, 1) }},
		{"unknown frames", func(a *attacker) error { return a.WriteRawFrame(0x1f, 0xff, 0, make([]byte, 1<<10)) }},
		{"HPACK bomb", func(a *attacker) error {
			// One long field goes into the table, and is named four thousand times.
			block := append(a.call("a", strings.Repeat("x", 4000)), bytes.Repeat([]byte{0x80 | 62}, 4000)...)
			a.stream += 2
			return a.WriteHeaders(http2.HeadersFrameParam{StreamID: a.stream, BlockFragment: block, EndHeaders: true, EndStream: true})
		}},
		{"headers without end", onStream(func(*attacker, uint32) error { return nil })},
		{"window of 0 for answers", func(a *attacker) error {
			if a.stream == ^uint32(0) {
				_ = a.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			}
			id, err := a.begin()
			if err != nil {
				return err
			}
			return a.WriteData(id, true, []byte{0, 0, 0, 0, 5, 0x0a, 3, 'A', 'd', 'a'})
		}},
	}
}

// A crowd is who attacks, and who is hoped not to notice.
type crowd struct {
	dial  func(context.Context) (net.Conn, error)
	begin []string      // changes the headers of a greeting
	ask   func() string // what the normal client was told; empty: it is content
}

// A report is how the normal client fared in each flood.
type report struct{ lines []string }

func newReport() *report {
	return &report{[]string{fmt.Sprintf("\n%-38s %9s %6s %6s %6s %9s", "flood", "steps", "conns", "asked", "lost", "slowest")}}
}

func (r *report) String() string { return strings.Join(r.lines, "\n") }

// run has four attackers for a while, of whom two read what they are told,
// while somebody else asks for greetings.
func (r *report) run(t *testing.T, f flood, c crowd) {
	t.Helper()
	long := time.Second
	if testing.Short() {
		long = 200 * time.Millisecond
	}
	ctx, stop := context.WithTimeout(t.Context(), long)
	defer stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	steps, conns := 0, 0
	for i := range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				n := c.attack(ctx, f, i%2 == 0)
				mu.Lock()
				steps, conns = steps+n, conns+1
				mu.Unlock()
			}
		})
	}
	asked, lost, slowest := 0, 0, time.Duration(0)
	for ctx.Err() == nil {
		start := time.Now()
		if bad := c.ask(); bad != "" {
			t.Log(f.name, bad)
			lost++
		}
		asked++
		slowest = max(slowest, time.Since(start))
	}
	all.Wait()
	r.lines = append(r.lines, fmt.Sprintf("%-38s %9d %6d %6d %6d %9s", f.name, steps, conns, asked, lost, slowest.Round(time.Millisecond)))
	require.Zero(t, lost, f.name)
	require.Less(t, slowest, patience, f.name)
	if !testing.Short() {
		require.GreaterOrEqual(t, steps, 200, "%s: that was no flood", f.name)
	}
}

// pace is how many steps an attacker takes in 10 ms: as much as one on the far
// end of a line could, and less than what takes this machine's processors from
// the client that is measured.
const pace = 100

// attack repeats a step on one connection until the server closes it or ctx
// ends, and returns how often. Such a server has earned a pause.
func (c *crowd) attack(ctx context.Context, f flood, reads bool) (steps int) {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	conn, err := c.dial(ctx)
	if err != nil {
		<-again.C
		return 0
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	over := make(chan struct{})
	go func() {
		defer close(over)
		if reads {
			_, _ = io.Copy(io.Discard, conn)
		}
	}()
	a := newAttacker(conn)
	a.fields = c.begin
	for ctx.Err() == nil && f.step(a) == nil {
		if steps++; steps%pace == 0 {
			<-again.C
		}
	}
	_ = conn.Close()
	<-over
	return steps
}

// TestHT11FloodsDoNotReachOtherClients floods a gRPC port.
func TestHT11FloodsDoNotReachOtherClients(t *testing.T) {
	overTCP(t, func(t *testing.T, w *world) {
		normal := w.normal("greeter")
		goroutines, memory := runtime.NumGoroutine(), inUse()
		report := newReport()
		for _, f := range floods() {
			report.run(t, f, crowd{
				dial: func(ctx context.Context) (net.Conn, error) { return w.net.Dial(ctx, w.where["greeter"]) },
				ask: func() string {
					if err := normal.once(); err != nil {
						return err.Error()
					}
					return ""
				},
			})
			require.Less(t, inUse(), memory+256<<20, f.name)
		}
		t.Log(report)
		t.Run("HT15 all comes back", func(t *testing.T) {
			w.eventually("goroutines are back", func() bool { return runtime.NumGoroutine() <= goroutines+20 })
			require.Less(t, inUse(), memory+64<<20)
		})
	})
}

// A client is one who means well.
type client struct{ conn *grpc.ClientConn }

// normal is a gRPC client of a role.
func (w *world) normal(role string) *client {
	w.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+w.where[role], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return w.net.Dial(ctx, addr) }))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	c := &client{conn}
	require.NoError(w.t, c.once())
	return c
}

// patience is how long one who means well waits. It is long because attackers and
// attacked share this machine, and whatever else runs on it; how long he did wait
// is in the report.
const patience = 10 * time.Second

// once asks for one greeting.
func (c *client) once() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := greeterpb.NewGreeterClient(c.conn).SayHello(ctx, &greeterpb.SayHelloRequest{Name: "Ada"})
	return err
}

// TestHT12UnknownFrameTypesAreIgnored sends each between two greetings on one
// connection.
func TestHT12UnknownFrameTypesAreIgnored(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		s := w.connect("greeter")
		a := newAttacker(s)
		for kind := range 0x20 {
			if kind >= 0x0a {
				require.NoError(t, a.WriteRawFrame(http2.FrameType(kind), 0xff, uint32(kind%2), []byte("hello")))
			}
		}
		id, err := a.begin()
		require.NoError(t, err)
		require.NoError(t, a.WriteData(id, true, []byte{0, 0, 0, 0, 5, 0x0a, 3, 'A', 'd', 'a'}))
		require.Contains(t, a.replies(s, id), "Hello, Ada!")
	})
}

// replies reads what comes on a stream to its end.
func (a *attacker) replies(s *stranger, id uint32) string {
	s.t.Helper()
	require.NoError(s.t, s.SetReadDeadline(time.Now().Add(10*time.Second)))
	in := http2.NewFramer(nil, s.in)
	var text strings.Builder
	for {
		f, err := in.ReadFrame()
		require.NoError(s.t, err)
		switch f := f.(type) {
		case *http2.DataFrame:
			text.Write(f.Data())
		case *http2.GoAwayFrame:
			return f.ErrCode.String()
		case *http2.RSTStreamFrame:
			return f.ErrCode.String()
		}
		if f.Header().StreamID == id && f.Header().Flags.Has(http2.FlagHeadersEndStream) {
			return text.String()
		}
	}
}

// TestHT10StreamsAndHeadersHaveALimit reads what the server allows.
func TestHT10StreamsAndHeadersHaveALimit(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		s := w.connect("greeter")
		newAttacker(s)
		require.NoError(t, s.SetReadDeadline(time.Now().Add(10*time.Second)))
		f, err := http2.NewFramer(nil, s.in).ReadFrame()
		require.NoError(t, err)
		settings, ok := f.(*http2.SettingsFrame)
		require.True(t, ok, f)
		for id, most := range map[http2.SettingID]uint32{
			http2.SettingMaxConcurrentStreams: 1000, http2.SettingMaxHeaderListSize: 64 << 10,
		} {
			v, ok := settings.Value(id)
			require.True(t, ok, id)
			require.LessOrEqual(t, v, most, id)
			require.GreaterOrEqual(t, v, uint32(100), id)
		}
		if v, ok := settings.Value(http2.SettingInitialWindowSize); ok {
			require.LessOrEqual(t, v, uint32(1<<20), "bytes of a stream that nobody reads")
		}
	})
}
