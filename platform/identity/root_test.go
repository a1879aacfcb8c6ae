package identity_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/identity"
)

func TestARootThatLivesShortIsReplacedOnceInTwoThirdsOfItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := identity.NewMemory(identity.MemoryConfig{RootTTL: time.Minute, TTL: 30 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		seen := 0
		for _, err := range m.Watch(ctx, "greeter") {
			if ctx.Err() != nil {
				break
			}
			require.NoError(t, err)
			seen++
		}
		require.Less(t, seen, 60, "it turned at every look")
		require.Greater(t, seen, 5)
	})
}
