package parts_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/sim/load"
	"example.com/app/sim/simtest"
	"example.com/app/sim/zoo/parts"
)

// system is a gateway and a role that says things twice.
func system() []app.Role {
	return []app.Role{
		parts.Gateway(time.Second, func(env *app.Env) (parts.Door, error) {
			echo, err := parts.Dial(env, "echo")
			return func(ctx context.Context, id string, path []string) (string, error) {
				return echo.Ask(ctx, path[0], append([]string{id}, path[1:]...)...)
			}, err
		}),
		parts.Backend("echo", func(*app.Env) (app.Service, error) {
			return parts.Service{Role: "echo", Methods: []parts.Method{
				{Name: "Twice", Do: func(_ context.Context, words []string) (string, error) {
					return strings.Join(append(words, words...), " "), nil
				}},
				{Name: "Refuse", Do: func(context.Context, []string) (string, error) { return "", errs.NotFound.New("nothing here") }},
				{Name: "Wait", Do: func(ctx context.Context, _ []string) (string, error) {
					<-ctx.Done()
					return "", ctx.Err()
				}},
			}}, nil
		}),
	}
}

func TestRolesAskEachOtherInWords(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		f, ground := simtest.Fleet(t, app.Config{Roles: system()})
		simtest.Start(t, f, "echo-1", "gateway-1")
		u := simtest.User(t, ground)
		text, err := u.Get(load.With(t.Context(), "r1"), "/Twice/a/b")
		require.NoError(t, err)
		require.Equal(t, "r1 a b r1 a b\n", text)

		var status *load.StatusError
		_, err = u.Get(t.Context(), "/Refuse")
		require.ErrorAs(t, err, &status)
		require.Equal(t, 404, status.Status)

		begin := time.Now()
		_, err = u.Get(t.Context(), "/Wait")
		require.ErrorAs(t, err, &status)
		require.Equal(t, 504, status.Status)
		require.LessOrEqual(t, time.Since(begin), 1010*time.Millisecond)
	})
}

func TestDiskSwapsOnlyTheVersionThatWasRead(t *testing.T) {
	var d parts.Disk
	require.Zero(t, d.Read("a"))
	require.True(t, d.Swap("a", "one", 0))
	require.False(t, d.Swap("a", "other", 0), "there is one now")
	require.Equal(t, parts.Row{Value: "one", Version: 1}, d.Read("a"))
	require.Equal(t, parts.Row{Value: "two", Version: 2}, d.Write("a", "two"))
	require.False(t, d.Swap("a", "three", 1))
	require.True(t, d.Swap("a", "three", 2))
	d.Wipe()
	require.Zero(t, d.Read("a"))
}

func TestRetryGoesOnUntilTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 220*time.Millisecond)
		defer cancel()
		no, tries := errors.New("no"), 0
		require.ErrorIs(t, parts.Retry(ctx, func() error { tries++; return no }), no)
		require.Equal(t, 5, tries)
		require.NoError(t, parts.Retry(t.Context(), func() error {
			if tries++; tries < 8 {
				return no
			}
			return nil
		}))
		require.Equal(t, 8, tries)
	})
}

func TestEveryWaitsBetweenTwoTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		turns := 0
		parts.Every(ctx, time.Second, func() { turns++ })
		require.Equal(t, 3, turns)
		require.False(t, parts.Sleep(ctx, time.Second), "ctx has ended")
	})
}
