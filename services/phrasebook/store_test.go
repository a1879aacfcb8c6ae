package phrasebook

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/services/phrasebook/phrasebookpb"
)

// model is a store that is too simple to be wrong.
type model map[string]*phrasebookpb.Phrase

func (m model) under(parent string) (names []string) {
	for name := range m {
		if parent == "languages/-" || strings.HasPrefix(name, parent+"/phrases/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Random edits leave the store as they leave the model, page by page.
func TestTheStoreDoesWhatASimpleModelDoes(t *testing.T) {
	languages := []string{"de", "de-AT", "dea", "en"} // prefixes of each other
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 2))
		now := time.Unix(1_000_000, 0)
		s, m := newStore(func() time.Time { now = now.Add(time.Second); return now }), model{}
		for step := range 200 {
			name := fmt.Sprintf("languages/%s/phrases/%c", languages[r.IntN(len(languages))], 'a'+r.IntN(6))
			text, what := fmt.Sprint(step), fmt.Sprintf("seed %d, step %d, %s", seed, step, name)
			old := m[name]
			switch r.IntN(4) {
			case 0:
				p, err := s.create(name, text)
				if old != nil {
					require.True(t, errs.Exists.Is(err), what)
					break
				}
				require.NoError(t, err, what)
				require.Equal(t, text, p.GetText(), what)
				require.Equal(t, p.GetCreateTime(), p.GetUpdateTime(), what)
				m[name] = p
			case 1:
				etag := tag(r, old)
				p, err := s.update(name, text, etag)
				if !expected(t, old, etag, err, what) {
					break
				}
				require.Equal(t, text, p.GetText(), what)
				require.NotEqual(t, old.GetEtag(), p.GetEtag(), what)
				require.Equal(t, old.GetCreateTime(), p.GetCreateTime(), what)
				require.True(t, p.GetUpdateTime().AsTime().After(old.GetUpdateTime().AsTime()), what)
				m[name] = p
			case 2:
				etag := tag(r, old)
				if expected(t, old, etag, s.delete(name, etag), what) {
					delete(m, name)
				}
			case 3:
				p, err := s.get(name)
				require.Equal(t, old == nil, errs.NotFound.Is(err), what)
				require.Same(t, old, p, what)
			}
		}
		for _, parent := range []string{"languages/-", "languages/de", "languages/de-AT", "languages/en", "languages/fr"} {
			for size := 1; size < 8; size++ {
				require.Equal(t, m.under(parent), pages(t, s, parent, size), "seed %d, %s by %d", seed, parent, size)
			}
		}
		require.Equal(t, slices.Sorted(maps.Keys(m)), slices.Clone(s.names))
	}
}

// tag is no etag, the right one, or a wrong one.
func tag(r *rand.Rand, p *phrasebookpb.Phrase) string {
	return []string{"", p.GetEtag(), "wrong"}[r.IntN(3)]
}

// expected checks the error of a change, and reports whether there was none.
func expected(t *testing.T, old *phrasebookpb.Phrase, etag string, err error, what string) bool {
	t.Helper()
	switch {
	case old == nil:
		require.True(t, errs.NotFound.Is(err), what)
	case etag == "wrong":
		require.True(t, errs.Aborted.Is(err), what)
	default:
		require.NoError(t, err, what)
		return true
	}
	return false
}

// pages lists a parent, page by page.
func pages(t *testing.T, s *store, parent string, size int) (names []string) {
	t.Helper()
	for after, more := "", true; more; {
		var page []*phrasebookpb.Phrase
		page, more = s.list(parent, after, size)
		require.LessOrEqual(t, len(page), size)
		require.False(t, more && len(page) == 0, "more of nothing")
		for _, p := range page {
			names = append(names, p.GetName())
			after = p.GetName()
		}
	}
	return names
}

func TestPagesStayRightWhilePhrasesComeAndGo(t *testing.T) {
	s := newStore(time.Now)
	for _, id := range []string{"a", "c", "e", "g"} {
		_, err := s.create("languages/en/phrases/"+id, "x")
		require.NoError(t, err)
	}
	page, more := s.list("languages/en", "", 2)
	require.True(t, more)
	last := page[1].GetName()
	require.Equal(t, "languages/en/phrases/c", last)
	require.NoError(t, s.delete(last, ""))
	_, err := s.create("languages/en/phrases/d", "x")
	require.NoError(t, err)
	_, err = s.create("languages/en/phrases/b", "x") // before the place: not seen again
	require.NoError(t, err)
	page, more = s.list("languages/en", last, 10)
	require.False(t, more)
	require.Len(t, page, 3)
	require.Equal(t, "languages/en/phrases/d", page[0].GetName())
}

func TestAFullStoreRefusesByName(t *testing.T) {
	s := newStore(time.Now)
	s.names = make([]string, maxPhrases) // as full as it gets; their content does not matter
	_, err := s.create("languages/en/phrases/one-more", "x")
	require.True(t, errs.Exhausted.Is(err))
	require.ErrorContains(t, err, "delete some")
}

func TestAPhraseThatWasHandedOutNeverChanges(t *testing.T) {
	s := newStore(time.Now)
	before, err := s.create("languages/en/phrases/a", "old")
	require.NoError(t, err)
	_, err = s.update("languages/en/phrases/a", "new", "")
	require.NoError(t, err)
	require.Equal(t, "old", before.GetText())
}

func FuzzPageToken(f *testing.F) {
	f.Add("languages/en", "languages/en/phrases/a", "bm9uc2Vuc2U")
	f.Fuzz(func(t *testing.T, parent, last, junk string) {
		if !strings.Contains(parent, "\n") {
			got, err := readToken(writeToken(parent, last), parent)
			require.NoError(t, err)
			require.Equal(t, last, got)
			_, err = readToken(writeToken(parent, last), parent+"x")
			require.True(t, errs.Invalid.Is(err))
		}
		if _, err := readToken(junk, parent); err != nil {
			require.True(t, errs.Invalid.Is(err))
		}
	})
}
