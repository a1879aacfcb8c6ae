package identity_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/identity"
	"example.com/app/platform/identity/identitytest"
)

func TestMemoryKeepsThePromisesOfASource(t *testing.T) {
	identitytest.RunInBubble(t, func(t *testing.T) identitytest.World {
		ca := identity.NewMemory(identity.MemoryConfig{})
		return identitytest.World{
			Source: ca, Domain: "app.internal",
			Renew:      func() { time.Sleep(17 * time.Hour) },
			RotateRoot: func() { require.NoError(t, ca.RotateRoot()) },
		}
	})
}

func TestFilesKeepThePromisesOfASource(t *testing.T) {
	identitytest.RunInBubble(t, func(t *testing.T) identitytest.World {
		d := newDir(t)
		d.write("greeter", "gateway")
		return identitytest.World{
			Source: d.source(), Domain: "example.org",
			Renew: func() { d.write("greeter", "gateway") },
			RotateRoot: func() {
				require.NoError(t, d.ca.RotateRoot())
				d.write("greeter", "gateway")
			},
		}
	})
}

// A dir holds the files of some roles, made by a CA.
type dir struct {
	*testing.T
	ca   *identity.Memory
	path string
}

func newDir(t *testing.T) *dir {
	return &dir{t, identity.NewMemory(identity.MemoryConfig{Domain: "example.org"}), t.TempDir()}
}

func (d *dir) source() *identity.Files {
	in := func(name string) string { return filepath.Join(d.path, name) }
	return &identity.Files{Cert: in("{role}.pem"), Key: in("{role}.key"), CA: in("ca.pem")}
}

// write renews the files of roles.
func (d *dir) write(roles ...string) {
	d.Helper()
	for _, role := range roles {
		b, err := d.ca.Issue(role)
		require.NoError(d, err)
		d.put("ca.pem", b.CA)
		d.put(role+".key", b.Key)
		d.put(role+".pem", b.Cert)
	}
}

func (d *dir) put(name string, text []byte) {
	d.Helper()
	require.NoError(d, os.WriteFile(filepath.Join(d.path, name), text, 0o600))
}
