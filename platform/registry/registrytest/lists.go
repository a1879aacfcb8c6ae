package registrytest

import (
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry"
)

// listCases are the promises about Watch that need no change of the list.
var listCases = []struct {
	name  string
	list  func(role string) []registry.Instance
	check func(*bench)
}{
	{"metadata-arrives-whole", one, metadata},
	{"sorted-by-id", three, sorted},
	{"roles-do-not-mix", twoRoles, rolesApart},
	{"cancel-ends-a-watch-at-once", three, cancels},
	{"leaving-the-loop-ends-a-watch", three, leavesLoop},
	{"set-is-the-reader's", one, readersOwn},
}

// one is an instance that has everything.
func one(role string) []registry.Instance {
	return []registry.Instance{{
		ID: role + "-a", Role: role, Addr: "[::1]:50051", Version: "v1.2.3+meta", Zone: "north",
		Weight: 7, Started: time.Date(2026, 11, 22, 1, 2, 3, 456789, time.UTC),
		Tags: []string{"z", "a", "b=c"}, Meta: map[string]string{"colour": "grün & blue", "shade_2-b": "dark"},
	}}
}

func three(role string) []registry.Instance {
	var list []registry.Instance
	for _, id := range []string{"c", "a", "b"} {
		list = append(list, plain(role, id))
	}
	return list
}

// twoRoles has one role whose name begins with that of the other.
func twoRoles(role string) []registry.Instance {
	return append(three(role), three(role+"-other")...)
}

func metadata(b *bench) {
	want := one(b.role)[0]
	slices.Sort(want.Tags)
	w := b.watch()
	got := w.until("a")[0]
	require.True(b, want.Started.Equal(got.Started), "started %v", got.Started)
	got.Started = want.Started // the same instant may come with another location
	require.Equal(b, want, got)
}

func sorted(b *bench) { b.watch().until("a", "b", "c") }

func rolesApart(b *bench) {
	b.watch().until("a", "b", "c")
	other := b.watchRole(b.role + "-other")
	for _, in := range other.until("a", "b", "c") {
		require.Equal(b, b.role+"-other", in.Role)
	}
	require.Empty(b, b.watchRole(b.role+"-nobody").next())
}

// atOnce is more than any machine needs and less than any timeout.
const atOnce = 2 * time.Second

func cancels(b *bench) {
	w := b.watch()
	w.until("a", "b", "c")
	took := elapsed(func() {
		w.stop()
		receive(b.T, w.done, "the loop to end")
	})
	require.Less(b, took, atOnce)
}

func leavesLoop(b *bench) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	took := elapsed(func() {
		for range b.Watch(ctx, b.role) {
			break
		}
	})
	require.NoError(b, ctx.Err(), "no set came")
	require.Less(b, took, within)
	b.watch().until("a", "b", "c")
}

func readersOwn(b *bench) {
	set := b.watch().until("a")
	set[0].ID, set[0].Tags[0], set[0].Meta["colour"] = "scribble", "scribble", "scribble"
	require.Equal(b, "grün & blue", b.watch().until("a")[0].Meta["colour"])
	require.Equal(b, "a", b.watch().until("a")[0].Tags[0])
}
