package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/platform/resilience"
	"example.com/app/services/greeter/greeterpb"
	"example.com/app/services/phrasebook/phrasebookpb"
	"example.com/app/sim/load"
)

func TestAGreetingCrossesTheWholeSystem(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		hello, err := w.greet("Ada", "")
		require.NoError(t, err)
		require.Equal(t, "Hello, Ada!", hello, "over HTTP")

		posted, err := w.Do(t.Context(), http.MethodPost, "/v1/greetings", `{"name":"Ada","language":"de"}`)
		require.NoError(t, err)
		require.Contains(t, posted, `"Hallo, Ada!"`, "over HTTP, posted")

		reply, err := w.greeter().SayHello(t.Context(), &greeterpb.SayHelloRequest{Name: "Ada", Language: "sw"})
		require.NoError(t, err)
		require.Equal(t, "Habari, Ada!", reply.GetMessage(), "over gRPC")
		require.Contains(t, reply.GetServedBy(), "greeter-1")
	})
}

func TestG8EveryInstanceServes(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("phrasebook-1", "greeter-1", "greeter-2", "greeter-3", "gateway-1", "gateway-2")
		w.eventually(10*time.Second, "three greeters and two gateways take part", func() bool {
			_, err := w.greet("Ada", "en")
			require.NoError(t, err)
			return min(w.calls("greeter-1"), w.calls("greeter-2"), w.calls("greeter-3"), w.calls("gateway-1"), w.calls("gateway-2")) > 0
		})
	})
}

func TestACrashUnderLoadLosesNoCallAndTheInstanceReturns(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("phrasebook-1", "greeter-1", "greeter-2", "gateway-1")
		calls, lost := w.underLoad(100, func() {
			require.NoError(t, w.Fleet.Crash("greeter-1"))
			before := w.calls("greeter-1")
			w.start("greeter-1")
			w.eventually(10*time.Second, "greeter-1 is called again", func() bool { return w.calls("greeter-1") > before })
		})
		require.NoError(t, lost, "of %d calls", calls)
	})
}

func TestLC1ARollingRestartUnderLoadLosesNoCall(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("phrasebook-1", "greeter-1", "greeter-2", "greeter-3", "gateway-1")
		calls, lost := w.underLoad(100, func() {
			for _, host := range []string{"greeter-1", "greeter-2", "greeter-3"} {
				before := w.calls(host)
				require.NoError(t, w.Fleet.Stop(host))
				w.start(host)
				w.eventually(10*time.Second, host+" is called again", func() bool { return w.calls(host) > before })
			}
		})
		require.NoError(t, lost, "of %d calls", calls)
	})
}

func TestAnEditOfThePhrasebookIsSeenByTheGreeter(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		_, err := w.greet("Ada", "cy")
		require.ErrorContains(t, err, "LANGUAGE_UNKNOWN")

		made, err := w.Do(t.Context(), http.MethodPost, "/v1/languages/cy/phrases?phrase_id=greeting", `{"text":"Helo, {name}!"}`)
		require.NoError(t, err)
		hello, err := w.greet("Ada", "cy")
		require.NoError(t, err)
		require.Equal(t, "Helo, Ada!", hello)

		var phrase struct{ Etag string }
		require.NoError(t, json.Unmarshal([]byte(made), &phrase))
		_, err = w.Do(t.Context(), http.MethodPatch, "/v1/languages/cy/phrases/greeting", `{"text":"Shwmae, {name}!","etag":"`+phrase.Etag+`"}`)
		require.NoError(t, err)
		hello, err = w.greet("Ada", "cy")
		require.NoError(t, err)
		require.Equal(t, "Shwmae, Ada!", hello)

		_, err = w.Do(t.Context(), http.MethodPatch, "/v1/languages/cy/phrases/greeting", `{"text":"Hei, {name}!","etag":"`+phrase.Etag+`"}`)
		require.ErrorContains(t, err, "ETAG_MISMATCH", "an edit of what has changed since is refused")
		_, err = w.Do(t.Context(), http.MethodDelete, "/v1/languages/cy/phrases/greeting", "")
		require.NoError(t, err)
		_, err = w.greet("Ada", "cy")
		require.ErrorContains(t, err, "LANGUAGE_UNKNOWN")
	})
}

