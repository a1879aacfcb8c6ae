package consul_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry/consul"
)

func TestR9EnvironmentIsHonoured(t *testing.T) {
	t.Setenv("CONSUL_HTTP_ADDR", "consul:8500")
	t.Setenv("CONSUL_HTTP_TOKEN", "secret")
	t.Setenv("CONSUL_NAMESPACE", "space")
	t.Setenv("CONSUL_PARTITION", "part")
	play(t, func(w *world) {
		w.add("a")
		r, err := consul.New(consul.Config{Network: w.net.Host("here")})
		require.NoError(t, err)
		w.watch(r).yielded(ids{"a"})
		q := w.tape.heard("health/")[0]
		require.Equal(t, []string{"secret", "space", "part"}, []string{q.token, q.Get("ns"), q.Get("partition")})
	})
}

func TestR9WholeAPIConfigIsHonoured(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		v := w.watch(w.open(consul.Config{API: &api.Config{
			Token: "secret", Namespace: "space", Partition: "part", Datacenter: "dc1", WaitTime: time.Hour,
		}}))
		v.yielded(ids{"a"})
		q := w.tape.heard("health/")[0]
		require.Equal(t, []string{"secret", "space", "part", "dc1"}, []string{q.token, q.Get("ns"), q.Get("partition"), q.Get("dc")})
	})
}

func TestR9TokenFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(token string) { require.NoError(t, os.WriteFile(path, []byte(token+"\n"), 0o600)) }
	for name, config := range map[string]*api.Config{
		"given":       {TokenFile: path},
		"environment": {},
		"overruled":   {TokenFile: path, Token: "given"}, // Consul's own rule: a file goes first
	} {
		t.Run(name, func(t *testing.T) {
			write("first")
			if name == "environment" {
				t.Setenv("CONSUL_HTTP_TOKEN_FILE", path)
			}
			play(t, func(w *world) {
				w.settled(w.open(consul.Config{API: config}), nil)
				token := func() string {
					w.tape.forget()
					w.after(6 * time.Second)
					return w.tape.heard("agent/")[0].token
				}
				require.Equal(t, "first", token())
				write("second")
				w.after(6 * time.Second)
				require.Equal(t, "second", token())
				write("") // being replaced
				w.after(6 * time.Second)
				require.Equal(t, "second", token())
				require.NoError(t, os.Remove(path))
				w.after(6 * time.Second)
				require.Equal(t, "second", token())
				write("third")
				w.after(6 * time.Second)
				require.Equal(t, "third", token())
			})
		})
	}
}

func TestR9TokenThatWasGivenGoesBeforeTheFileOfTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte("file"), 0o600))
	t.Setenv("CONSUL_HTTP_TOKEN_FILE", path)
	play(t, func(w *world) {
		given := api.DefaultConfig()
		given.Token = "given"
		w.settled(w.open(consul.Config{API: given}), nil)
		w.after(time.Minute)
		for _, q := range w.tape.heard("") {
			require.Equal(t, "given", q.token)
		}
	})
}

func TestR9TransportOfTheConfigIsUsedButForItsDialler(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		own := &http.Transport{DisableKeepAlives: true}
		v := w.watch(w.open(consul.Config{API: &api.Config{Transport: own}}))
		v.yielded(ids{"a"})
		require.Nil(t, own.DialContext, "it is not written to")
	})
}

func TestWrongConfigIsAnError(t *testing.T) {
	for name, c := range map[string]*api.Config{
		"CA":    {TLSConfig: api.TLSConfig{CAFile: "/nowhere/ca.pem"}},
		"token": {TokenFile: "/nowhere/token"},
	} {
		_, err := consul.New(consul.Config{API: c})
		require.ErrorContains(t, err, "configure consul client", name)
		require.ErrorContains(t, err, "/nowhere/", name)
	}
	reg := prometheus.NewRegistry()
	_, err := consul.New(consul.Config{Metrics: reg})
	require.NoError(t, err)
	_, err = consul.New(consul.Config{Metrics: reg})
	require.ErrorContains(t, err, "register metrics", "a registerer serves one registry")
}
