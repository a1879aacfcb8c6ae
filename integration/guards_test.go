// Package integration tells stories about the whole system, and guards the
// layout of the house.
package integration

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

// A guard is a rule of architecture.md or style.md that a program can check.
// It gives a sentence for each breach, which says what to do.
type guard struct {
	name  string // as its folder in testdata/guards
	check func(*tree) []string
}

var guards = []guard{
	{"toplevel", topLevel},
	{"imports", importArrows},
	{"names", packageNames},
	{"docs", packageDocs},
	{"init", noInit},
	{"vars", noMutableVars},
	{"forbidden", nothingForbidden},
	{"interfaces", smallInterfaces},
	{"files", smallFiles},
	{"roles", roleFolders},
}

// TestTheHouseKeepsItsRules reads this module's own source.
func TestTheHouseKeepsItsRules(t *testing.T) {
	house, err := survey(os.DirFS(".."))
	require.NoError(t, err)
	require.NotEmpty(t, house.files, "the guards found nothing to guard")
	for _, g := range guards {
		t.Run(g.name, func(t *testing.T) {
			for _, breach := range g.check(house) {
				t.Error(breach)
			}
		})
	}
}

// TestEveryGuardCatches gives each guard small houses that break its rule.
// The comment of an archive holds, a line each, what the breaches must say;
// an archive without a comment must pass. No other guard may complain.
func TestEveryGuardCatches(t *testing.T) {
	for _, g := range guards {
		houses, err := filepath.Glob(filepath.Join("testdata", "guards", g.name, "*.txtar"))
		require.NoError(t, err)
		require.NotEmpty(t, houses, "guard %s has no negative control: add testdata/guards/%s/*.txtar", g.name, g.name)
		for _, file := range houses {
			t.Run(g.name+"/"+strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				requireCaught(t, g, file)
			})
		}
	}
}

func requireCaught(t *testing.T, g guard, file string) {
	archive, err := txtar.ParseFile(file)
	require.NoError(t, err)
	house, err := survey(filesOf(archive))
	require.NoError(t, err)
	want := strings.FieldsFunc(string(archive.Comment), func(r rune) bool { return r == '\n' })
	got := g.check(house)
	require.Len(t, got, len(want), "breaches found: %q", got)
	for i, say := range want {
		require.Contains(t, got[i], say)
	}
	for _, other := range guards {
		if other.name != g.name {
			require.Empty(t, other.check(house), "guard %s complains about a house that breaks %s only", other.name, g.name)
		}
	}
}

func filesOf(archive *txtar.Archive) fstest.MapFS {
	files := fstest.MapFS{}
	for _, f := range archive.Files {
		files[path.Clean(f.Name)] = &fstest.MapFile{Data: f.Data}
	}
	return files
}
