package token_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"example.com/app/platform/auth"
	"example.com/app/platform/auth/token"
)

// mac signs with a symmetric key, as the attack of RFC 8725 §2.1 does with what
// everybody knows: the public key.
func mac(secret []byte, h any) string {
	input := encode(text(h)) + "." + encode(text(good()))
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(input))
	return input + "." + encode(m.Sum(nil))
}

func TestAU1TheKeyDecidesOnTheAlgorithm(t *testing.T) {
	v := verifier(t, lists("rsa", "p256", "p384", "ed"), nil)
	der, err := x509.MarshalPKIXPublicKey(keys()["rsa"].Public())
	require.NoError(t, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	jwk, err := json.Marshal(jose.JSONWebKey{Key: keys()["rsa"].Public(), KeyID: "rsa"})
	require.NoError(t, err)
	payload := encode(text(good()))

	for name, test := range map[string]struct{ tok, reason string }{
		"none":                     {encode(text(head("none", "rsa"))) + "." + payload + ".", auth.Malformed},
		"none with a signature":    {sign("rsa", head("none", "rsa"), good()), auth.Algorithm},
		"None":                     {sign("rsa", head("None", "rsa"), good()), auth.Algorithm},
		"nOnE":                     {sign("rsa", head("nOnE", ""), good()), auth.Algorithm},
		"no algorithm":             {sign("rsa", without(head("", "rsa"), "alg"), good()), auth.Algorithm},
		"empty algorithm":          {sign("rsa", head("", "rsa"), good()), auth.Algorithm},
		"in lower case":            {sign("rsa", head("rs256", "rsa"), good()), auth.Algorithm},
		"a number":                 {sign("rsa", with(head("", "rsa"), object{"alg": 256}), good()), auth.Malformed},
		"a list":                   {sign("rsa", with(head("", "rsa"), object{"alg": []string{"RS256"}}), good()), auth.Malformed},
		"HS256 by the PEM":         {mac(public, head("HS256", "rsa")), auth.Algorithm},
		"HS256 by the DER":         {mac(der, head("HS256", "rsa")), auth.Algorithm},
		"HS256 by the JWK":         {mac(jwk, head("HS256", "rsa")), auth.Algorithm},
		"HS256 by nothing":         {mac(nil, head("HS256", "")), auth.Algorithm},
		"RS256 that is HMAC":       {mac(public, head("RS256", "rsa")), auth.Signature},
		"RS256 by an elliptic key": {sign("p256", head("RS256", "p256"), good()), auth.Algorithm},
		"ES256 by an RSA key":      {sign("rsa", head("ES256", "rsa"), good()), auth.Algorithm},
		"ES384 by a P-256 key":     {sign("p256", head("ES384", "p256"), good()), auth.Algorithm},
		"EdDSA by a P-256 key":     {sign("p256", head("EdDSA", "p256"), good()), auth.Algorithm},
		"RS256 called PS256":       {sign("rsa", head("PS256", "rsa"), good()), auth.Signature},
		"ES512":                    {sign("p521", head("ES512", "p521"), good()), auth.Algorithm},
		"RS512":                    {sign("rsa", head("RS512", "rsa"), good()), auth.Algorithm},
		"dir":                      {sign("rsa", head("dir", "rsa"), good()), auth.Algorithm},
		"another's key":            {sign("other", head("RS256", "rsa"), good()), auth.Signature},
		"another's key, no kid":    {sign("other", without(head("RS256", ""), "kid"), good()), auth.Signature},
	} {
		t.Run(name, func(t *testing.T) { refused(t, v, test.tok, test.reason) })
	}
}

func TestAU1KeysThatAreNotToVerifyWithAreLeftOut(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	small.E = 65537
	jwk := func(k any, more object) object {
		b, err := json.Marshal(jose.JSONWebKey{Key: k, KeyID: "x"})
		require.NoError(t, err)
		var o object
		require.NoError(t, json.Unmarshal(b, &o))
		return with(o, more)
	}
	public := keys()["rsa"].Public()
	for name, test := range map[string]struct {
		key   object
		taken bool
	}{
		"as it should be":          {jwk(public, object{"use": "sig", "key_ops": []string{"verify"}, "alg": "RS256"}), true},
		"no use":                   {jwk(public, nil), true},
		"use that is null":         {jwk(public, object{"use": nil}), true},
		"use is enc":               {jwk(public, object{"use": "enc"}), false},
		"use is empty":             {jwk(public, object{"use": ""}), false},
		"key_ops without verify":   {jwk(public, object{"key_ops": []string{"encrypt", "wrapKey"}}), false},
		"key_ops is empty":         {jwk(public, object{"key_ops": []string{}}), false},
		"key_ops is text":          {jwk(public, object{"key_ops": "verify"}), false},
		"alg is RSA-OAEP":          {jwk(public, object{"alg": "RSA-OAEP"}), false},
		"alg is HS256":             {jwk(public, object{"alg": "HS256"}), false},
		"alg is none":              {jwk(public, object{"alg": "none"}), false},
		"alg is PS256":             {jwk(public, object{"alg": "PS256"}), false},
		"alg is of another type":   {jwk(public, object{"alg": "ES256"}), false},
		"a private key":            {jwk(keys()["rsa"], nil), false},
		"symmetric":                {object{"kty": "oct", "kid": "x", "k": base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)), "alg": "HS256"}, false},
		"symmetric called RSA":     {object{"kty": "RSA", "kid": "x", "k": "AAAA"}, false},
		"RSA of 1024 bits":         {jwk(small.Public(), nil), false},
		"no point of the curve":    {with(jwk(keys()["p256"].Public(), nil), object{"x": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}), false},
		"kty nobody knows":         {object{"kty": "XYZ", "kid": "x"}, false},
		"kid is a number":          {jwk(public, object{"kid": 7}), false},
		"x5c of another key":       {jwk(public, object{"x5c": []string{"AAAA"}}), false},
		"not an object":            {nil, false},
		"P-521, which has no alg ": {jwk(keys()["p521"].Public(), nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			ed := jose.JSONWebKey{Key: keys()["ed"].Public(), KeyID: "ed"}
			document := text(object{"keys": []any{test.key, ed}})
			i := lists()
			i.answers(func(context.Context) ([]byte, error) { return document, nil })
			v := verifier(t, i, nil)
			taken(t, v, sign("ed", head("EdDSA", "ed"), good())) // the others of the list count
			tok := sign("rsa", head("RS256", "x"), good())
			switch {
			case test.taken:
				taken(t, v, tok)
			case name == "alg is PS256":
				refused(t, v, tok, auth.Algorithm)
			default:
				refused(t, v, tok, auth.Key)
			}
		})
	}
}

