package fault_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/sim/fault"
)

func TestFaultsAreReadAsTheyPrint(t *testing.T) {
	for text, want := range map[string]fault.Fault{
		"3s crash greeter-1 for 2s":                    {At: 3 * time.Second, Kind: fault.Crash, A: "greeter-1", For: 2 * time.Second},
		"1.5s partition gateway-1 <-> greeter for 5s":  {At: 1500 * time.Millisecond, Kind: fault.Partition, A: "gateway-1", B: "greeter", For: 5 * time.Second},
		"20s loss gateway -> zone:eu 0.25 for 3s":      {At: 20 * time.Second, Kind: fault.Loss, A: "gateway", B: "zone:eu", OneWay: true, Amount: 0.25, For: 3 * time.Second},
		"0s slow greeter-1 50ms":                       {Kind: fault.Slow, A: "greeter-1", Delay: 50 * time.Millisecond},
		"41s skew issuer-1 -5m0s for 10s":              {At: 41 * time.Second, Kind: fault.Skew, A: "issuer-1", Delay: -5 * time.Minute, For: 10 * time.Second},
		"1m0s reset gateway-1 <-> *":                   {At: time.Minute, Kind: fault.Reset, A: "gateway-1", B: "*"},
		"1s registry-empty for 1m0s":                   {At: time.Second, Kind: fault.RegistryEmpty, For: time.Minute},
		"1s bandwidth * <-> greeter 12345.5 for 100ms": {At: time.Second, Kind: fault.Bandwidth, A: "*", B: "greeter", Amount: 12345.5, For: 100 * time.Millisecond},
	} {
		got, err := fault.Parse(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, text, got.String())
	}
}

func TestFaultsThatMakeNoSenseSayWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		"":                              `want a time and what goes wrong, as in "3s crash greeter-1 for 2s"`,
		"soon crash greeter-1":          `invalid duration "soon"`,
		"3s crsh greeter-1":             `there is no fault "crsh"; there are crash, powercut, restart`,
		"3s crash":                      "crash: want a place: a host (greeter-2), a role (greeter), a zone (zone:eu) or *",
		"3s crash for 2s":               "crash: want a place",
		"3s partition a b":              `want two places, as in "gateway-1 <-> greeter"`,
		"3s loss a <-> b":               `invalid syntax`,
		"3s loss a <-> b NaN for 1s":    "loss: the share must be above 0 and at most 1",
		"3s loss a <-> b 1.5 for 1s":    "loss: the share must be above 0 and at most 1",
		"3s slow a -1s":                 "slow: the delay must be above 0s",
		"3s limit a 0":                  "limit: the number must be 1 or more",
		"-3s crash a":                   "crash: times are 0s or more",
		"3s reset a <-> b for 1s":       "reset is over at once: leave out how long it lasts",
		"3s crash a for 1s and then on": `there is too much: "for 1s and then on"`,
	} {
		_, err := fault.Parse(text)
		require.ErrorContains(t, err, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("3s crash greeter-1 for 2s")
	f.Add("3s loss a -> b 0.3 for 2s")
	f.Add("1s skew a -5m0s")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := fault.Parse(text)
		if err != nil {
			return
		}
		again, err := fault.Parse(got.String())
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func TestScheduleIsReadAsWritten(t *testing.T) {
	s := fault.Schedule{Scenario: "rolling", Seed: 1<<64 - 1, Runtime: 3, Why: `order "x" <twice>`, Faults: plan().Draw(5)}
	var b bytes.Buffer
	require.NoError(t, s.Write(&b))
	require.Contains(t, b.String(), "<twice>")
	got, err := fault.Read(&b)
	require.NoError(t, err)
	require.Equal(t, s, got)
	_, err = fault.Read(strings.NewReader(`{"scenario":"x","fault":[]}`))
	require.ErrorContains(t, err, `unknown field "fault"`)
	_, err = fault.Read(strings.NewReader(`{"scenario":"x","faults":["3s boom"]}`))
	require.ErrorContains(t, err, `there is no fault "boom"`)
}

func plan() fault.Plan {
	return fault.Plan{Count: 40, Kinds: fault.Kinds(), Places: []string{"a-1", "a-2", "b-1"}, Within: time.Minute}
}

func TestDrawIsAFunctionOfTheSeed(t *testing.T) {
	all := map[string]bool{}
	seen := map[fault.Kind]bool{}
	for seed := range uint64(50) {
		faults := plan().Draw(seed)
		require.Len(t, faults, 40)
		require.Equal(t, faults, plan().Draw(seed))
		require.True(t, slices.IsSortedFunc(faults, func(a, b fault.Fault) int { return int(a.At - b.At) }))
		var texts []string
		kinds := map[fault.Kind]bool{}
		for _, f := range faults {
			require.NoError(t, f.Check(), f.String())
			require.Less(t, f.At, time.Minute)
			require.LessOrEqual(t, f.For, 12*time.Second)
			kinds[f.Kind], seen[f.Kind] = true, true
			if f.B != "" {
				require.NotEqual(t, f.A, f.B)
			}
			again, err := fault.Parse(f.String())
			require.NoError(t, err)
			require.Equal(t, f, again)
			texts = append(texts, f.String())
		}
		require.Less(t, len(kinds), len(fault.Kinds()), "a seed leaves some kinds out")
		all[strings.Join(texts, "\n")] = true
	}
	require.Len(t, all, 50)
	require.Len(t, seen, len(fault.Kinds()), "all seeds together leave none out")
}

func TestDrawOfNothing(t *testing.T) {
	require.Empty(t, fault.Plan{}.Draw(1))
	require.Empty(t, fault.Plan{Count: 3, Kinds: fault.Kinds()}.Draw(1))
}