func TestPagesOfPhrasesMeetAllOfThemOnce(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("phrasebook-1")
		client, names, token := w.phrasebook(), []string{}, ""
		for {
			page, err := client.ListPhrases(t.Context(), &phrasebookpb.ListPhrasesRequest{Parent: "languages/-", PageSize: 3, PageToken: token})
			require.NoError(t, err)
			require.LessOrEqual(t, len(page.GetPhrases()), 3)
			for _, p := range page.GetPhrases() {
				names = append(names, p.GetName())
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		require.Len(t, names, 8)
		require.IsIncreasing(t, names)
		_, err := client.ListPhrases(t.Context(), &phrasebookpb.ListPhrasesRequest{Parent: "languages/en", PageToken: "bm9uc2Vuc2U"})
		require.Equal(t, codes.InvalidArgument, status.Code(err), "a token of another list is refused")
	})
}

func TestBadInputGetsTheSameErrorOverBothProtocols(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		_, err := w.greeter().SayHello(t.Context(), &greeterpb.SayHelloRequest{Name: "Ada", Language: "English!"})
		st := status.Convert(err)
		require.Equal(t, codes.InvalidArgument, st.Code())
		var field, reason string
		for _, d := range st.Details() {
			switch d := d.(type) {
			case *errdetails.BadRequest:
				field = d.GetFieldViolations()[0].GetField()
			case *errdetails.ErrorInfo:
				reason = d.GetReason()
				require.Equal(t, errs.Domain, d.GetDomain())
			}
		}
		require.Equal(t, "language", field)
		require.Equal(t, "INVALID_FIELD", reason)

		_, err = w.greet("Ada", "English!")
		var refused *load.StatusError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, http.StatusBadRequest, refused.Status)
		var body struct {
			Error struct {
				Code            int
				Status, Message string
				Details         []struct {
					Reason          string
					FieldViolations []struct{ Field string }
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(refused.Body), &body))
		require.Equal(t, "INVALID_ARGUMENT", body.Error.Status)
		require.Equal(t, st.Message(), body.Error.Message)
		require.Contains(t, refused.Body, `"field":"language"`)
		require.Contains(t, refused.Body, `"reason":"INVALID_FIELD"`)

		_, err = w.Do(t.Context(), http.MethodPost, "/v1/greetings", `{"nmae":"Ada"}`)
		require.ErrorAs(t, err, &refused)
		require.Equal(t, http.StatusBadRequest, refused.Status)
		require.Contains(t, refused.Body, "nmae", "an unknown field is refused by name")
		delete(w.idle, "phrasebook-1") // nothing bad came so far
	})
}

func TestStreamsArriveOverEveryProtocol(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		stream, err := w.greeter().SayHelloStream(t.Context(), &greeterpb.SayHelloStreamRequest{Name: "Ada", Languages: []string{"en", "fr"}})
		require.NoError(t, err)
		var heard []string
		for {
			hello, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			heard = append(heard, hello.GetMessage())
		}
		require.Equal(t, []string{"Hello, Ada!", "Bonjour, Ada !"}, heard)

		lines, err := w.Get(t.Context(), "/v1/greetings/Ada:stream?languages=en&languages=fr")
		require.NoError(t, err)
		require.Equal(t, 2, strings.Count(lines, "\n"), "a line each: %q", lines)

		events, err := w.events("/v1/greetings/Ada:stream?languages=en&languages=fr")
		require.NoError(t, err)
		require.Len(t, events, 2, "an event each")
		require.Contains(t, events[1], "Bonjour, Ada !")
	})
}

// events reads a server-sent event stream to its end.
func (w *world) events(path string) ([]string, error) {
	res, err := w.Send(w.t.Context(), http.MethodGet, path, "", http.Header{"Accept": {"text/event-stream"}})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var events []string
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			events = append(events, data)
		}
	}
	return events, lines.Err()
}