func TestAU2ATokenDoesNotBringItsKeyAlong(t *testing.T) {
	i := lists("rsa")
	v := verifier(t, i, nil)
	mine := jose.JSONWebKey{Key: keys()["other"].Public(), KeyID: "rsa"}
	extra := object{
		"jwk": mine, "jku": "https://evil.example/jwks", "x5u": "https://evil.example/cert",
		"x5t": "AAAA", "x5t#S256": "AAAA",
	}
	for name := range extra {
		h := with(head("RS256", "rsa"), object{name: extra[name]})
		t.Run(name+" by its own key", func(t *testing.T) { refused(t, v, sign("other", h, good()), auth.Signature) })
		t.Run(name+" is not looked at", func(t *testing.T) { taken(t, v, sign("rsa", h, good())) })
	}
	t.Run("jwk alone", func(t *testing.T) {
		refused(t, v, sign("other", with(head("RS256", "evil"), object{"jwk": with(object{}, object{"kty": "RSA"})}), good()), auth.Malformed)
		refused(t, v, sign("other", without(with(head("RS256", ""), object{"jwk": mine}), "kid"), good()), auth.Signature)
	})
	t.Run("symmetric jwk", func(t *testing.T) {
		refused(t, v, sign("rsa", with(head("RS256", "rsa"), object{"jwk": object{"kty": "oct", "k": "AAAA"}}), good()), auth.Malformed)
	})
}

