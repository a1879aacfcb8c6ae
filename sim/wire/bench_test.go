package wire_test

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
	"example.com/app/platform/network/networktest"
	"example.com/app/sim/wire"
)

// BenchmarkRoundTrip is what a network that can be spoilt costs while nothing
// is, beside the one underneath it.
func BenchmarkRoundTrip(b *testing.B) {
	for name, hosts := range map[string]networktest.Hosts{"memory": network.NewMemory(), "wire": wire.New(wire.Config{})} {
		b.Run(name, func(b *testing.B) {
			l, err := hosts.Host("b").Listen(b.Context(), ":1")
			require.NoError(b, err)
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err == nil {
					_, _ = io.Copy(c, struct{ io.Reader }{c})
					_ = c.Close()
				}
			}()
			var c net.Conn
			c, err = hosts.Host("a").Dial(b.Context(), "b:1")
			require.NoError(b, err)
			defer c.Close()
			message := make([]byte, 200)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(message); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
