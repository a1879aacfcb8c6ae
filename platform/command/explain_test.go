package command

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
)

// explained runs `app explain pick` beside a process that gives an answer.
func explained(t *testing.T, status int, answer string, args ...string) (string, error) {
	t.Helper()
	process := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/debug/balance?format=json&role=greeter", r.URL.String())
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	defer process.Close()
	cmd := Explain(nil)
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{"pick", "greeter", "--admin=" + strings.TrimPrefix(process.URL, "http://")}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

const report = `[{"Caller":"gateway-1","Role":"greeter","Policy":"peak_ewma","Listed":3,"Reachable":2,"Zone":"eu","Spilling":true,"Panic":true,"Subset":5,
"Last":{"Instance":"greeter-1","Over":"greeter-2","Score":1234567,"OverThan":2e7,"Why":"lower cost","Ago":12345678},
"Peers":[
{"ID":"greeter-1","Addr":"10.0.0.7:50051","Zone":"eu","State":"fit","Weight":1,"InFlight":3,"Latency":12345678,"Success":1,"Cost":12.3456,"Calls":100},
{"ID":"greeter-2","Addr":"10.0.0.8:50051","State":"ejected","Why":"success rate","For":3210000000,"Weight":0.25,"Success":0.5,"Calls":10,"Failures":5}]}]`

func TestExplainTellsWhatEachInstanceIsTakenFor(t *testing.T) {
	text, err := explained(t, http.StatusOK, report)
	require.NoError(t, err)
	require.Equal(t, `gateway-1 calls greeter: peak_ewma, 2 of 3 instances can be reached, of a subset of 5, zone eu first, but it is slow: calls go elsewhere, too few are fit: all are called
INSTANCE   ADDRESS         ZONE  STATE                              WEIGHT  IN FLIGHT  LATENCY  SUCCESS  COST  CALLS  FAILURES
greeter-1  10.0.0.7:50051  eu    fit                                1       3          12.3ms   100.0%   12.3  100    0
greeter-2  10.0.0.8:50051  -     ejected: success rate, 3.21s more  0.25    0          0s       50.0%    0     10     5
The last call went to greeter-1 rather than greeter-2, 12.3ms ago: lower cost (1.23 ms against 20).
`, text)
	text, err = explained(t, http.StatusOK, report, "-o", "json")
	require.NoError(t, err)
	var given, printed []app.Picks
	require.NoError(t, json.Unmarshal([]byte(report), &given))
	require.NoError(t, json.Unmarshal([]byte(text), &printed))
	require.Equal(t, given, printed)
}

func TestExplainSaysWhatIsMissing(t *testing.T) {
	_, err := explained(t, http.StatusOK, `[]`)
	require.ErrorContains(t, err, `calls "greeter"`)
	require.ErrorAs(t, err, new(*HintError))
	require.Equal(t, "ask the process of a caller; `app roles` tells who calls whom", hintOf(err))
	require.Equal(t, "did you mean greeter? `app roles` lists them all", hintOf(nobodyCalls(system(), "greter", "")))
	require.Contains(t, hintOf(nobodyCalls(system(), "greeter", "")), "ask the process of a caller")
	require.Contains(t, hintOf(nobodyCalls(system(), "shop", "")), "ask the process of a caller")
	_, err = explained(t, http.StatusNotFound, ``)
	require.ErrorContains(t, err, "404 Not Found")
	_, err = explained(t, http.StatusOK, `{`)
	require.ErrorContains(t, err, "ask 127.0.0.1")

	for _, args := range [][]string{{"pick"}, {"pick", "a", "b"}, {"pick", "a", "-o", "xml"}, {"what"}} {
		cmd := Explain(nil)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args)
		require.ErrorAs(t, cmd.Execute(), new(*UsageError), args)
	}
	cmd := Explain(nil)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs([]string{"pick", "greeter", "--admin=127.0.0.1:1"})
	err = cmd.ExecuteContext(t.Context())
	require.EqualError(t, err, "ask 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused")
	require.ErrorAs(t, err, new(*HintError))
}

func TestEX1ExplainBringsTheAdminToken(t *testing.T) {
	file := secretFile(t, "0123456789abcdef\n", 0o600)
	process := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer 0123456789abcdef":
			_, _ = w.Write([]byte(report))
		case "Bearer redirected-elsewhere":
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer process.Close()
	explain := func(args ...string) (string, error) {
		cmd := Explain(nil)
		var out strings.Builder
		cmd.SetOut(&out)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(append([]string{"pick", "greeter", "--admin=" + strings.TrimPrefix(process.URL, "http://")}, args...))
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	text, err := explain("--admin-token-file=" + file)
	require.NoError(t, err)
	require.Contains(t, text, "gateway-1 calls greeter")
	_, err = explain()
	require.ErrorContains(t, err, "401 Unauthorized")
	require.Contains(t, hintOf(err), "--admin-token-file")
	_, err = explain("--admin-token-file=" + secretFile(t, "redirected-elsewhere", 0o600))
	require.ErrorContains(t, err, "302 Found", "the token goes nowhere else")
	_, err = explain("--admin-token-file=" + secretFile(t, "short", 0o600))
	require.ErrorContains(t, err, "too short")
	t.Setenv("APP_ADMIN_TOKEN_FILE", file)
	_, err = explain()
	require.NoError(t, err)
}
