package command

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
)

func TestHowCallsAreSharedIsReadFromFlags(t *testing.T) {
	s := serving{
		balance:     []string{"least_request", "greeter=round_robin"},
		hashHeaders: []string{"greeter=X-User", "x-all"},
		subsets:     []string{"shop=7", "20"},
	}
	got, err := s.shares()
	require.NoError(t, err)
	require.Equal(t, map[string]app.Balance{
		"":        {Policy: "least_request", Header: "x-all", Subset: 20},
		"greeter": {Policy: "round_robin", Header: "x-user"},
		"shop":    {Subset: 7},
	}, got)
}

func TestPoliciesThatDoNotExistAreRefused(t *testing.T) {
	for text, s := range map[string]serving{
		`--balance "fastest": there is no balancing policy "fastest"`:            {balance: []string{"fastest"}},
		`--balance "greeter=fastest": there is no balancing policy "fastest"`:    {balance: []string{"greeter=fastest"}},
		`--subset "x": want a number, or role=number, as in greeter=10`:          {subsets: []string{"x"}},
		`--subset "greeter=-1": want a number, or role=number, as in greeter=10`: {subsets: []string{"greeter=-1"}},
		`--subset "greeter=": want a number, or role=number, as in greeter=10`:   {subsets: []string{"greeter="}},
		`--hash-header "greeter=": want the name of a header, or role=name`:      {hashHeaders: []string{"greeter="}},
		`--hash-header "x user": want the name of a header, or role=name`:        {hashHeaders: []string{"x user"}},
	} {
		_, err := s.shares()
		require.ErrorContains(t, err, text)
		require.ErrorAs(t, err, new(*UsageError))
	}
}
