package app

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
	"example.com/app/platform/registry"
)

func TestRegistryIsToldEverythingAboutAnInstance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := Memory()
		born := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
		s := start(t, Config{
			Roles: []Role{serves("www", web{http.HandlerFunc(greeting)}), serves("a", new(echo))}, Fabric: f,
			Version: "v1.2.3", Zone: "eu-1", Now: func() time.Time { return born },
		})
		for role, want := range map[string]registry.Instance{
			"a":   {Addr: "a-1:50051", Tags: []string{"grpc"}, Meta: map[string]string{"protocol": "grpc", "host": "a-1"}},
			"www": {Addr: "www-1:8080", Tags: []string{"http"}, Meta: map[string]string{"protocol": "http", "host": "www-1"}},
		} {
			want.Role, want.Version, want.Zone, want.Weight, want.Started = role, "v1.2.3", "eu-1", 1, born
			for _, in := range s.instances {
				if in.role.Name == role {
					want.ID = in.env.Instance
				}
			}
			set := listed(f, role)
			require.Len(t, set, 1)
			require.Equal(t, want, set[0])
		}
	})
}

func TestInstanceIDsAreNewWithEveryStart(t *testing.T) {
	seen := make(map[string]bool)
	for range 20 {
		n, err := New(Config{Roles: []Role{serves("a", new(echo))}, Run: map[string]int{"a": 1}})
		require.NoError(t, err)
		seen[n.instances[0].id()] = true
	}
	require.Greater(t, len(seen), 18)
}

// overTCP starts a node on this machine, its registry in memory.
func overTCP(t *testing.T, cfg Config) (*subject, Fabric) {
	t.Helper()
	f := Mix(Memory(), One(nil, new(network.TCP)))
	cfg.Fabric, cfg.Spread = f, true
	cfg.Roles = []Role{serves("www", web{http.HandlerFunc(greeting)}), serves("a", new(echo)), serves("b", new(echo))}
	cfg.Run = map[string]int{"www": 2, "a": 2, "b": 1}
	return launch(t, cfg), f
}

func TestSpreadTakesFreePortsAndAdvertisesThem(t *testing.T) {
	s, f := overTCP(t, Config{GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	<-s.Started()
	ports := make(map[string]bool)
	for _, role := range []string{"a", "b", "www"} {
		for _, in := range listed(f, role) {
			host, port, err := net.SplitHostPort(in.Addr)
			require.NoError(t, err)
			require.Equal(t, "127.0.0.1", host)
			require.NotEqual(t, "0", port)
			ports[port] = true
		}
	}
	require.Len(t, ports, 5)
	require.NoError(t, call(outside(t, f, "a")))
	_, text, _ := visit(t, new(network.TCP)).get("http://" + listed(f, "www")[0].Addr)
	require.Equal(t, "hello", text)
	_, err := s.end()
	require.NoError(t, err)
}

func TestSpreadCountsPortsUpByProtocol(t *testing.T) {
	bubble(t, func(t *testing.T) {
		box := network.NewMemory().Host("box") // one host for all
		f := Mix(Memory(), One(nil, box))
		start(t, Config{
			Roles: []Role{serves("www", web{http.HandlerFunc(greeting)}), serves("a", new(echo)), serves("b", new(echo))},
			Run:   map[string]int{"www": 2, "a": 2, "b": 1}, Fabric: f, Spread: true,
		})
		require.Equal(t, map[string][]string{
			"a": {"box:50051", "box:50052"}, "b": {"box:50053"}, "www": {"box:8080", "box:8081"},
		}, map[string][]string{"a": addrs(f, "a"), "b": addrs(f, "b"), "www": addrs(f, "www")})
	})
}

func TestEdgeIsOneHostForAllHTTPInstances(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, ground := Memory(), network.NewMemory()
		start(t, Config{
			Roles: []Role{serves("www", web{http.HandlerFunc(greeting)}), serves("a", new(echo))},
			Run:   map[string]int{"www": 2, "a": 2}, Fabric: f, Edge: ground.Host("edge"),
		})
		require.Equal(t, []string{"edge:8080", "edge:8081"}, addrs(f, "www"))
		require.Equal(t, []string{"a-1:50051", "a-2:50051"}, addrs(f, "a"), "hosts of their own, in memory")
	})
}

func TestAdvertisedHostReplacesTheListener(t *testing.T) {
	f := Mix(Memory(), One(nil, new(network.TCP)))
	s := start(t, Config{Roles: []Role{serves("a", new(echo))}, Fabric: f, GRPC: "127.0.0.1:0", Advertise: "::1"})
	host, _, err := net.SplitHostPort(addrs(f, "a")[0])
	require.NoError(t, err)
	require.Equal(t, "::1", host)
	_, err = s.end()
	require.NoError(t, err)
}

func TestAdvertisedHostChangesNothingInMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := Memory()
		start(t, Config{Roles: []Role{serves("a", new(echo))}, Fabric: f, GRPC: ":7000", Advertise: "2001:db8::1"})
		require.Equal(t, []string{"a-1:7000"}, addrs(f, "a"), "a host there has the name it has")
	})
}

func TestListenerOnAllAddressesIsAdvertisedReachably(t *testing.T) {
	f := Mix(Memory(), One(nil, new(network.TCP)))
	s := start(t, Config{Roles: []Role{serves("a", new(echo))}, Fabric: f, GRPC: ":0"})
	host, _, err := net.SplitHostPort(addrs(f, "a")[0])
	require.NoError(t, err)
	require.False(t, net.ParseIP(host).IsUnspecified(), host)
	require.NoError(t, call(outside(t, f, "a")))
	_, err = s.end()
	require.NoError(t, err)
}

// addrs is where a role is listed, in the order of its instances.
func addrs(f Fabric, role string) []string {
	var out []string
	for _, in := range listed(f, role) { // sorted by id, which begins with the host
		out = append(out, in.Addr)
	}
	return out
}
