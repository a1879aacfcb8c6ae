package identity_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/identity"
)

// looked is what the first look at the files of greeter yields.
func looked(t *testing.T, f *identity.Files) error {
	t.Helper()
	for certs, err := range f.Watch(t.Context(), "greeter") {
		require.Equal(t, err == nil, certs.Leaf != nil, "certificates or an error, never both")
		return err
	}
	require.FailNow(t, "nothing was yielded")
	return nil
}

func TestFilesThatAreNotFitAreAnErrorThatSaysWhich(t *testing.T) {
	other := newDir(t)
	other.write("greeter")
	text := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(other.path, name))
		require.NoError(t, err)
		return b
	}
	for name, c := range map[string]struct {
		spoil func(*dir, *identity.Files)
		kind  errs.Kind
		want  string
	}{
		"the certificate is missing": {func(d *dir, _ *identity.Files) { require.NoError(d, os.Remove(filepath.Join(d.path, "greeter.pem"))) }, errs.Unavailable, "look at certificate file: "},
		"others may read the key": {func(d *dir, _ *identity.Files) {
			require.NoError(d, os.Chmod(filepath.Join(d.path, "greeter.key"), 0o640))
		}, errs.Invalid, "(mode 0640): chmod 600 "},
		"a path is a directory":      {func(d *dir, f *identity.Files) { f.CA = d.path }, errs.Invalid, "is not a file"},
		"the certificate is no PEM":  {func(d *dir, _ *identity.Files) { d.put("greeter.pem", []byte("x")) }, errs.Invalid, "greeter.pem with its key"},
		"the key is another's":       {func(d *dir, _ *identity.Files) { d.put("greeter.key", text("greeter.key")) }, errs.Invalid, "private key does not match public key"},
		"there are no roots":         {func(d *dir, _ *identity.Files) { d.put("ca.pem", nil) }, errs.Invalid, "there is no certificate in it"},
		"the roots are another CA's": {func(d *dir, _ *identity.Files) { d.put("ca.pem", text("ca.pem")) }, errs.Invalid, "comes from a CA that is not trusted here"},
		"a key is among the roots":   {func(d *dir, _ *identity.Files) { d.put("ca.pem", text("greeter.key")) }, errs.Invalid, "PRIVATE KEY among the roots"},
		"a leaf is among the roots":  {func(d *dir, _ *identity.Files) { d.put("ca.pem", text("greeter.pem")) }, errs.Invalid, "is no CA"},
		"a file is far too long":     {func(d *dir, _ *identity.Files) { d.put("ca.pem", bytes.Repeat([]byte{'\n'}, 1<<20+1)) }, errs.Invalid, "is longer than 1048576 bytes"},
		"they are of another role": {func(d *dir, f *identity.Files) {
			d.write("gateway")
			f.Cert, f.Key = filepath.Join(d.path, "gateway.pem"), filepath.Join(d.path, "gateway.key")
		}, errs.Invalid, "is not the certificate of greeter"},
		"the trust domain is foreign": {func(_ *dir, f *identity.Files) { f.Domain = "elsewhere.example" }, errs.Invalid, "is of another trust domain: want elsewhere.example"},
		"the certificate has expired": {func(_ *dir, f *identity.Files) { f.Now = func() time.Time { return time.Now().Add(25 * time.Hour) } }, errs.Invalid, "the certificate expired at "},
		"it is not valid yet":         {func(_ *dir, f *identity.Files) { f.Now = func() time.Time { return time.Now().Add(-25 * time.Hour) } }, errs.Invalid, "the certificate is valid from "},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDir(t)
			d.write("greeter")
			f := d.source()
			require.NoError(t, looked(t, f), "they were fit before")
			c.spoil(d, f)
			err := looked(t, f)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, c.kind, errs.Of(err), "%v", err)
		})
	}
}

// TestABrokenFileChangesNothingAndIsToldOnce breaks the files for a minute, as
// a renewal does that is half done.
func TestABrokenFileChangesNothingAndIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t)
		d.write("greeter")
		type yield struct {
			certs identity.Certs
			err   error
		}
		yields := make(chan yield, 100)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for certs, err := range d.source().Watch(ctx, "greeter") {
				yields <- yield{certs, err}
			}
		}()
		before := <-yields
		require.NoError(t, before.err)
		d.put("greeter.key", []byte("half"))
		time.Sleep(time.Minute)
		require.Error(t, (<-yields).err)
		require.Empty(t, yields, "once for each reason")
		d.write("greeter")
		time.Sleep(5 * time.Second)
		after := <-yields
		require.NoError(t, after.err)
		require.NotEqual(t, before.certs.Leaf.Leaf.SerialNumber, after.certs.Leaf.Leaf.SerialNumber)
		cancel()
		<-ended
		require.Empty(t, yields)
	})
}
