package registry

import (
	"context"
	"iter"
	"slices"
	"strings"

	"example.com/app/platform/errs"
)

// Static is a list that never changes, for systems without a registry server.
// Nobody checks that its instances are up. The empty list is fine. Its methods
// may be called from many goroutines as long as nobody changes it.
type Static []Instance

// ParsePeer reads "role=host:port" as an instance whose id is the text itself.
// An error is of kind errs.Invalid and says what was wanted.
func ParsePeer(s string) (Instance, error) {
	role, addr, ok := strings.Cut(s, "=")
	role, addr = strings.TrimSpace(role), strings.TrimSpace(addr)
	switch {
	case !ok:
		return Instance{}, errs.Invalid.New("peer %q: want role=host:port", s)
	case role == "":
		return Instance{}, errs.Invalid.New("peer %q: no role before the =; want role=host:port", s)
	}
	if why := wrongAddr(addr); why != "" {
		return Instance{}, errs.Invalid.New("peer %q: address %q: %s, as in %s=localhost:50051", s, addr, why, role)
	}
	return Instance{ID: role + "=" + addr, Role: role, Addr: addr}, nil
}

// Register implements Registry. It changes nothing: who is up was decided when
// the list was written. It calls itself listed and waits for ctx.
func (s Static) Register(ctx context.Context, r Registration) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if r.Report != nil {
		r.Report(nil)
	}
	<-ctx.Done()
	return nil
}

// Watch implements Registry. It yields once and waits.
func (s Static) Watch(ctx context.Context, role string) iter.Seq2[[]Instance, error] {
	return func(yield func([]Instance, error) bool) {
		if ctx.Err() != nil {
			return
		}
		var set []Instance
		for _, in := range s {
			if in.Role == role {
				set = append(set, listed(in))
			}
		}
		if yield(Canonical(slices.Clip(set)), nil) {
			<-ctx.Done()
		}
	}
}
