package rpc

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/app/platform/rpc/internal/probepb"
)

// left is a server that tells how much time each call has.
func (w *world) left() chan time.Duration {
	w.Helper()
	told := make(chan time.Duration, 1)
	w.start("probe-0", &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
		deadline, ok := ctx.Deadline()
		require.True(w, ok)
		told <- time.Until(deadline)
		return &probepb.Reply{}, nil
	}}, ServerConfig{})
	return told
}

func TestRT5EveryCallHasADeadlineOfAMinuteAtMost(t *testing.T) {
	one := Methods{"/probe.v1.Probe/Write": {Timeout: 300 * time.Millisecond}}
	for name, test := range map[string]struct {
		cfg         ClientConfig
		given, want time.Duration // given 0: none
	}{
		"none":                   {ClientConfig{}, 0, 10 * time.Second},
		"the client's":           {ClientConfig{Timeout: time.Second}, 0, time.Second},
		"the client's, too long": {ClientConfig{Timeout: time.Hour}, 0, time.Minute},
		"its own":                {ClientConfig{}, 20 * time.Second, 20 * time.Second},
		"its own, too long":      {ClientConfig{}, time.Hour, time.Minute},
		"the method's":           {ClientConfig{Methods: one}, 0, 300 * time.Millisecond},
		"the method's, at most":  {ClientConfig{Methods: one}, time.Second, 300 * time.Millisecond},
		"its own, which is less": {ClientConfig{Methods: one}, 200 * time.Millisecond, 200 * time.Millisecond},
		"another method's":       {ClientConfig{Methods: Methods{"/probe.v1.Probe/Read": {Timeout: time.Second}}}, 0, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				told := w.left()
				conn := w.dialAs("client", test.cfg)
				w.reach(conn)
				ctx := w.Context()
				if test.given > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.given)
					defer cancel()
				}
				_, err := probepb.NewProbeClient(conn).Write(ctx, &probepb.Request{})
				require.NoError(w, err)
				require.Equal(w, test.want, <-told)
			})
		})
	}
}

func TestRT5ADeadlineIsHandedOnLessAMargin(t *testing.T) {
	for name, test := range map[string]struct {
		margin, given, want time.Duration
	}{
		"as it comes":          {0, time.Second, 995 * time.Millisecond},
		"of a little, little":  {0, 20 * time.Millisecond, 18 * time.Millisecond},
		"set":                  {50 * time.Millisecond, time.Second, 950 * time.Millisecond},
		"none":                 {-1, time.Second, time.Second},
		"more than there is":   {2 * time.Second, time.Second, 0},
		"exactly all there is": {time.Second, time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				told := w.left()
				next := probepb.NewProbeClient(w.dialAs("relay", ClientConfig{Margin: test.margin}))
				through := w.relayTo(&probe{answer: func(ctx context.Context, req *probepb.Request) (*probepb.Reply, error) {
					return next.Write(ctx, req)
				}}, ServerConfig{})
				ctx, cancel := context.WithTimeout(w.Context(), test.given)
				defer cancel()
				start := time.Now()
				_, err := through.Write(ctx, &probepb.Request{})
				if test.want > 0 {
					require.NoError(w, err)
					require.Equal(w, test.want, <-told)
					return
				}
				require.Equal(w, codes.DeadlineExceeded, status.Code(err))
				require.Equal(w, "no time is left to ask probe", status.Convert(err).Message())
				require.Equal(w, start, time.Now(), "it is refused at once")
				require.Empty(w, told)
			})
		})
	}
}

func TestRT5WorkStopsWhenItsTimeHasPassed(t *testing.T) {
	inMemory(t, func(w *world) {
		stopped := make(chan time.Time, 1)
		w.start("probe-0", &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
			<-ctx.Done()
			stopped <- time.Now()
			return nil, ctx.Err()
		}}, ServerConfig{})
		through, _ := w.readRelay()
		start := time.Now()
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		_, err := through.Read(ctx, &probepb.Request{})
		require.Equal(w, codes.DeadlineExceeded, status.Code(err))
		require.Equal(w, 995*time.Millisecond, (<-stopped).Sub(start))
	})
}
