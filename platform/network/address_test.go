package network

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReachableKeepsAnAddressThatNamesAHost(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:80", "10.1.2.3:0", "[::1]:80", "[2001:db8::1]:443", "greeter-1:50051", "localhost:1"} {
		got, err := Reachable(addr)
		require.NoError(t, err)
		require.Equal(t, addr, got)
	}
}

func TestReachableFindsAnAddressWhereTheListenerHasAll(t *testing.T) {
	for _, addr := range []string{":80", "0.0.0.0:80", "[::]:80"} {
		got, err := Reachable(addr)
		require.NoError(t, err)
		host, port, err := net.SplitHostPort(got)
		require.NoError(t, err)
		require.Equal(t, "80", port)
		ip := net.ParseIP(host)
		require.NotNil(t, ip, got)
		require.False(t, ip.IsUnspecified(), got)
	}
}

func TestReachableRefusesWhatIsNoAddress(t *testing.T) {
	for _, addr := range []string{"", "host", "::1:80", "a:b:c"} {
		_, err := Reachable(addr)
		require.Error(t, err, addr)
	}
}

func TestBestAddressIsPrivateThenPublicThenLoopback(t *testing.T) {
	for name, c := range map[string]struct {
		all  []string
		want string
	}{
		"private before public":   {[]string{"127.0.0.1/8", "8.8.8.8/24", "10.0.0.7/8", "192.168.1.2/24"}, "10.0.0.7"},
		"public before loopback":  {[]string{"127.0.0.1/8", "8.8.8.8/24", "9.9.9.9/24"}, "8.8.8.8"},
		"loopback at last":        {[]string{"127.0.0.1/8"}, "127.0.0.1"},
		"nothing at all":          {nil, "127.0.0.1"},
		"not what DHCP gave up":   {[]string{"169.254.3.4/16"}, "127.0.0.1"},
		"not IPv6 without a need": {[]string{"fd00::1/8", "2001:db8::1/64", "fe80::1/64"}, "127.0.0.1"},
	} {
		var all []net.Addr
		for _, text := range c.all {
			ip, n, err := net.ParseCIDR(text)
			require.NoError(t, err)
			n.IP = ip
			all = append(all, n)
		}
		require.Equal(t, c.want, best(all), name)
	}
	require.Equal(t, "127.0.0.1", best([]net.Addr{&net.UnixAddr{Name: "s"}}), "what is no IP address is passed over")
}
