package keys_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/services/issuer/keys"
)

func ids(r *keys.Ring) (list []string) {
	for _, k := range r.Public().Keys {
		list = append(list, k.KeyID)
	}
	return list
}

func TestAKeyIsPublishedBeforeItSignsAndAfter(t *testing.T) {
	r, err := keys.New(keys.Config{})
	require.NoError(t, err)
	before := ids(r)
	require.Len(t, before, 2, "next and current")
	require.Equal(t, before[1], r.Signing().KeyID)
	require.NoError(t, r.Rotate())
	after := ids(r)
	require.Equal(t, before, after[1:], "the next signs, the last stays")
	require.Equal(t, before[0], r.Signing().KeyID)
	require.NoError(t, r.Rotate())
	require.Len(t, ids(r), 3)
	for _, k := range r.Public().Keys {
		require.True(t, k.IsPublic())
		require.Equal(t, "sig", k.Use)
		require.Equal(t, "ES256", k.Algorithm)
	}
}

func TestKeysChangeWhenTheirTimeHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := keys.New(keys.Config{Period: 3*time.Hour + time.Second})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		first := ids(r)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		require.Equal(t, first, ids(r))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, first, ids(r)[1:])
		stop()
		require.NoError(t, <-ended)
	})
}

func TestKeysOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	open := func() *keys.Ring {
		r, err := keys.New(keys.Config{Dir: dir})
		require.NoError(t, err)
		return r
	}
	r := open()
	require.NoError(t, r.Rotate())
	require.Equal(t, ids(r), ids(open()))
	path := filepath.Join(dir, "keys.json")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, os.Chmod(path, 0o640))
	_, err = keys.New(keys.Config{Dir: dir})
	require.ErrorContains(t, err, "may be read by others")
	for _, bad := range []string{"", "{}", `{"keys":[{},{}]}`, `{"keys":[{"kty":"oct","k":"AA"},{"kty":"oct","k":"AA"}]}`} {
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.WriteFile(path, []byte(bad), 0o600))
		_, err = keys.New(keys.Config{Dir: dir})
		require.ErrorContains(t, err, "open the signing keys")
	}
}