func TestAU2WhatIsCriticalAndNotUnderstoodIsRefused(t *testing.T) {
	v := verifier(t, lists("rsa"), nil)
	for name, more := range map[string]object{
		"unknown": {"crit": []string{"x"}, "x": 1},
		"b64":     {"crit": []string{"b64"}, "b64": true},
		"exp":     {"crit": []string{"exp"}, "exp": 1},
		"empty":   {"crit": []string{}},
		"null":    {"crit": nil},
		"text":    {"crit": "b64"},
		"b64 off": {"b64": false},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, v, sign("rsa", with(head("RS256", "rsa"), more), good()), auth.Critical)
		})
	}
}

func TestAU2AKeyIDIsOnlyLookedUp(t *testing.T) {
	i := lists("rsa")
	v := verifier(t, i, nil)
	taken(t, v, sign("rsa", head("RS256", "rsa"), good()))
	for _, kid := range []string{
		"../../../../dev/null", "/dev/null", "' UNION SELECT 'key'; --", "$(reboot)", "https://evil.example/jwks",
		"rsa\x00", "RSA", "rsa ", strings.Repeat("k", 2000), "\u2028", "__proto__", "*",
	} {
		refused(t, v, sign("rsa", head("RS256", kid), good()), auth.Key)
		refused(t, v, mac(nil, head("HS256", kid)), auth.Algorithm)
	}
	for _, kid := range []any{7, true, object{}, []string{"rsa"}} {
		refused(t, v, sign("rsa", with(head("RS256", ""), object{"kid": kid}), good()), auth.Malformed)
	}
	for name, h := range map[string]object{"no kid": without(head("RS256", ""), "kid"), "an empty kid": head("RS256", ""), "a null kid": with(head("RS256", ""), object{"kid": nil})} {
		t.Run(name+" has the keys of the type tried", func(t *testing.T) { taken(t, v, sign("rsa", h, good())) })
	}
}

func TestOnlyAnAccessTokenIsOne(t *testing.T) {
	v := verifier(t, lists("rsa"), nil)
	for _, typ := range []any{"JWT", "jwt", "", "id+jwt", "logout+jwt", "dpop+jwt", "at+jwt ", "application/json", "application/application/at+jwt", "x/at+jwt"} {
		refused(t, v, sign("rsa", with(head("RS256", "rsa"), object{"typ": typ}), good()), auth.Type)
	}
	refused(t, v, sign("rsa", without(head("RS256", "rsa"), "typ"), good()), auth.Type)
	refused(t, v, sign("rsa", with(head("RS256", "rsa"), object{"typ": nil}), good()), auth.Type)
	refused(t, v, sign("rsa", with(head("RS256", "rsa"), object{"typ": 1}), good()), auth.Malformed)
	for _, typ := range []string{"at+jwt", "AT+JWT", "application/at+jwt", "Application/at+JWT"} {
		taken(t, v, sign("rsa", with(head("RS256", "rsa"), object{"typ": typ}), good()))
	}
}

