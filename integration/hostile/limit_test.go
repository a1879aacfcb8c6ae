package hostile

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHT2HeadersBodiesAndURLsHaveALimit(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		long := strings.Repeat("x", 40<<10)
		for _, path := range []string{"/v1/greetings/Ada", "/shop/a"} {
			a := w.one("GET " + path + " HTTP/1.1\nHost: x\nA: " + long + "\nB: " + long + "\n\n")
			require.Equal(t, 431, a.StatusCode, path)
			many := w.one("GET " + path + " HTTP/1.1\nHost: x\n" + strings.Repeat("A: b\n", 40<<10) + "\n")
			require.Equal(t, 431, many.StatusCode, path)
			require.Contains(t, []int{414, 431}, w.one("GET "+path+"?a="+long+long+" HTTP/1.1\nHost: x\n\n").StatusCode, path)
			w.shop.forget()
		}
		a := w.one("GET /v1/greetings/Ada HTTP/1.1\nHost: x\nA: " + long[:8<<10] + "\n\n")
		require.Equal(t, 200, a.StatusCode, "a token of 8 KiB has room")
		for _, head := range []string{
			"Content-Length: 1048577\n\n",              // refused before it is sent
			"Content-Length: 99999999999999999999\n\n", // more than can be counted
			"Transfer-Encoding: chunked\n\n" + strings.Repeat("10000\n"+strings.Repeat(" ", 1<<16)+"\n", 17),
		} {
			all, closed := w.send("POST /v1/greetings HTTP/1.1\nHost: x\nContent-Type: application/json\n" + head)
			require.Len(t, all, 1)
			require.Contains(t, []int{400, 413}, all[0].StatusCode, "%.30s", head)
			require.True(t, closed || !w.virtual, "%.30s: what was not read is not taken for a request", head)
		}
	})
}

func TestHT3NoContinueForABodyThatIsRefused(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		for name, head := range map[string]string{
			"too long":      "POST /v1/greetings HTTP/1.1\nContent-Type: application/json\nContent-Length: 1048577",
			"another type":  "POST /v1/greetings HTTP/1.1\nContent-Type: text/plain\nContent-Length: 10",
			"no such path":  "POST /v1/nothing HTTP/1.1\nContent-Type: application/json\nContent-Length: 10",
			"not allowed":   "PUT /v1/greetings HTTP/1.1\nContent-Type: application/json\nContent-Length: 10",
			"unknown query": "POST /v1/greetings?a=b HTTP/1.1\nContent-Type: application/json\nContent-Length: 10",
			"other wish":    "POST /v1/greetings HTTP/1.1\nContent-Type: application/json\nContent-Length: 10\nExpect: something",
		} {
			if !strings.Contains(head, "Expect") {
				head += "\nExpect: 100-continue"
			}
			all, closed := w.send(head + "\nHost: x\n\n")
			require.Len(t, all, 1, name)
			require.GreaterOrEqual(t, all[0].StatusCode, 400, name)
			if w.virtual { // else it takes too long to see
				require.True(t, closed, "%s: a body may be on its way", name)
			}
		}
		s := w.connect("gateway")
		body := `{"name":"Ada","language":"en"}`
		s.say(fmt.Sprintf("POST /v1/greetings HTTP/1.1\nHost: x\nContent-Type: application/json\nExpect: 100-continue\nContent-Length: %d\n\n", len(body)))
		line, err := s.in.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
		_, _ = s.in.ReadString('\n')
		s.say(body)
		all, _ := s.answers("POST")
		require.Equal(t, 200, all[0].StatusCode)
	})
}

