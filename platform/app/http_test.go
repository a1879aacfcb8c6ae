package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"example.com/app/platform/resilience"
	"example.com/app/platform/rpc"
)

// serveWeb starts one HTTP instance and returns somebody who visits it.
func serveWeb(t *testing.T, cfg Config, handler http.HandlerFunc) (*subject, *visitor) {
	t.Helper()
	cfg.Roles, cfg.Fabric = []Role{serves("www", web{handler})}, Memory()
	return start(t, cfg), visit(t, hostOf(cfg.Fabric, "outside"))
}

func TestHTTPRequestsAreCountedByStatusClass(t *testing.T) {
	bubble(t, func(t *testing.T) {
		answers := map[string]func(http.ResponseWriter){
			"/nothing":  func(http.ResponseWriter) {},
			"/text":     func(w http.ResponseWriter) { fmt.Fprint(w, "hello") },
			"/created":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusCreated) },
			"/elswhere": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotModified) },
			"/missing":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
			"/early":    func(w http.ResponseWriter) { w.WriteHeader(http.StatusEarlyHints); w.WriteHeader(http.StatusTeapot) },
			"/broken":   func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) },
			"/panic":    func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
			"/twice":    func(w http.ResponseWriter) { fmt.Fprint(w, "hello"); panic(http.ErrAbortHandler) },
		}
		cfg := Config{Metrics: prometheus.NewRegistry()}
		seen := new(journal)
		cfg.Observe = func(c Call) { seen.note("%s %s %s", c.Host, c.Method, c.Code) }
		_, v := serveWeb(t, cfg, func(w http.ResponseWriter, r *http.Request) { answers[r.URL.Path](w) })
		v.client.Transport.(*http.Transport).DisableKeepAlives = true // else it asks again where there was no answer
		for path := range answers {
			_, _, _ = v.ask("http://www-1:8080" + path)
		}
		synctest.Wait()
		require.Len(t, seen.lines, len(answers))
		for class, want := range map[string]int{"2xx": 4, "3xx": 1, "4xx": 2, "5xx": 2} {
			require.Equal(t, want, samples(t, cfg.Metrics, "http_server_request_duration_seconds", class), class)
		}
		require.Contains(t, seen.lines, "www-1 GET /text OK")
		require.Contains(t, seen.lines, "www-1 GET /broken Unavailable")
	})
}

// samples is the count of a histogram for one status class.
func samples(t *testing.T, reg *prometheus.Registry, name, class string) int {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetValue() == class {
					return int(m.GetHistogram().GetSampleCount())
				}
			}
		}
	}
	return 0
}

func TestHTTPStatusAsCode(t *testing.T) {
	for status, want := range map[int]codes.Code{
		101: codes.OK, 200: codes.OK, 304: codes.OK, 400: codes.InvalidArgument, 404: codes.InvalidArgument,
		429: codes.ResourceExhausted, 500: codes.Unavailable, 503: codes.Unavailable, 504: codes.DeadlineExceeded,
	} {
		require.Equal(t, want, asCode(status), status)
	}
	require.True(t, Call{Call: rpc.Call{Code: codes.ResourceExhausted}}.Failed(), "a call that was turned away was lost")
	require.False(t, Call{Call: rpc.Call{Code: codes.InvalidArgument}}.Failed(), "its caller's fault")
}

func TestHTTPAnswersCanBeFlushed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for name, flush := range map[string]func(http.ResponseWriter){
			"by controller": func(w http.ResponseWriter) { require.NoError(t, http.NewResponseController(w).Flush()) },
			"by interface":  func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		} {
			over := make(chan struct{})
			s, v := serveWeb(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, "first")
				flush(w)
				<-over
			})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://www-1:8080/", http.NoBody)
			require.NoError(t, err)
			res, err := v.client.Do(req)
			require.NoError(t, err)
			text := make([]byte, 5)
			_, err = io.ReadFull(res.Body, text)
			require.NoError(t, err, name)
			require.Equal(t, "first", string(text))
			require.Equal(t, 1, s.InFlight())
			close(over)
			require.NoError(t, res.Body.Close())
			_, err = s.end()
			require.NoError(t, err)
		}
	})
}

