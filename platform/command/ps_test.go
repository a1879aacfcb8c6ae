package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry"
)

// up registers instances in memory until the test ends.
func up(t *testing.T, m *registry.Memory, instances ...registry.Instance) {
	t.Helper()
	ctx, leave := context.WithCancel(context.Background())
	ended := make(chan struct{})
	for _, in := range instances {
		go func() {
			_ = m.Host(in.ID).Register(ctx, registry.Registration{Instance: in})
			ended <- struct{}{}
		}()
	}
	t.Cleanup(func() {
		leave()
		for range instances {
			<-ended
		}
	})
	synctest.Wait()
}

func TestPsListsWhoIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registry.NewMemory()
		began := time.Now()
		up(t, m,
			registry.Instance{ID: "greeter-2", Role: "greeter", Addr: "b:1", Started: began},
			registry.Instance{ID: "greeter-1", Role: "greeter", Addr: "a:1", Zone: "eu", Version: "v1", Tags: []string{"grpc"}, Started: began},
			registry.Instance{ID: "book-1", Role: "book", Addr: "c:1"},
		)
		time.Sleep(90 * time.Second)
		var out bytes.Buffer
		p := &ps{reg: m.Host("outside"), roles: []string{"greeter", "book"}, format: "table", patience: time.Second, out: &out, now: time.Now}
		require.NoError(t, p.print(t.Context()))
		require.Equal(t, strings.TrimLeft(`
ROLE     INSTANCE   ADDRESS  ZONE  VERSION  HEALTH   AGE
book     book-1     c:1      -     -        passing  -
greeter  greeter-1  a:1      eu    v1       passing  1m30s
greeter  greeter-2  b:1      -     -        passing  1m30s
`, "\n"), out.String())

		out.Reset()
		p.format = "json"
		require.NoError(t, p.print(t.Context()))
		var rows []row
		require.NoError(t, json.Unmarshal(out.Bytes(), &rows))
		require.Len(t, rows, 3)
		require.Equal(t, "a:1", rows[1].Addr)
		require.Equal(t, []string{"grpc"}, rows[1].Tags)
	})
}

func TestPsPrintsAnEmptyListAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &ps{reg: registry.NewMemory().Host("outside"), roles: []string{"greeter"}, format: "json", patience: time.Second, out: &out, now: time.Now}
		require.NoError(t, p.print(t.Context()))
		require.Equal(t, "[]\n", out.String())
	})
}

func TestPsFollowsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registry.NewMemory()
		var out bytes.Buffer
		p := &ps{reg: m.Host("outside"), roles: []string{"greeter"}, format: "table", patience: time.Second, out: &out, now: time.Now}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.watch(ctx) }()
		synctest.Wait()
		require.NotContains(t, out.String(), "greeter-1")
		up(t, m, registry.Instance{ID: "greeter-1", Role: "greeter", Addr: "a:1"})
		require.Contains(t, out.String(), "greeter-1")
		stop()
		require.NoError(t, <-ended)
	})
}

// away is a registry that cannot be asked.
type away struct{ registry.Registry }

func (away) Watch(context.Context, string) iter.Seq2[[]registry.Instance, error] {
	return func(yield func([]registry.Instance, error) bool) { yield(nil, errors.New("ask consul: refused")) }
}

func TestPsSaysWhatToDoWhenConsulIsAway(t *testing.T) {
	p := &ps{reg: away{}, roles: []string{"greeter"}, format: "table", patience: time.Second, out: new(bytes.Buffer), now: time.Now}
	err := p.print(t.Context())
	require.EqualError(t, err, "ask consul: refused")
	require.Contains(t, hintOf(err), "CONSUL_HTTP_ADDR")
}

func TestPsRefusesAFormatItDoesNotKnow(t *testing.T) {
	cmd := Ps(system())
	cmd.SetArgs([]string{"-o", "xml"})
	require.EqualError(t, cmd.Execute(), `-o "xml": want table or json`)
}

func TestSelectorsAreReadFromTheCommandLine(t *testing.T) {
	cfg, err := asked(t, "--role=greeter --zone=eu --prefer-zone --tag=canary --select=phrasebook=tag:blue,version:v2")
	require.NoError(t, err)
	require.True(t, cfg.PreferZone)
	require.Equal(t, []string{"canary"}, cfg.Tags)
	require.Equal(t, map[string]registry.Selector{"phrasebook": {Tags: []string{"blue"}, Versions: []string{"v2"}}}, cfg.Select)
	for line, want := range map[string]string{
		"--role=greeter --select=phrasebook":            `--select "phrasebook": want role=selector, as in greeter=tag:canary,version:v2`,
		"--role=greeter --select=phrasebook=colour:red": `--select "phrasebook=colour:red": selector "colour:red": there is no "colour"; the keys are tag, version and zone`,
		"--role=greeter --prefer-zone":                  "--prefer-zone needs --zone",
	} {
		_, err := asked(t, line)
		require.EqualError(t, err, want)
	}
}