// TestHT4SlowClientsAreCut has clients that say nothing, or a byte a second, at
// every point of a request.
func TestHT4SlowClientsAreCut(t *testing.T) {
	const post = "POST %s HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 1000\n\n"
	for name, begin := range map[string]string{
		"silent":                       "",
		"in the request line":          "GET /v1/gree",
		"in the headers":               "GET /v1/greetings/Ada HTTP/1.1\nHost: x\nA: ",
		"in a body":                    fmt.Sprintf(post, "/v1/greetings"),
		"in a body that is forwarded":  fmt.Sprintf(post, "/shop/a"),
		"in a long one":                strings.Replace(fmt.Sprintf(post, "/shop/a"), "1000", "100000", 1),
		"in a body that nobody reads":  fmt.Sprintf(post, "/nothing"),
		"in chunks":                    "POST /v1/greetings HTTP/1.1\nHost: x\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n",
		"in chunks that are forwarded": "POST /shop/a HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n",
	} {
		for _, drip := range []string{"", "1"} {
			t.Run(name+" "+drip, func(t *testing.T) {
				inMemory(t, func(t *testing.T, w *world) {
					s := w.connect("gateway")
					s.say(begin)
					start := time.Now()
					over := make(chan struct{})
					go func() {
						defer close(over)
						_ = s.SetReadDeadline(start.Add(time.Minute))
						for {
							if _, err := s.Read(make([]byte, 4096)); err != nil {
								return
							}
						}
					}()
					tick := time.NewTicker(time.Second)
					defer tick.Stop()
					for cut := false; !cut; {
						select {
						case <-tick.C:
							s.say(drip)
						case <-over:
							cut = true
						}
					}
					require.LessOrEqual(t, time.Since(start), 20*time.Second)
					require.Equal(t, "200", w.get("/v1/greetings/Ada"))
				})
			})
		}
	}
}

// TestHT4ABodyThatComesSteadilyIsTaken is what the limit on slow ones must not
// catch.
func TestHT4ABodyThatComesSteadilyIsTaken(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		s := w.connect("gateway")
		s.say("POST /shop/a HTTP/1.1\nHost: x\nContent-Length: 204800\n\n")
		for range 100 {
			time.Sleep(time.Second)
			s.say(strings.Repeat("x", 2048))
		}
		all, _ := s.answers("POST")
		require.Equal(t, "shop POST /a 204800", all[0].text)
	})
}

func TestHT4HeldConnectionsDoNotHurtOthers(t *testing.T) {
	overTCP(t, func(t *testing.T, w *world) {
		for i := range 400 {
			s := w.connect("gateway")
			s.say([]string{"", "GET /v1/gre", "POST /v1/greetings HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 9\n\n"}[i%3])
		}
		for range 20 {
			start := time.Now()
			require.Equal(t, "200", w.get("/v1/greetings/Ada"))
			require.Less(t, time.Since(start), patience)
		}
	})
}

func TestHT16IdleConnectionsAreClosed(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		s := w.connect("gateway")
		s.say("GET /v1/greetings/Ada HTTP/1.1\nHost: x\n\n")
		all, closed := s.answers("GET")
		require.Len(t, all, 1)
		require.False(t, closed)
		start := time.Now()
		require.NoError(t, s.SetReadDeadline(start.Add(time.Hour)))
		_, err := s.Read(make([]byte, 1))
		require.Error(t, err)
		require.Less(t, time.Since(start), 5*time.Minute)
		synctest.Wait()
	})
}

// TestHT4ClientsThatDoNotReadHurtNobody has clients that ask and do not
// listen.
func TestHT4ClientsThatDoNotReadHurtNobody(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.shop.on("/big", func(rw http.ResponseWriter, _ *http.Request) {
			for range 1 << 10 {
				if _, err := rw.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		})
		var deaf *stranger
		for range 50 {
			deaf = w.connect("gateway")
			deaf.say("GET /shop/big HTTP/1.1\nHost: x\n\n")
		}
		time.Sleep(10 * time.Second)
		require.Equal(t, "200", w.get("/v1/greetings/Ada"))
		require.Equal(t, "200", w.get("/shop/a"))
		time.Sleep(2 * time.Minute)
		res, err := http.ReadResponse(deaf.in, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.Error(t, err, "the answer was broken off, not kept for it")
	})
}
