package rpc

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"example.com/app/platform/rpc/internal/loadpb"
)

// A load knows how busy a server is, and tells clients that ask (Prequal). It
// stands before everything else: a question about the load is answered when
// nothing else is any more.
type load struct {
	loadpb.UnimplementedLoadServer

	began    time.Time
	inFlight atomic.Int64
	next     atomic.Uint64
	recent   [128]atomic.Uint64 // samples, the latest ones
}

// fresh is how long a call counts as recent.
const fresh = 10 * time.Second

// unary counts a call and times it. What failed is not timed: a failure is no
// sign of speed.
func (l *load) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	switch {
	case info.FullMethod == loadpb.Load_Probe_FullMethodName:
		return l.Probe(ctx, nil)
	case strings.HasPrefix(info.FullMethod, healthPrefix):
		return handle(ctx, req)
	}
	start, n := time.Since(l.began), l.inFlight.Add(1)
	defer l.inFlight.Add(-1) // also where a handler ends its goroutine
	reply, err := handle(ctx, req)
	if err == nil {
		end := time.Since(l.began)
		l.recent[l.next.Add(1)%uint64(len(l.recent))].Store(uint64(newSample(n, end-start, end)))
	}
	return reply, err
}

// stream counts a stream. How long it lasts says nothing.
func (l *load) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if !strings.HasPrefix(info.FullMethod, healthPrefix) {
		l.inFlight.Add(1)
		defer l.inFlight.Add(-1)
	}
	return handle(srv, ss)
}

// Probe tells how many calls are in flight, and how long one more would take.
func (l *load) Probe(context.Context, *loadpb.ProbeRequest) (*loadpb.ProbeResponse, error) {
	n := l.inFlight.Load()
	return &loadpb.ProbeResponse{
		InFlight:  uint32(max(n, 0)),
		LatencyUs: uint64(l.latency(time.Since(l.began), n+1).Microseconds()),
	}, nil
}

// latency is the median of what recent calls took that arrived when about n
// were in flight, themselves included; 0: there were none. It goes as far from
// n as it must to find a few.
func (l *load) latency(now time.Duration, n int64) time.Duration {
	const few = 8
	var recent [len(l.recent)]sample
	known := recent[:0]
	for i := range l.recent {
		if s := sample(l.recent[i].Load()); s != 0 && now-s.ended() <= fresh {
			known = append(known, s)
		}
	}
	var room [len(l.recent)]time.Duration
	near := room[:0]
	for reach := n / 8; len(near) < min(few, len(known)); reach = 2*reach + 1 {
		near = near[:0]
		for _, s := range known {
			if d := s.inFlight() - n; -reach <= d && d <= reach {
				near = append(near, s.took())
			}
		}
	}
	if len(near) == 0 {
		return 0
	}
	slices.Sort(near)
	return near[len(near)/2]
}

// A sample is one call in one word, so that it is read and written at once: the
// calls in flight when it arrived (15 bits), what it took (28 bits, in
// microseconds) and when it ended (21 bits, in steps of 0.1 s: 58 hours, then
// round again). It is never 0.
type sample uint64

const step = 100 * time.Millisecond

func newSample(inFlight int64, took, ended time.Duration) sample {
	n := uint64(min(max(inFlight, 1), math.MaxInt16))
	t := uint64(min(max(took.Microseconds(), 1), 1<<28-1))
	return sample(n<<49 | t<<21 | uint64(ended/step)&(1<<21-1))
}

func (s sample) inFlight() int64      { return int64(s >> 49) }
func (s sample) took() time.Duration  { return time.Duration(s>>21&(1<<28-1)) * time.Microsecond }
func (s sample) ended() time.Duration { return time.Duration(s&(1<<21-1)) * step }