// upgrade takes the connection over, as a websocket does, and repeats what it
// reads until the connection or the request's context ends.
func upgrade(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		defer context.AfterFunc(r.Context(), func() { _ = c.Close() })()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		for rw.Flush() == nil {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprint(rw, line)
		}
	}
}

// talk opens such a connection and returns its two ends.
func talk(t *testing.T, v *visitor) io.ReadWriteCloser {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://www-1:8080/", http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	res, err := v.client.Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	c := res.Body.(io.ReadWriteCloser)
	fmt.Fprint(c, "ping\n")
	line, err := bufio.NewReader(c).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ping\n", line)
	return c
}

func TestHTTPConnectionThatWasTakenOverIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := serveWeb(t, Config{}, upgrade(t))
		c := talk(t, v)
		require.Equal(t, 1, s.InFlight())
		time.AfterFunc(7*time.Second, func() { _ = c.Close() })
		took, err := s.end()
		require.NoError(t, err)
		require.InDelta(t, 7, took.Seconds(), 0.1)
	})
}

func TestHTTPConnectionThatWasTakenOverIsCutAtTheGrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := serveWeb(t, Config{Grace: 10 * time.Second}, upgrade(t))
		c := talk(t, v)
		defer c.Close()
		took, err := s.end()
		require.EqualError(t, err, "www-1: 1 calls were cut at the deadline")
		require.Equal(t, 10*time.Second, took)
		_, err = c.Read(make([]byte, 1))
		require.Error(t, err)
	})
}

func TestHTTPClientsAreSentElsewhereDuringTheDrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := serveWeb(t, Config{Drain: 5 * time.Second}, greeting)
		for range 2 {
			res, _, err := v.ask("http://www-1:8080/")
			require.NoError(t, err)
			require.False(t, res.Close)
		}
		s.stop()
		synctest.Wait()
		for range 2 {
			res, text, err := v.ask("http://www-1:8080/")
			require.NoError(t, err, "it still answers")
			require.Equal(t, "hello", text)
			require.True(t, res.Close, "Connection: close")
		}
		<-s.ended
		require.NoError(t, s.err)
	})
}

func TestHTTPWorkIsBoundedAndRefusedAsJSON(t *testing.T) {
	bubble(t, func(t *testing.T) {
		work := map[string]resilience.Work{"www": {Time: time.Second, Workers: 1, Queue: 1}}
		_, v := serveWeb(t, Config{Work: work}, greeting)
		begin, answers := time.Now(), make(chan time.Duration, 2)
		for range 2 {
			go func() {
				_, _, err := v.ask("http://www-1:8080/")
				if err == nil {
					answers <- time.Since(begin)
				}
			}()
			synctest.Wait()
		}
		code, text, header := v.get("http://www-1:8080/")
		require.Equal(t, http.StatusTooManyRequests, code)
		require.Equal(t, "application/json", header.Get("Content-Type"))
		var body struct {
			Error struct {
				Code            int
				Status, Message string
				Details         []struct{ Reason string }
			}
		}
		require.NoError(t, json.Unmarshal([]byte(text), &body), text)
		require.Equal(t, 429, body.Error.Code)
		require.Equal(t, "RESOURCE_EXHAUSTED", body.Error.Status)
		require.Equal(t, "all 1 workers are busy and 1 calls wait already", body.Error.Message)
		require.Equal(t, "QUEUE_FULL", body.Error.Details[0].Reason)
		require.Zero(t, time.Since(begin), "refused at once")
		require.Equal(t, time.Second, <-answers)
		require.Equal(t, 2*time.Second, <-answers)
	})
}

func TestHTTPErrorOfTheWorkersHasTheCodeOfItsKind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := Config{Work: map[string]resilience.Work{"www": {Time: time.Hour}}, Grace: time.Second, Metrics: prometheus.NewRegistry()}
		s, v := serveWeb(t, cfg, greeting)
		gone, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		req, err := http.NewRequestWithContext(gone, http.MethodGet, "http://www-1:8080/", http.NoBody)
		require.NoError(t, err)
		_, err = v.client.Do(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		require.Equal(t, 0, s.InFlight())
		require.Equal(t, 1, samples(t, cfg.Metrics, "http_server_request_duration_seconds", "4xx"), "499: its caller went away")
	})
}
