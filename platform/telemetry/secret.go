package telemetry

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// secretText is what stands in the place of a secret wherever one would be
// printed.
const secretText = "[secret]"

// A Secret is a text that must not be seen: a password, a key, a token.
// Whatever prints it, be it fmt, a log or an encoder, writes "[secret]";
// string(s) is the text itself. The zero value is no secret, and prints as
// nothing.
type Secret string

// String is "[secret]", or empty where there is none.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return secretText
}

// GoString is String: %#v would print the text otherwise.
func (s Secret) GoString() string { return fmt.Sprintf("telemetry.Secret(%q)", s.String()) }

// Format writes String, whatever the verb: %x of a text is the text.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	_, _ = io.WriteString(f, text) // fmt keeps it in memory
}

// MarshalJSON gives String. There is no way back.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalText gives String, for encoders of YAML, XML and maps.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue gives String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Is tells whether text is the secret, in a time that does not depend on where
// they differ. No text is the secret that is not there.
func (s Secret) Is(text string) bool {
	want, got := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(text)) // lengths are not told either
	return s != "" && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
