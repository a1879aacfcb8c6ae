package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// benched runs `app bench` with arguments.
func benched(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := Bench()
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestBenchComparesPoliciesAndPlotsThem(t *testing.T) {
	plot := filepath.Join(t.TempDir(), "balance.svg")
	text, err := benched(t, "balance", "--policy=peak_ewma", "--size=2", "--ramp=0", "--svg="+plot)
	require.NoError(t, err)
	require.Contains(t, text, "calls that reached the bad instance, %")
	require.Regexp(t, `(?m)^ *peak_ewma +0\.\d\d `, text)
	require.Regexp(t, `(?m)^ *grpc-go round_robin +50\.00 `, text)
	drawn, err := os.ReadFile(plot)
	require.NoError(t, err)
	require.Contains(t, string(drawn), "<svg")
}

func TestBenchRefusesWhatMakesNoSense(t *testing.T) {
	for _, args := range [][]string{
		{"what"}, {"balance", "now"}, {"balance", "--policy=fastest"}, {"balance", "--size=1"}, {"balance", "--size=2000"},
		{"balance", "--ramp=-1"}, {"balance", "--svg=/nowhere/at/all.svg"},
	} {
		_, err := benched(t, args...)
		require.ErrorAs(t, err, new(*UsageError), args)
	}
}
