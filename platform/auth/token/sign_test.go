package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512" // for ES384
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// signature signs by the book of RFC 7518 §3, with the standard library alone,
// so that it is not the library under test that makes the tokens.
func signature(alg jose.SignatureAlgorithm, k crypto.Signer, input string) []byte {
	hash := map[jose.SignatureAlgorithm]crypto.Hash{jose.ES384: crypto.SHA384, jose.ES512: crypto.SHA512}[alg]
	if hash == 0 {
		hash = crypto.SHA256
	}
	h := hash.New()
	h.Write([]byte(input))
	sum := h.Sum(nil)
	switch k := k.(type) {
	case *rsa.PrivateKey:
		var s []byte
		var err error
		if alg == jose.PS256 {
			s, err = rsa.SignPSS(rand.Reader, k, hash, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			s, err = rsa.SignPKCS1v15(rand.Reader, k, hash, sum)
		}
		must(err)
		return s
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, sum)
		must(err)
		size := (k.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case ed25519.PrivateKey:
		return ed25519.Sign(k, []byte(input))
	}
	panic(fmt.Sprintf("no signature with %T", k))
}