func TestRT5ADeadlineReachesTheLastService(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.settings(func(c *app.Config) { c.Work = map[string]resilience.Work{"phrasebook": {Time: time.Minute}} })
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := w.greeter().SayHello(ctx, &greeterpb.SayHelloRequest{Name: "Ada"})
		require.Equal(t, codes.DeadlineExceeded, status.Code(err))
		w.eventually(2*time.Second, "the phrasebook gives up", func() bool {
			return w.saw("phrasebook-1", "DeadlineExceeded") || w.saw("phrasebook-1", "Canceled")
		})

		_, err = w.Send(t.Context(), http.MethodGet, "/v1/greetings/Ada", "", http.Header{"Grpc-Timeout": {"100m"}})
		var late *load.StatusError
		require.ErrorAs(t, err, &late)
		require.Equal(t, http.StatusGatewayTimeout, late.Status)
	})
}

func TestRT6ACancellationReachesTheLastService(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.settings(func(c *app.Config) { c.Work = map[string]resilience.Work{"phrasebook": {Time: time.Minute}} })
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := w.Get(ctx, "/v1/greetings/Ada")
			ended <- err
		}()
		w.eventually(10*time.Second, "the phrasebook is asked", func() bool { return w.Fleet.InFlight("phrasebook-1") > 0 })
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		w.eventually(2*time.Second, "the phrasebook gives up", func() bool { return w.saw("phrasebook-1", "Canceled") })
	})
}

func TestLC4ACallUnderWayIsAnsweredBeforeTheInstanceEnds(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.settings(func(c *app.Config) { c.Work = map[string]resilience.Work{"greeter": {Time: time.Second}} })
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		answered := make(chan error, 1)
		go func() {
			_, err := w.greet("Ada", "en")
			answered <- err
		}()
		w.eventually(10*time.Second, "the call is under way", func() bool { return w.Fleet.InFlight("greeter-1") > 0 })
		begin := time.Now()
		require.NoError(t, w.Fleet.Stop("greeter-1"), "a clean stop")
		require.NoError(t, <-answered)
		require.Less(t, time.Since(begin), 10*time.Second, "it ends as soon as the call does")
		_, err := w.greet("Ada", "en")
		require.ErrorContains(t, err, "ROLE_UNAVAILABLE")
	})
}

func TestLC6AStuckCallIsCutAtTheDeadlineAndToldOf(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.settings(func(c *app.Config) {
			c.Work = map[string]resilience.Work{"greeter": {Time: time.Hour}}
			c.Grace = time.Second
		})
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		ended := make(chan error, 1)
		go func() {
			_, err := w.greeter().SayHello(context.Background(), &greeterpb.SayHelloRequest{Name: "Ada"})
			ended <- err
		}()
		w.eventually(10*time.Second, "the call is under way", func() bool { return w.Fleet.InFlight("greeter-1") > 0 })
		var cut *app.CutError
		require.ErrorAs(t, w.Fleet.Stop("greeter-1"), &cut)
		require.Equal(t, 1, cut.Calls)
		require.Error(t, <-ended)
		delete(w.idle, "phrasebook-1") // the call never came so far
		delete(w.idle, "gateway-1")    // nor did it come this way
	})
}

func TestLC11WithNobodyThereTheAnswerIsQuickAndRecoveryToo(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		require.NoError(t, w.Fleet.Stop("greeter-1"))
		var refused *load.StatusError
		w.eventually(5*time.Second, "the gateway hears of it", func() bool {
			begin := time.Now()
			_, err := w.greet("Ada", "en")
			require.ErrorAs(t, err, &refused)
			return time.Since(begin) < 1500*time.Millisecond && refused.Status == http.StatusServiceUnavailable
		})
		require.Contains(t, refused.Body, "ROLE_UNAVAILABLE")
		w.start("greeter-1")
		w.eventually(2*time.Second, "greetings are back", func() bool { _, err := w.greet("Ada", "en"); return err == nil })
	})
}

func TestTheSystemStartsInAnyOrder(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.settings(func(c *app.Config) { c.WaitNeeds = 30 * time.Second })
		for _, host := range []string{"gateway-1", "greeter-1", "phrasebook-1", "issuer-1"} {
			require.NoError(t, w.Fleet.Launch(host))
		}
		w.eventually(20*time.Second, "a greeting", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := w.Get(ctx, "/v1/greetings/Ada")
			return err == nil
		})
	})
}
