package account

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"example.com/app/platform/errs"
)

// Cost is what checking a password takes (RFC 9106 section 4). The zero value is
// what OWASP recommends where many log in: 19 MiB, two passes, one lane.
type Cost struct {
	Memory uint32 // KiB; 0 means 19456
	Passes uint32 // 0 means 2
	Lanes  uint8  // 0 means 1
	Places int    // how many are made at a time; 0 means 4, which is 76 MiB
}

const (
	saltBytes  = 16
	hashBytes  = 32
	mostMemory = 1 << 20 // KiB that a hash of users.json may ask for
)

// hasher makes and checks argon2id hashes, a few at a time.
type hasher struct {
	cost   Cost
	places chan struct{}
}

func newHasher(c Cost) *hasher {
	c = Cost{cmp.Or(c.Memory, 19<<10), cmp.Or(c.Passes, 2), cmp.Or(c.Lanes, 1), cmp.Or(c.Places, 4)}
	return &hasher{c, make(chan struct{}, c.Places)}
}

// phc is a hash with its parameters.
type phc struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

// String is the hash in the PHC string format, as others read it too.
func (p phc) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.lanes,
		enc.EncodeToString(p.salt), enc.EncodeToString(p.sum))
}

// parsePHC reads one. What would take too much memory or time is refused.
func parsePHC(text string) (phc, error) {
	var p phc
	bad := errs.Precondition.New("the password's hash is not an argon2id PHC string")
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, bad
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.lanes); err != nil {
		return p, bad
	}
	var err error
	if p.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return p, bad
	}
	if p.sum, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return p, bad
	}
	if p.memory < 8 || p.memory > mostMemory || p.passes < 1 || p.passes > 64 || p.lanes < 1 ||
		len(p.salt) < 8 || len(p.salt) > 64 || len(p.sum) < 16 || len(p.sum) > 64 || p.String() != text {
		return p, bad
	}
	return p, nil
}

func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	p := phc{memory: h.cost.Memory, passes: h.cost.Passes, lanes: h.cost.Lanes, salt: make([]byte, saltBytes), sum: make([]byte, hashBytes)}
	_, _ = rand.Read(p.salt) // never fails (crypto/rand)
	var err error
	p.sum, err = h.derive(ctx, p, password)
	return p.String(), err
}

func (h *hasher) verify(ctx context.Context, kept, password string) (bool, error) {
	p, err := parsePHC(kept)
	if err != nil {
		return false, err
	}
	sum, err := h.derive(ctx, p, password)
	return err == nil && subtle.ConstantTimeCompare(sum, p.sum) == 1, err
}

// derive waits for a place, then computes.
func (h *hasher) derive(ctx context.Context, p phc, password string) ([]byte, error) {
	select {
	case h.places <- struct{}{}:
	case <-ctx.Done():
		return nil, errs.Unavailable.New("too many people log in at once: %w", ctx.Err())
	}
	defer func() { <-h.places }()
	return argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, p.lanes, uint32(len(p.sum))), nil
}

// HashPassword hashes a password for a User, at the default cost.
func HashPassword(ctx context.Context, password string) (string, error) {
	return newHasher(Cost{}).hash(ctx, password)
}
