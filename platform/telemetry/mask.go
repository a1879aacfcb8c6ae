package telemetry

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// longestText is the length in bytes from which on a logged text is cut: about
// what Elasticsearch indexes of one field.
const longestText = 32 << 10

// What a secret looks like in the middle of a text. Only texts with a mark of
// one are searched, see marked.
var (
	maskJWT     = regexp.MustCompile(`eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*){0,3}`) // a JWS or JWE begins with {" in base64url
	maskScheme  = regexp.MustCompile(`(?i)\b(?:bearer|basic)\s+[\w.~+/=-]{8,}`)
	maskPair    = regexp.MustCompile(`(?i)([\w.-]*(?:token|secret|passw(?:or)?d|api[_-]?key|assertion|code_verifier))=[^&\s"']+`)
	maskMember  = regexp.MustCompile(`(?i)("[\w.-]*(?:token|secret|passw(?:or)?d|api[_-]?key|authorization|cookie|assertion|code_verifier)"\s*:\s*")(?:[^"\\]|\\.)+`)
	maskQuoted  = regexp.MustCompile(`(?i)(\\"[\w.-]*(?:token|secret|passw(?:or)?d|api[_-]?key|authorization|cookie|assertion|code_verifier)\\"\s*:\s*\\")(?:[^"\\]|\\\\.)+`) // the same within a quoted text
	maskUser    = regexp.MustCompile(`(://[^/\s:@]*:)[^/\s]+@`)
	maskCookie  = regexp.MustCompile(`(?i)(cookie:\s*)[^\s=;]+=[^\r\n]*`)
	maskPrivate = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)`)
)

// Mask returns a text with "[secret]" in the place of what looks like one:
// bearer tokens and passwords of the Authorization header, JWTs, values of
// parameters and JSON members such as access_token, passwords of URLs, cookies,
// private keys. It is for texts of others, such as errors of libraries; what is
// known to be secret is a Secret from the start.
func Mask(text string) string {
	secret, _ := marked(text)
	if !secret {
		return text
	}
	text = maskPrivate.ReplaceAllLiteralString(text, secretText)
	text = maskScheme.ReplaceAllStringFunc(text, maskCredentials)
	text = maskJWT.ReplaceAllLiteralString(text, secretText)
	text = maskMember.ReplaceAllString(text, "${1}"+secretText)
	text = maskQuoted.ReplaceAllString(text, "${1}"+secretText)
	text = maskPair.ReplaceAllString(text, "${1}="+secretText)
	text = maskUser.ReplaceAllString(text, "${1}"+secretText+"@")
	return maskCookie.ReplaceAllString(text, "${1}"+secretText)
}

// maskCredentials leaves "bearer authentication" and the like alone.
func maskCredentials(found string) string {
	at := strings.LastIndexAny(found, " \t\r\n\v\f") + 1
	if word := found[at:]; len(word) < 16 && strings.Trim(strings.ToLower(word), "abcdefghijklmnopqrstuvwxyz") == "" {
		return found
	}
	return found[:at] + secretText
}

// marked looks in one pass whether a text may hold a secret, and whether it
// holds bytes that are not plain ASCII. Nearly every text of a log ends here.
func marked(text string) (secret, odd bool) {
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 0x7f:
			odd = true
		case c == 'J':
			secret = secret || strings.HasSuffix(text[:i], "ey")
		case c <= ' ':
			secret = secret || endsIn(text[:i], "bearer") || endsIn(text[:i], "basic")
		case c == '=':
			secret = secret || sensitive(text[:i]) || endsIn(text[:i], "assertion") || endsIn(text[:i], "code_verifier")
		case c == ':':
			secret = secret || i > 0 && text[i-1] == '"' || endsIn(text[:i], "cookie")
		case c == '"':
			secret = secret || strings.HasPrefix(text[i+1:], " :")
		case c == '@':
			secret = secret || strings.Contains(text[:i], "://")
		case c == '-':
			secret = secret || strings.HasPrefix(text[i:], "-----BEGIN ")
		}
	}
	return secret, odd
}

// endsIn is HasSuffix for words in lower case, whatever the case of text.
func endsIn(text, word string) bool {
	return len(text) >= len(word) && text[len(text)-1]|0x20 == word[len(word)-1] && strings.EqualFold(text[len(text)-len(word):], word)
}

// sensitive tells of the name of an attribute, a header or a parameter whether
// its value is a secret: by the end of it, so that client_secret and
// X-Api-Key are, and token_type is not.
func sensitive(name string) bool {
	if name == "" {
		return false
	}
	switch name[len(name)-1] | 0x20 {
	case 'n':
		return endsIn(name, "token") || endsIn(name, "authorization")
	case 'e':
		return endsIn(name, "cookie")
	case 'd':
		return endsIn(name, "password") || endsIn(name, "passwd")
	case 't':
		return endsIn(name, "secret")
	case 'y':
		return endsIn(name, "api-key") || endsIn(name, "api_key") || endsIn(name, "apikey") ||
			endsIn(name, "private-key") || endsIn(name, "private_key") || endsIn(name, "privatekey")
	}
	return false
}

// clean masks and cuts a text, and writes out the characters that neither of
// slog's formats escapes and that change what a terminal shows: those of C1
// (among them NEL, a line break, and CSI, which begins commands), DEL, and what
// turns the direction of writing.
func clean(text string) string {
	rest := 0
	if len(text) > longestText {
		at := longestText
		for at > longestText-utf8.UTFMax && !utf8.RuneStart(text[at]) {
			at--
		}
		text, rest = text[:at], len(text)-at
	}
	secret, odd := marked(text)
	if secret {
		text = Mask(text)
	}
	if odd && strings.IndexFunc(text, disguised) >= 0 {
		text = spelled(text)
	}
	if rest > 0 {
		text += "… " + strconv.Itoa(rest) + " bytes more"
	}
	return text
}

func disguised(r rune) bool {
	return r >= 0x7f && r <= 0x9f || r == '\u2028' || r == '\u2029' || r == '\u061c' || r == '\u200e' || r == '\u200f' ||
		r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == '\ufeff'
}

// spelled writes disguised characters by their numbers.
func spelled(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch _, size := utf8.DecodeRuneInString(text[i:]); {
		case r == utf8.RuneError && size == 1:
			b.WriteByte(text[i]) // not UTF-8: the formats know what to do
		case disguised(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
