package identity

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"example.com/app/platform/errs"
)

// Files is a Source that reads PEM files which somebody else renews. It is safe
// for many watches; its fields must not change.
//
// In the paths "{role}" stands for the role, so that one Files serves a process
// with several.
type Files struct {
	Cert string // the leaf, and the intermediates that lead to a root
	Key  string // its private key; a file that others may read is refused
	CA   string // the roots

	Domain string           // trust domain; empty: that of the leaf
	Every  time.Duration    // between looks at the files; 0 means 5 s
	Now    func() time.Time // for the lives of certificates; nil: time.Now
}

// maxPEM is how much is read of one file, in bytes.
const maxPEM = 1 << 20

// Watch implements Source. Files that are broken, half replaced or of another
// role change nothing: the error is yielded, once for each reason, and they are
// read again.
func (f *Files) Watch(ctx context.Context, role string) iter.Seq2[Certs, error] {
	return func(yield func(Certs, error) bool) {
		w := &fileWatch{files: f, role: role}
		tick := time.NewTicker(cmp.Or(f.Every, 5*time.Second))
		defer tick.Stop()
		for ctx.Err() == nil {
			if !w.look(yield) {
				return
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}
}

// A fileWatch is one loop over Watch. It belongs to its goroutine.
type fileWatch struct {
	files   *Files
	role    string
	infos   [3]os.FileInfo // of what was read last
	good    [3][]byte      // what was yielded last
	failure string         // why what was read last was not; empty: it was
}

// look yields what is new in the files. It reports false when the loop was
// left.
func (w *fileWatch) look(yield func(Certs, error) bool) bool {
	certs, fresh, err := w.read()
	if err != nil {
		again := err.Error() == w.failure
		w.failure = err.Error()
		return again || yield(Certs{}, err)
	}
	w.failure = ""
	return !fresh || yield(certs, nil)
}

// paths are those of the certificate, the key and the roots.
func (w *fileWatch) paths() [3]string {
	name := strings.NewReplacer("{role}", w.role)
	return [3]string{name.Replace(w.files.Cert), name.Replace(w.files.Key), name.Replace(w.files.CA)}
}

// read returns what is in the files, if that is news.
func (w *fileWatch) read() (certs Certs, fresh bool, err error) {
	paths := w.paths()
	var infos [3]os.FileInfo
	for i, path := range paths {
		if infos[i], err = os.Stat(path); err != nil {
			return Certs{}, false, errs.Unavailable.New("look at certificate file: %w", err)
		}
		if !infos[i].Mode().IsRegular() {
			return Certs{}, false, errs.Invalid.New("%s is not a file", path)
		}
	}
	if mode := infos[1].Mode().Perm(); mode&0o077 != 0 {
		return Certs{}, false, errs.Invalid.New("others may read the key %s (mode %04o): chmod 600 %[1]s", paths[1], mode)
	}
	if w.failure == "" && w.asBefore(infos) {
		return Certs{}, false, nil
	}
	var texts [3][]byte
	for i, path := range paths {
		if texts[i], err = readFile(path); err != nil {
			return Certs{}, false, err
		}
	}
	w.infos = infos
	if w.same(texts) {
		return Certs{}, false, nil
	}
	if certs, err = w.parse(texts); err != nil {
		return Certs{}, false, err
	}
	w.good = texts
	return certs, true, nil
}

// asBefore reports whether the files are surely those that were read. One that
// was written a moment ago may be written again without its time changing.
func (w *fileWatch) asBefore(infos [3]os.FileInfo) bool {
	for i, now := range infos {
		was := w.infos[i]
		young := time.Since(now.ModTime()) < 2*cmp.Or(w.files.Every, 5*time.Second)
		if was == nil || young || !os.SameFile(was, now) || was.Size() != now.Size() || !was.ModTime().Equal(now.ModTime()) {
			return false
		}
	}
	return true
}

func (w *fileWatch) same(texts [3][]byte) bool {
	for i := range texts {
		if w.good[i] == nil || !bytes.Equal(texts[i], w.good[i]) {
			return false
		}
	}
	return true
}

// parse makes certificates of the texts, if they are fit for the role.
func (w *fileWatch) parse(texts [3][]byte) (Certs, error) {
	paths := w.paths()
	leaf, err := tls.X509KeyPair(texts[0], texts[1])
	if err != nil {
		return Certs{}, errs.Invalid.New("read %s with its key %s: %w", paths[0], paths[1], err)
	}
	roots, err := readRoots(texts[2])
	if err != nil {
		return Certs{}, errs.Invalid.New("read %s: %w", paths[2], err)
	}
	id, err := Of(leaf.Leaf)
	if err != nil {
		return Certs{}, errs.Invalid.New("read %s: %w", paths[0], err)
	}
	certs := Certs{Leaf: &leaf, Roots: roots, Domain: cmp.Or(w.files.Domain, id.Domain)}
	now := time.Now
	if w.files.Now != nil {
		now = w.files.Now
	}
	if _, _, err := certs.check(w.role, now()); err != nil {
		return Certs{}, errs.Invalid.New("read %s: %w", paths[0], err)
	}
	return certs, nil
}

// readFile reads a file that is no longer than honest ones.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, errs.Unavailable.New("read certificate file: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxPEM+1))
	if err != nil {
		return nil, errs.Unavailable.New("read certificate file: %w", err)
	}
	if len(text) > maxPEM {
		return nil, errs.Invalid.New("%s is longer than %d bytes", path, maxPEM)
	}
	return text, nil
}

// readRoots reads PEM that holds certificates and nothing else: what is passed
// over in silence is missed much later.
func readRoots(text []byte) (*x509.CertPool, error) {
	pool, found := x509.NewCertPool(), 0
	for {
		var b *pem.Block
		b, text = pem.Decode(text)
		if b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			return nil, errs.Invalid.New("there is a block %s among the roots: want CERTIFICATE alone", b.Type)
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		if !c.IsCA {
			return nil, errs.Invalid.New("%q is no CA: want the roots, not a leaf", c.Subject)
		}
		pool.AddCert(c)
		found++
	}
	if found == 0 {
		return nil, errs.Invalid.New("there is no certificate in it")
	}
	return pool, nil
}
