package intention_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/identity/intention"
)

const all = intention.Any

func rule(source, destination string, action intention.Action) intention.Rule {
	return intention.Rule{Source: source, Destination: destination, Action: action}
}

func TestTheMostExactIntentionDecides(t *testing.T) {
	const allow, deny = intention.Allow, intention.Deny
	for name, c := range map[string]struct {
		table  intention.Table
		source string
		want   intention.Verdict
	}{
		"an empty table":                        {nil, "gateway", intention.Unsaid},
		"rules of others":                       {intention.Table{rule("gateway", "phrasebook", allow), rule("phrasebook", "greeter", deny)}, "gateway", intention.Unsaid},
		"the pair itself":                       {intention.Table{rule("gateway", "greeter", allow), rule(all, all, deny)}, "gateway", intention.Allowed},
		"the pair before all":                   {intention.Table{rule("gateway", "greeter", deny), rule(all, all, allow)}, "gateway", intention.Denied},
		"the destination before the source":     {intention.Table{rule("gateway", all, allow), rule(all, "greeter", deny)}, "gateway", intention.Denied},
		"the source before all":                 {intention.Table{rule(all, all, deny), rule("gateway", all, allow)}, "gateway", intention.Allowed},
		"of two as exact the one that denies":   {intention.Table{rule("gateway", "greeter", deny), rule("gateway", "greeter", allow)}, "gateway", intention.Denied},
		"nobody is allowed nothing":             {intention.Table{rule(all, all, allow)}, "", intention.Denied},
		"nobody is called as all are":           {intention.Table{rule(all, all, allow)}, all, intention.Denied},
		"a name that begins alike is another's": {intention.Table{rule("gateway", "greeter", allow)}, "gateway2", intention.Unsaid},
	} {
		require.Equal(t, c.want, c.table.Decide(c.source, "greeter"), name)
		slices.Reverse(c.table)
		require.Equal(t, c.want, c.table.Decide(c.source, "greeter"), "%s, whatever the order", name)
	}
}

func TestARuleWithoutANameOrWithAPatternIsRefused(t *testing.T) {
	for _, bad := range []intention.Rule{rule("", "greeter", intention.Allow), rule("gateway", "", intention.Allow), rule("gate*", "greeter", intention.Allow), rule("gateway", "**", intention.Deny)} {
		_, err := intention.NewMemory(intention.Table{rule("gateway", "greeter", intention.Allow), bad})
		require.True(t, errs.Invalid.Is(err), "%s: %v", bad, err)
	}
	_, err := intention.NewMemory(intention.Table{rule(all, all, intention.Deny), rule(all, "greeter", intention.Allow)})
	require.NoError(t, err)
}

func TestAWatchTellsOfItsDestinationAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := rule("gateway", "greeter", intention.Allow)
		m, err := intention.NewMemory(intention.Table{open, rule("greeter", "phrasebook", intention.Allow)})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		tables, ended := make(chan intention.Table, 10), make(chan struct{})
		go func() {
			defer close(ended)
			for table, err := range m.Watch(ctx, "greeter") {
				if err == nil {
					tables <- table
				}
			}
		}()
		require.Equal(t, intention.Table{open}, <-tables)
		require.NoError(t, m.Set(intention.Table{open}))
		require.Error(t, m.Set(intention.Table{{}}), "and it changes nothing")
		synctest.Wait()
		require.Empty(t, tables, "nothing changed for it")
		require.NoError(t, m.Set(nil))
		require.Equal(t, intention.Table{}, <-tables)
		closed := rule(all, all, intention.Deny)
		require.NoError(t, m.Set(intention.Table{closed}))
		require.Equal(t, intention.Table{closed}, <-tables)
		cancel()
		<-ended
	})
}
