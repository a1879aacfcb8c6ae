package http1_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/proxy/http1"
)

func TestAConnectionIsUsedAgainOnlyAfterACleanEnd(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		dials int32
	}{
		"by length":       {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", 1},
		"in chunks":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", 1},
		"no content":      {"HTTP/1.1 204 No Content\r\n\r\n", 1},
		"told to close":   {"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 4\r\n\r\nbody", 3},
		"over HTTP/1.0":   {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody", 3},
		"more behind it":  {"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED", 3},
		"a body in a 304": {"HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\n\r\nSMUGGLED", 3},
	} {
		t.Run(name, func(t *testing.T) {
			everyWorld(t, http1.Config{}, answers(c.text), func(t *testing.T, w *world) {
				for range 3 {
					_, body, err := w.do()
					require.NoError(t, err)
					require.NotContains(t, body, "SMUGGLED")
				}
				require.Equal(t, c.dials, w.dials.Load())
			})
		})
	}
}

func TestABodyThatWasNotReadEndsTheConnection(t *testing.T) {
	everyWorld(t, http1.Config{}, answers("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"), func(t *testing.T, w *world) {
		for range 2 {
			res, err := w.Do(t.Context(), w.request())
			require.NoError(t, err)
			res.Close()
		}
		require.EqualValues(t, 2, w.dials.Load())
	})
}

func TestAnAnswerThatNobodyAskedForIsNotTheNextOnes(t *testing.T) {
	push := make(chan struct{})
	everyWorld(t, http1.Config{}, func(c net.Conn) {
		r := bufio.NewReader(c)
		for first := true; ; first = false {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
			if first {
				<-push
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED")
				push <- struct{}{}
			}
		}
	}, func(t *testing.T, w *world) {
		for range 2 {
			_, body, err := w.do()
			require.NoError(t, err)
			require.Equal(t, "body", body)
			push <- struct{}{}
			<-push
			w.settle()
		}
		require.EqualValues(t, 2, w.dials.Load())
	})
}

func TestAUsedConnectionThatWasClosedIsNotUsed(t *testing.T) {
	inMemory(t, http1.Config{}, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}, func(t *testing.T, w *world) {
		for range 3 {
			_, _, err := w.do()
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		require.EqualValues(t, 3, w.dials.Load())
	})
}

// once answers the first request of a connection, and hangs up at the second.
func once(c net.Conn) {
	r := bufio.NewReader(c)
	if _, err := http.ReadRequest(r); err == nil {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_, _ = http.ReadRequest(r)
	}
}

func TestAUsedConnectionThatEndsWithoutAnAnswerIsTold(t *testing.T) {
	everyWorld(t, http1.Config{}, once, func(t *testing.T, w *world) {
		_, _, err := w.do()
		require.NoError(t, err)
		_, _, err = w.do()
		require.ErrorIs(t, err, http1.ErrUnanswered)
	})
	everyWorld(t, http1.Config{}, func(net.Conn) {}, func(t *testing.T, w *world) {
		_, _, err := w.do()
		require.Error(t, err)
		require.NotErrorIs(t, err, http1.ErrUnanswered, "it was a new one")
	})
}

func TestAFreshConnectionIsOneNobodyUsed(t *testing.T) {
	everyWorld(t, http1.Config{}, answers("HTTP/1.1 204 No Content\r\n\r\n"), func(t *testing.T, w *world) {
		for range 2 {
			r := w.request()
			r.Fresh = true
			res, err := w.Do(t.Context(), r)
			require.NoError(t, err)
			res.Close()
		}
		require.EqualValues(t, 2, w.dials.Load())
	})
}

func TestAnAnswerCountsThatComesBeforeTheRequestIsRead(t *testing.T) {
	everyWorld(t, http1.Config{}, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	}, func(t *testing.T, w *world) {
		r := w.request()
		r.Text = append(r.Text, make([]byte, 16<<10)...)
		res, err := w.Do(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, 413, res.Status)
		res.Close()
	})
}

func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestAnAnswerMustBeginInTime(t *testing.T) {
	inMemory(t, http1.Config{}, silent, func(t *testing.T, w *world) {
		began := time.Now()
		_, _, err := w.do()
		require.ErrorIs(t, err, http1.ErrTimeout)
		require.Equal(t, 10*time.Second, time.Since(began))
		r := w.request()
		r.Until = time.Now()
		_, err = w.Do(t.Context(), r)
		require.ErrorIs(t, err, http1.ErrTimeout, "it is over already")
	})
}

func TestWhoLeavesEndsTheExchange(t *testing.T) {
	inMemory(t, http1.Config{}, silent, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := io.ErrClosedPipe
		go func() { time.Sleep(time.Second); cancel(gone) }()
		_, err := w.Do(ctx, w.request())
		require.ErrorIs(t, err, gone)
		_, err = w.Do(ctx, w.request())
		require.ErrorIs(t, err, gone)
	})
	inMemory(t, http1.Config{}, answers("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"), func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		res, err := w.Do(ctx, w.request())
		require.NoError(t, err)
		defer res.Close()
		go func() { time.Sleep(time.Second); cancel() }()
		_, err = res.Next()
		require.Error(t, err)
	})
}

func TestInformationalAnswersAreTold(t *testing.T) {
	everyWorld(t, http1.Config{}, answers(wellFormed["after early hints"].text), func(t *testing.T, w *world) {
		r := w.request()
		var told []string
		r.Inform = func(status int, h http.Header) {
			require.Equal(t, 103, status)
			told = append(told, h.Get("Link"))
		}
		res, err := w.Do(t.Context(), r)
		require.NoError(t, err)
		defer res.Close()
		require.Equal(t, []string{"x"}, told)
		require.Empty(t, res.Header.Get("Link"))
	})
}

func TestIdleConnectionsEndAfterAWhile(t *testing.T) {
	inMemory(t, http1.Config{}, answers("HTTP/1.1 204 No Content\r\n\r\n"), func(t *testing.T, w *world) {
		for _, step := range []struct {
			after time.Duration
			dials int32
		}{{0, 1}, {29 * time.Second, 1}, {31 * time.Second, 2}, {29 * time.Second, 2}, {time.Hour, 3}} {
			time.Sleep(step.after)
			_, _, err := w.do()
			require.NoError(t, err)
			require.Equal(t, step.dials, w.dials.Load(), step.after)
		}
	})
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	inMemory(t, http1.Config{IdleConnsPerHost: 2}, answers("HTTP/1.1 204 No Content\r\n\r\n"), func(t *testing.T, w *world) {
		for range 2 {
			var open []*http1.Response
			for range 3 {
				res, err := w.Do(t.Context(), w.request())
				require.NoError(t, err)
				_, err = read(res)
				require.NoError(t, err)
				open = append(open, res)
			}
			for _, res := range open {
				res.Close()
			}
		}
		require.EqualValues(t, 4, w.dials.Load(), "two of three were kept")
		w.Close()
		_, _, err := w.do()
		require.NoError(t, err)
		require.EqualValues(t, 5, w.dials.Load(), "none after Close")
	})
}

func TestAnAlarmThatRangNeverIsStopped(t *testing.T) {
	rang := make(chan struct{}, 1)
	a := http1.NewAlarm(func() { rang <- struct{}{} })
	require.True(t, a.Stop(), "it was not set")
	a.Set(time.Hour)
	require.True(t, a.Stop())
	a.Set(time.Microsecond)
	<-rang
	require.False(t, a.Stop())
	require.False(t, a.Stop())
}
