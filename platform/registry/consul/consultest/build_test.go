package consultest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/lockedfile"
	"github.com/stretchr/testify/require"
)

func TestVersionIsThatOfTheToolsModule(t *testing.T) {
	module, version, err := pinned()
	require.NoError(t, err)
	require.Regexp(t, `^v\d+\.\d+\.\d+$`, version)
	require.FileExists(t, filepath.Join(module, "go.sum"))
}

func TestBuildThatIsCutShortSaysToRunAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	bin := filepath.Join(t.TempDir(), "consul")
	err := later(ctx, build(ctx, t, ".", bin))
	require.ErrorContains(t, err, "run the same command again, the build continues where it stopped")
	require.NoFileExists(t, bin)
	require.NoError(t, later(ctx, nil))
	other := errors.New("other")
	require.Equal(t, other, later(t.Context(), other))
}

func TestSecondBuilderWaitsNoLongerThanItsTest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockedfile.MutexAt(path).Lock()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = lock(ctx, path)
	require.ErrorIs(t, err, context.Canceled)
	unlock()
	again, err := lock(t.Context(), path)
	require.NoError(t, err)
	again()
}

func TestBuildIsNotRepeated(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "sub", "consul")
	require.NoError(t, os.MkdirAll(filepath.Dir(bin), 0o755))
	require.NoError(t, os.WriteFile(bin, nil, 0o755))
	require.NoError(t, buildOnce(t, "/nowhere", bin))
}
