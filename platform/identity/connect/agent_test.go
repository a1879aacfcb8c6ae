package connect_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/identity"
	"example.com/app/platform/identity/connect"
	"example.com/app/platform/identity/identitytest"
	"example.com/app/platform/identity/intention"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest"
)

// open returns Consul's CA and intentions over an agent.
func open(t *testing.T, agent *consultest.Server) (*connect.CA, *connect.Intentions) {
	t.Helper()
	ca, rules, err := connect.New(consul.Config{API: agent.API()})
	require.NoError(t, err)
	return ca, rules
}

// rotate gives Consul a new key for its CA, and so a new root.
func rotate(t *testing.T, agent *consultest.Server) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	c := agent.Client()
	config, _, err := c.Connect().CAGetConfig(nil)
	require.NoError(t, err)
	config.Config["PrivateKey"] = string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	config.Config["RootCert"] = ""
	_, err = c.Connect().CASetConfig(config, nil)
	require.NoError(t, err)
}

// hurried is an agent whose CA signs without spreading the work: a real one
// takes up to a minute for a new root, on purpose.
func hurried(t *testing.T) *consultest.Server {
	return consultest.Configured(t, consultest.Settings{Config: `
connect { enabled = true  ca_config { csr_max_per_second = 0  csr_max_concurrent = 4 } }`})
}

func TestConsulKeepsThePromisesOfASource(t *testing.T) {
	agent := hurried(t)
	identitytest.Run(t, func(t *testing.T) identitytest.World {
		ca, _ := open(t, agent)
		return identitytest.World{Source: ca, RotateRoot: func() { rotate(t, agent) }}
	})
}

func TestConsulNamesTheRoleInTheCertificate(t *testing.T) {
	ca, _ := open(t, consultest.Agent(t))
	start := time.Now()
	for certs, err := range ca.Watch(t.Context(), "greeter") {
		require.NoError(t, err)
		id, err := identity.Of(certs.Leaf.Leaf)
		require.NoError(t, err)
		require.Equal(t, "/ns/default/dc/dc1/svc/greeter", id.Path)
		t.Logf("first certificate after %v, it lives %v", time.Since(start), time.Until(certs.Leaf.Leaf.NotAfter))
		break
	}
}

// follow hands on the tables that Watch yields.
func follow(t *testing.T, r intention.Rules, destination string) <-chan intention.Table {
	ctx, cancel := context.WithCancel(t.Context())
	tables, done := make(chan intention.Table, 100), make(chan struct{})
	go func() {
		defer close(done)
		for table, err := range r.Watch(ctx, destination) {
			if err == nil {
				tables <- table
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return tables
}

func TestIntentionsBiteWithinASecond(t *testing.T) {
	agent := consultest.Agent(t)
	_, rules := open(t, agent)
	tables := follow(t, rules, "greeter")
	require.Equal(t, intention.Unsaid, (<-tables).Decide("gateway", "greeter"))
	set := func(source, destination string, action api.IntentionAction) {
		t.Helper()
		_, err := agent.Client().Connect().IntentionUpsert(&api.Intention{SourceName: source, DestinationName: destination, Action: action}, nil)
		require.NoError(t, err)
	}
	steps := []struct {
		source, destination string
		action              api.IntentionAction
		want                intention.Verdict
	}{
		{"*", "*", "deny", intention.Denied},
		{"gateway", "*", "allow", intention.Allowed},
		{"*", "greeter", "deny", intention.Denied}, // an exact destination goes before an exact source
		{"gateway", "greeter", "allow", intention.Allowed},
		{"gateway", "greeter", "deny", intention.Denied},
	}
	for _, s := range steps {
		start := time.Now()
		set(s.source, s.destination, s.action)
		table := <-tables
		took := time.Since(start)
		require.Equal(t, s.want, table.Decide("gateway", "greeter"), "%v", table)
		require.Less(t, took, time.Second)
		t.Logf("%s => %s (%s) bites after %v", s.source, s.destination, s.action, took)
		allowed, _, err := agent.Client().Connect().IntentionCheck(&api.IntentionCheck{Source: "gateway", Destination: "greeter"}, nil)
		require.NoError(t, err)
		require.Equal(t, allowed, s.want == intention.Allowed, "Consul itself decides otherwise")
	}
}

func TestIntentionsWithPermissionsDeny(t *testing.T) {
	agent := consultest.Agent(t)
	_, rules := open(t, agent)
	_, _, err := agent.Client().ConfigEntries().Set(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "greeter", Protocol: "http"}, nil)
	require.NoError(t, err)
	_, _, err = agent.Client().ConfigEntries().Set(&api.ServiceIntentionsConfigEntry{
		Kind: api.ServiceIntentions, Name: "greeter",
		Sources: []*api.SourceIntention{{Name: "gateway", Permissions: []*api.IntentionPermission{
			{Action: api.IntentionActionAllow, HTTP: &api.IntentionHTTPPermission{PathExact: "/"}},
		}}},
	}, nil)
	require.NoError(t, err)
	table := <-follow(t, rules, "greeter")
	require.Equal(t, intention.Denied, table.Decide("gateway", "greeter"), "%v", table)
}

func TestAConsulThatIsAwayIsAnErrorAndThenNone(t *testing.T) {
	agent := consultest.Agent(t)
	ca, rules := open(t, agent)
	agent.Stop()
	failures, healed := make(chan error, 10), make(chan struct{})
	go func() {
		defer close(healed)
		for _, err := range ca.Watch(t.Context(), "greeter") {
			if err == nil {
				return
			}
			failures <- err
		}
	}()
	err := <-failures
	require.True(t, errs.Unavailable.Is(err), "%v", err)
	require.ErrorContains(t, err, "connection refused")
	for _, err := range rules.Watch(t.Context(), "greeter") {
		require.True(t, errs.Unavailable.Is(err), "%v", err)
		break
	}
	agent.Start()
	<-healed
}
