package rpc

import (
	"context"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/balancepb"
	"example.com/app/platform/errs"
)

// An about is what a call's context says to the picker. Attempts of one call
// share it. A call about which there is nothing to say has none: it would cost
// an allocation for each.
type about struct {
	key    uint64
	long   bool
	spread bool // each attempt goes to another instance

	mu  sync.Mutex
	ids []string // who got an attempt
}

type aboutKey struct{}

// with returns a context whose calls a is about.
func (a *about) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, aboutKey{}, a)
}

// apart returns a context under which each call goes to another instance than
// those before it, as long as there is one.
func apart(ctx context.Context) context.Context {
	a := &about{spread: true}
	if known, ok := ctx.Value(aboutKey{}).(*about); ok {
		a.key, a.long = known.key, known.long
	}
	return a.with(ctx)
}

func (a *about) call() balance.Call {
	c := balance.Call{Key: a.key, Long: a.long}
	if a.spread {
		a.mu.Lock()
		defer a.mu.Unlock()
		c.Avoid = slices.Clone(a.ids)
	}
	return c
}

// sent notes who got an attempt.
func (a *about) sent(id string) {
	if a.spread {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.ids = append(a.ids, id)
	}
}

// key is a hash of what keeps a call together with others; 0: nothing does.
func (c *client) key(ctx context.Context, method string, req any) uint64 {
	if c.hashHeader != "" {
		out, _ := metadata.FromOutgoingContext(ctx)
		if values := out.Get(c.hashHeader); len(values) > 0 {
			return balance.Hash(values[0])
		}
	}
	m, ok := req.(proto.Message)
	if field := c.keys[method]; ok && field != nil {
		return field.of(m.ProtoReflect())
	}
	return 0
}

// A keyField is the way to the field of a request that keeps calls together.
type keyField []protoreflect.Name

// of is the hash of the field's value; 0: it is not set. Fields are found by
// name: the message may be made from another copy of the proto.
func (k keyField) of(m protoreflect.Message) uint64 {
	for i, name := range k {
		f := m.Descriptor().Fields().ByName(name)
		switch {
		case !k.fits(i, f) || !m.Has(f):
			return 0
		case i == len(k)-1:
			return balance.Hash(m.Get(f).String())
		}
		m = m.Get(f).Message()
	}
	return 0
}

// fits reports whether f can be the i-th step: messages on the way, one plain
// value at the end.
func (k keyField) fits(i int, f protoreflect.FieldDescriptor) bool {
	return f != nil && !f.IsList() && !f.IsMap() && (f.Message() == nil) == (i == len(k)-1)
}

// leads reports whether the way leads to a field of the method's request.
func (k keyField) leads(method protoreflect.MethodDescriptor) bool {
	in := method.Input()
	for i, name := range k {
		f := in.Fields().ByName(name)
		if !k.fits(i, f) {
			return false
		}
		in = f.Message()
	}
	return !method.IsStreamingClient()
}

// keyFields finds the linked methods whose proto names a field that keeps calls
// together.
func keyFields(files *protoregistry.Files) (map[string]keyField, error) {
	found := make(map[string]keyField)
	var wrong []string
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for s := range f.Services().Len() {
			service := f.Services().Get(s)
			for m := range service.Methods().Len() {
				method := service.Methods().Get(m)
				path, _ := proto.GetExtension(method.Options(), balancepb.E_Key).(string)
				if path == "" {
					continue
				}
				field := keyField{}
				for name := range strings.SplitSeq(path, ".") {
					field = append(field, protoreflect.Name(name))
				}
				if !field.leads(method) {
					wrong = append(wrong, string(method.FullName())+" has no field "+path+" of one value in its request")
				}
				found["/"+string(service.FullName())+"/"+string(method.Name())] = field
			}
		}
		return true
	})
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return nil, errs.Internal.New("find what keeps calls together: %s", strings.Join(wrong, ", "))
	}
	return found, nil
}
