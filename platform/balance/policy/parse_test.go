package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance/policy"
	"example.com/app/platform/errs"
)

func TestParseReadsNamesAndParameters(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "peak_ewma",
		"least_request":                   "least_request",
		"prequal":                         "prequal",
		"prequal:":                        "prequal",
		"prequal:probes=3":                "prequal",
		"prequal:probes=2,quantile=0.7":   "prequal:probes=2,quantile=0.7",
		"prequal:quantile=0.7, probes=.5": "prequal:probes=0.5,quantile=0.7",
		"prequal:pool=8,remove=2,rate=10": "prequal:pool=8,remove=2,rate=10",
		"prequal:pool=1":                  "prequal:pool=2",
		"ring_hash:bound=1.5,size=80":     "ring_hash:bound=1.5,size=80",
		"ring_hash:bound=1.25,size=160":   "ring_hash",
		"maglev:bound=1.25":               "maglev",
		"maglev:size=1021":                "maglev:size=1021",
	} {
		p, err := policy.Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, p.String(), text)
	}
}

func TestParseSaysWhatIsAllowed(t *testing.T) {
	for text, want := range map[string]string{
		"p2c":                    `there is no balancing policy "p2c": want one of peak_ewma, prequal, `,
		"random:x=1":             `there is no parameter "x": random has none`,
		"prequal:bound=2":        `there is no parameter "bound": prequal has probes, quantile, pool, remove, rate`,
		"prequal:quantile=2":     "quantile must be a number above 0, at most 1",
		"prequal:quantile=NaN":   "quantile must be a number above 0",
		"prequal:probes=0":       "probes must be a number above 0, at most 16",
		"prequal:probes":         "probes must be a number",
		"prequal:pool=2.5":       "pool must be a whole number",
		"ring_hash:size=1000000": "size must be a whole number above 0, at most 4096",
		"maglev:bound=-1":        "bound must be a number above 0",
		"maglev:bound=1,":        `there is no parameter ""`,
	} {
		_, err := policy.Parse(text)
		require.ErrorContains(t, err, want, text)
		require.True(t, errs.Invalid.Is(err), text)
	}
}

func TestEveryNameIsAPolicysText(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		p, err := policy.Parse(name)
		require.NoError(t, err)
		require.Equal(t, name, p.String())
		q, err := policy.Parse(name)
		require.NoError(t, err)
		require.Equal(t, p, q)
	})
	p, err := policy.Parse("")
	require.NoError(t, err)
	require.Equal(t, policy.Names()[0], p.String(), "the default is the first")
}

func FuzzParseReadsWhatStringPrints(f *testing.F) {
	for _, name := range policy.Names() {
		f.Add(name)
	}
	f.Add("prequal:probes=2,quantile=0.7,pool=8,remove=1.5,rate=1e3")
	f.Add("ring_hash:bound=1.5,size=80")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := policy.Parse(text)
		if err != nil {
			require.True(t, errs.Invalid.Is(err))
			return
		}
		q, err := policy.Parse(p.String())
		require.NoError(t, err, p.String())
		require.Equal(t, p, q, p.String())
	})
}
