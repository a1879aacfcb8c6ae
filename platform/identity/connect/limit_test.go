package connect_test

import (
	"bytes"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/identity/connect"
	"example.com/app/platform/network"
	"example.com/app/platform/registry/consul"
)

// TestGW11AnEndlessAnswerOfConsulIsCutOff has something answer in Consul's
// place that never comes to an end.
func TestGW11AnEndlessAnswerOfConsulIsCutOff(t *testing.T) {
	net := network.NewMemory()
	l, err := net.Host("consul").Listen(t.Context(), "consul:8500")
	require.NoError(t, err)
	var wrote atomic.Int64
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError) // the reason for which is read whole
		text := bytes.Repeat([]byte{'x'}, 1<<20)
		for {
			n, err := w.Write(text)
			wrote.Add(int64(n))
			if err != nil {
				return
			}
		}
	})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	ca, rules, err := connect.New(consul.Config{API: &api.Config{Address: "consul:8500"}, Network: net.Host("greeter-1")})
	require.NoError(t, err)
	const most = 64 << 20 // of an answer
	for _, err := range ca.Watch(t.Context(), "greeter") {
		require.True(t, errs.Unavailable.Is(err))
		require.Less(t, len(err.Error()), 1<<10, "it is logged")
		break
	}
	for _, err := range rules.Watch(t.Context(), "greeter") {
		require.True(t, errs.Unavailable.Is(err))
		require.Less(t, len(err.Error()), 1<<10, "it is logged")
		break
	}
	require.Greater(t, wrote.Load(), int64(1<<20), "it was asked")
	require.Less(t, wrote.Load(), int64(4*most), "three questions at the most, and what was on the way")
}