func TestAU3ClaimsAreWhatTheyMustBe(t *testing.T) {
	v := verifier(t, lists("ed"), nil)
	now := time.Now().Unix()
	missing := func(name string) any { return without(good(), name) }
	is := func(name string, value any) any { return with(good(), object{name: value}) }
	spelled := func(name, literal string) any { // what no encoder would write
		return strings.Replace(string(text(with(good(), object{name: "HERE"}))), `"HERE"`, literal, 1)
	}
	for name, test := range map[string]struct {
		payload any
		reason  string // with the claim after a space
	}{
		"iss missing":              {missing("iss"), auth.Claim + " iss"},
		"iss of another":           {is("iss", "https://evil.example"), auth.Issuer},
		"iss with a slash":         {is("iss", issuerURL+"/"), auth.Issuer},
		"iss in capitals":          {is("iss", strings.ToUpper(issuerURL)), auth.Issuer},
		"iss as a prefix":          {is("iss", issuerURL+".evil.example"), auth.Issuer},
		"iss a list":               {is("iss", []string{issuerURL}), auth.Claim + " iss"},
		"aud missing":              {missing("aud"), auth.Claim + " aud"},
		"aud of another":           {is("aud", "other"), auth.Audience},
		"aud in capitals":          {is("aud", "APP"), auth.Audience},
		"aud that contains ours":   {is("aud", "app other"), auth.Audience},
		"aud empty":                {is("aud", ""), auth.Audience},
		"aud an empty list":        {is("aud", []string{}), auth.Audience},
		"aud others":               {is("aud", []string{"a", "b"}), auth.Audience},
		"aud a number":             {is("aud", 1), auth.Claim + " aud"},
		"aud an object":            {is("aud", object{"app": true}), auth.Claim + " aud"},
		"aud mixed":                {is("aud", []any{"app", 1}), auth.Claim + " aud"},
		"aud null":                 {is("aud", nil), auth.Claim + " aud"},
		"aud a list with ours":     {is("aud", []string{"x", "app"}), ""},
		"exp missing":              {missing("exp"), auth.Claim + " exp"},
		"exp text":                 {is("exp", "9999999999"), auth.Claim + " exp"},
		"exp null":                 {is("exp", nil), auth.Claim + " exp"},
		"exp true":                 {is("exp", true), auth.Claim + " exp"},
		"exp a list":               {is("exp", []int64{now + 100}), auth.Claim + " exp"},
		"exp an object":            {is("exp", object{"$gt": 0}), auth.Claim + " exp"},
		"exp negative":             {is("exp", -1), auth.Claim + " exp"},
		"exp beyond all time":      {spelled("exp", "1e300"), auth.Claim + " exp"},
		"exp no float":             {spelled("exp", "1e400"), auth.Claim + " exp"},
		"exp in milliseconds":      {is("exp", (now+100)*1000), auth.Claim + " exp"},
		"exp zero":                 {is("exp", 0), auth.Expired},
		"exp long gone":            {is("exp", now-3600), auth.Expired},
		"exp gone within leeway":   {is("exp", now-5), ""},
		"exp gone beyond leeway":   {is("exp", now-35), auth.Expired},
		"exp with a fraction":      {is("exp", float64(now)+100.5), ""},
		"exp in powers of ten":     {spelled("exp", "25e8"), ""},
		"nbf to come":              {is("nbf", now+3600), auth.NotYet},
		"nbf within leeway":        {is("nbf", now+20), ""},
		"nbf beyond leeway":        {is("nbf", now+60), auth.NotYet},
		"nbf text":                 {is("nbf", "0"), auth.Claim + " nbf"},
		"nbf null":                 {is("nbf", nil), auth.Claim + " nbf"},
		"iat missing":              {missing("iat"), auth.Claim + " iat"},
		"iat to come":              {is("iat", now+60), auth.NotYet},
		"iat within leeway":        {is("iat", now+20), ""},
		"iat text":                 {is("iat", "now"), auth.Claim + " iat"},
		"sub missing":              {missing("sub"), auth.Claim + " sub"},
		"sub empty":                {is("sub", ""), auth.Claim + " sub"},
		"sub a number":             {is("sub", 7), auth.Claim + " sub"},
		"sub null":                 {is("sub", nil), auth.Claim + " sub"},
		"jti missing":              {missing("jti"), auth.Claim + " jti"},
		"jti a number":             {is("jti", 7), auth.Claim + " jti"},
		"client_id missing":        {missing("client_id"), auth.Claim + " client_id"},
		"client_id a list":         {is("client_id", []string{"demo"}), auth.Claim + " client_id"},
		"scope missing":            {missing("scope"), ""},
		"scope a list":             {is("scope", []string{"a"}), auth.Claim + " scope"},
		"scope null":               {is("scope", nil), auth.Claim + " scope"},
		"roles missing":            {missing("roles"), ""},
		"roles text":               {is("roles", "admin"), auth.Claim + " roles"},
		"roles mixed":              {is("roles", []any{"admin", 1}), auth.Claim + " roles"},
		"roles null":               {is("roles", nil), auth.Claim + " roles"},
		"names in capitals":        {with(without(good(), "sub"), object{"Sub": "ada"}), auth.Claim + " sub"},
		"a claim of somebody else": {is("tenant", object{"a": []int{1}}), ""},
		"exp twice":                {`{"exp":1,` + string(text(good())[1:]), auth.Malformed},
		"sub twice, once escaped":  {`{"\u0073ub":"eve",` + string(text(good())[1:]), auth.Malformed},
		"another claim twice":      {`{"x":1,"x":2,` + string(text(good())[1:]), auth.Malformed},
		"an array":                 {`[]`, auth.Malformed},
		"null":                     {`null`, auth.Malformed},
		"text":                     {`"x"`, auth.Malformed},
		"an empty object":          {`{}`, auth.Claim + " iss"},
		"cut":                      {string(text(good())[:40]), auth.Malformed},
		"with more after it":       {string(text(good())) + "{}", auth.Malformed},
		"with a byte order mark":   {"\ufeff" + string(text(good())), auth.Malformed},
		"not UTF-8":                {spelled("sub", "\"\xff\""), auth.Malformed},
		"deep":                     {`{"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, auth.Oversize},
	} {
		t.Run(name, func(t *testing.T) {
			tok := sign("ed", head("EdDSA", "ed"), test.payload)
			reason, claim, _ := strings.Cut(test.reason, " ")
			if reason == "" {
				taken(t, v, tok)
				return
			}
			refused(t, v, tok, reason)
			_, err := v.Verify(t.Context(), tok)
			require.Equal(t, claim, status.Convert(err).Details()[0].(*errdetails.ErrorInfo).GetMetadata()["claim"])
		})
	}
}

func TestAU4NoSignatureButTheRightOne(t *testing.T) {
	v := verifier(t, lists("rsa", "p256", "p384", "ed"), nil)
	for by, alg := range map[string]string{"rsa": "RS256", "p256": "ES256", "p384": "ES384", "ed": "EdDSA"} {
		tok := sign(by, head(alg, by), good())
		taken(t, v, tok)
		signed, last, _ := strings.Cut(tok[strings.IndexByte(tok, '.')+1:], ".")
		h := tok[:strings.IndexByte(tok, '.')]
		s, err := base64.RawURLEncoding.DecodeString(last)
		require.NoError(t, err)
		again := func(s []byte) string { return h + "." + signed + "." + encode(s) }
		flip := func(n int) []byte { c := bytes.Clone(s); c[n] ^= 1; return c }
		swapped := append(bytes.Clone(s[len(s)/2:]), s[:len(s)/2]...)

		cases := map[string]struct{ tok, reason string }{
			"first bit":            {again(flip(0)), auth.Signature},
			"last bit":             {again(flip(len(s) - 1)), auth.Signature},
			"middle bit":           {again(flip(len(s) / 2)), auth.Signature},
			"cut":                  {again(s[:len(s)-1]), auth.Signature},
			"half":                 {again(s[:len(s)/2]), auth.Signature},
			"one more":             {again(append(bytes.Clone(s), 0)), auth.Signature},
			"one more before":      {again(append([]byte{0}, s...)), auth.Signature},
			"twice":                {again(append(bytes.Clone(s), s...)), auth.Signature},
			"zeros":                {again(make([]byte, len(s))), auth.Signature},
			"ones":                 {again(bytes.Repeat([]byte{0xff}, len(s))), auth.Signature},
			"one zero":             {again([]byte{0}), auth.Signature},
			"halves swapped":       {again(swapped), auth.Signature},
			"empty":                {h + "." + signed + ".", auth.Malformed},
			"no signature":         {h + "." + signed, auth.Malformed},
			"a fourth part":        {tok + ".AAAA", auth.Malformed},
			"padded":               {tok + "=", auth.Malformed},
			"a line break":         {tok + "\n", auth.Malformed},
			"a line break within":  {tok[:len(tok)-4] + "\r\n" + tok[len(tok)-4:], auth.Malformed},
			"a blank before":       {" " + tok, auth.Malformed},
			"of another payload":   {h + "." + encode(text(with(good(), object{"sub": "eve"}))) + "." + last, auth.Signature},
			"of another header":    {encode(text(with(head(alg, by), object{"x": 1}))) + "." + signed + "." + last, auth.Signature},
			"header spelled anew":  {encode([]byte(`{ "alg":"`+alg+`","kid":"`+by+`","typ":"at+jwt"}`)) + "." + signed + "." + last, auth.Signature},
			"of the payload alone": {h + "." + signed + "." + encode(raw(by, signed)), auth.Signature},
			"JSON serialization":   {`{"protected":"` + h + `","payload":"` + signed + `","signature":"` + last + `"}`, auth.Malformed},
		}
		if by[0] == 'p' {
			size := len(s) / 2
			r, n := new(big.Int).SetBytes(s[:size]), new(big.Int).SetBytes(s[size:])
			der, err := asn1.Marshal(struct{ R, S *big.Int }{r, n})
			require.NoError(t, err)
			order := map[string]string{
				"p256": "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
				"p384": "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
			}[by]
			q, _ := new(big.Int).SetString(order, 16)
			pair := func(r, s *big.Int) string {
				return again(append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...))
			}
			zero, one := new(big.Int), big.NewInt(1)
			cases["DER"] = struct{ tok, reason string }{again(der), auth.Signature}
			cases["r=s=0"] = struct{ tok, reason string }{pair(zero, zero), auth.Signature}
			cases["r=0"] = struct{ tok, reason string }{pair(zero, n), auth.Signature}
			cases["s=0"] = struct{ tok, reason string }{pair(r, zero), auth.Signature}
			cases["r=s=1"] = struct{ tok, reason string }{pair(one, one), auth.Signature}
			cases["r=s=order"] = struct{ tok, reason string }{pair(q, q), auth.Signature}
			cases["r=order"] = struct{ tok, reason string }{pair(q, n), auth.Signature}
		}
		for name, test := range cases {
			t.Run(alg+" "+name, func(t *testing.T) { refused(t, v, test.tok, test.reason) })
		}
		t.Run(alg+" the spare bits of the last letter", func(t *testing.T) {
			if len(s)%3 == 0 {
				t.Skip("the signature has none")
			}
			const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			n := strings.IndexByte(letters, tok[len(tok)-1])
			refused(t, v, tok[:len(tok)-1]+string(letters[n^1]), auth.Malformed)
		})
	}
}

func TestWhatIsNoTokenIsMalformed(t *testing.T) {
	v := verifier(t, lists("rsa"), nil)
	for _, tok := range []string{
		"", ".", "..", "...", "a.b.c", "null", "Bearer x", "e30.e30.e30.e30", "....", "\x00", "{}", "bm9uZQ..",
		"eyJhbGciOiJSUzI1NiJ9..AAAA", encode([]byte("[]")) + ".e30.AAAA", encode([]byte("null")) + ".e30.AAAA",
		encode([]byte(`{"alg":"RS256","alg":"none"}`)) + ".e30.AAAA", encode([]byte(`{"alg":"RS256"`)) + ".e30.AAAA",
	} {
		refused(t, v, tok, auth.Malformed)
	}
}

func TestAnOversizedTokenIsNotLookedAt(t *testing.T) {
	v := verifier(t, lists("ed"), nil)
	long := sign("ed", head("EdDSA", "ed"), with(good(), object{"x": strings.Repeat("x", 8000)}))
	refused(t, v, long, auth.Oversize)
	taken(t, v, sign("ed", head("EdDSA", "ed"), with(good(), object{"x": strings.Repeat("x", 5000)})))
	v = verifier(t, lists("ed"), func(c *token.Config) { c.MaxSize = 100 })
	refused(t, v, sign("ed", head("EdDSA", "ed"), good()), auth.Oversize)
}
