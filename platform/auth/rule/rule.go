// Package rule decides who may call a method, as the option authz.v1.rule of
// its proto says.
//
// A method without a rule has no default: a table that lacks one is an error,
// and nothing is served. What a rule says is checked where the call is
// answered, in every service, and at the gateway before it is made.
package rule

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"example.com/app/platform/auth"
	"example.com/app/platform/auth/rule/rulepb"
	"example.com/app/platform/errs"
)

// A Rule says who may call a method. What is listed must all be so.
type Rule struct {
	Public bool     // anybody, with or without a token
	Token  bool     // anybody with an access token, whatever it lets them do
	Scopes []string // of the caller's token, all of them
	Roles  []string // of the caller's token, one of them
	Peers  []string // roles of the calling workload, one of them; "*" is any workload of the system
}

// NeedsToken says whether the caller must show an access token.
func (r Rule) NeedsToken() bool { return r.Token || len(r.Scopes) > 0 || len(r.Roles) > 0 }

// String is the rule in a line, as in "scopes greetings.read, peers gateway".
func (r Rule) String() string {
	if r.Public {
		return "public"
	}
	var parts []string
	if r.Token && len(r.Scopes)+len(r.Roles) == 0 {
		parts = append(parts, "any token")
	}
	for _, list := range []struct {
		name   string
		values []string
	}{{"scopes", r.Scopes}, {"roles", r.Roles}, {"peers", r.Peers}} {
		if len(list.values) > 0 {
			parts = append(parts, list.name+" "+strings.Join(list.values, " "))
		}
	}
	return strings.Join(parts, ", ")
}

// why says what is wrong with the rule itself; empty: nothing.
func (r Rule) why() string {
	rest := slices.Concat(r.Scopes, r.Roles, r.Peers)
	switch {
	case r.Public && (r.Token || len(rest) > 0):
		return "is public and lists who may call it: only one can be meant"
	case !r.Public && !r.Token && len(rest) == 0:
		return "says nothing: list scopes, roles or peers, or say token or public"
	case slices.ContainsFunc(rest, func(v string) bool { return v == "" || strings.ContainsAny(v, " ,\"\\") }):
		return "lists a name that is empty or has a blank, a comma, a quote or a backslash in it"
	}
	return ""
}

// CheckPeer fails where a workload of this role may not make the call. Empty is
// a workload that showed no certificate.
func (r Rule) CheckPeer(method, peer string) error {
	if len(r.Peers) == 0 || slices.Contains(r.Peers, peer) || peer != "" && slices.Contains(r.Peers, "*") {
		return nil
	}
	if peer == "" {
		peer = "a workload without a certificate"
	}
	return errs.Denied.New("%s is not for %s", name(method), peer).Because("PEER_DENIED")
}

// CheckCaller fails where the bearer of a token may not make the call: with
// UNAUTHENTICATED where there is no token and one is needed, else with
// PERMISSION_DENIED.
func (r Rule) CheckCaller(method string, p *auth.Principal) error {
	if !r.NeedsToken() {
		return nil
	}
	if p == nil {
		return auth.Refuse(auth.Missing, "%s needs an access token: Authorization: Bearer", name(method))
	}
	var missing []string
	for _, scope := range r.Scopes {
		if !slices.Contains(p.Scopes, scope) {
			missing = append(missing, scope)
		}
	}
	if len(missing) > 0 {
		lacks := strings.Join(missing, " ")
		return errs.Denied.New("%s needs a token with the scope %s", name(method), lacks).Because(auth.ScopeMissing, "scope", lacks)
	}
	if len(r.Roles) > 0 && !slices.ContainsFunc(r.Roles, func(role string) bool { return slices.Contains(p.Roles, role) }) {
		return errs.Denied.New("%s needs a token with a role of: %s", name(method), strings.Join(r.Roles, " ")).Because(auth.RoleMissing)
	}
	return nil
}

// name is a method as people write it, "greeter.v1.Greeter/SayHello".
func name(method string) string { return strings.TrimPrefix(method, "/") }

// A Table is the rules of methods, by "/pkg.Service/Method". It is not changed
// once made.
type Table map[string]Rule

// Methods lists the methods of the table, sorted.
func (t Table) Methods() []string { return slices.Sorted(maps.Keys(t)) }

// Read makes the table of these methods ("/pkg.Service/Method") from the
// descriptors in files, and from extra for those that have no option of ours,
// by "/pkg.Service/Method" or "/pkg.Service/" for the whole of a service. An
// option in a proto counts more. The error, of kind Invalid, names every method
// that has no rule, or a rule that can't be meant.
func Read(files *protoregistry.Files, methods []string, extra Table) (Table, error) {
	table, wrong := make(Table, len(methods)), []string(nil)
	for _, method := range methods {
		r, ok := read(files, method)
		if !ok {
			r, ok = extra[method]
		}
		if !ok {
			r, ok = extra[method[:strings.LastIndexByte(method, '/')+1]]
		}
		if !ok {
			wrong = append(wrong, name(method)+" has no rule")
			continue
		}
		if why := r.why(); why != "" {
			wrong = append(wrong, "the rule of "+name(method)+" "+why)
		}
		table[method] = r
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return nil, errs.Invalid.New("%s; say in its proto who may call it: option (authz.v1.rule).scopes = \"…\"", strings.Join(wrong, "; ")).Because("RULE_MISSING")
	}
	return table, nil
}

// read finds the option of a method.
func read(files *protoregistry.Files, method string) (Rule, bool) {
	found, err := files.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(name(method), "/", ".")))
	if err != nil {
		return Rule{}, false
	}
	return Of(found)
}

// Of is the rule that a method's proto states, and whether it states one.
func Of(method protoreflect.Descriptor) (Rule, bool) {
	if !proto.HasExtension(method.Options(), rulepb.E_Rule) {
		return Rule{}, false
	}
	said, _ := proto.GetExtension(method.Options(), rulepb.E_Rule).(*rulepb.Rule)
	return Rule{Public: said.GetPublic(), Token: said.GetToken(), Scopes: said.GetScopes(), Roles: said.GetRoles(), Peers: said.GetPeers()}, true
}

// Scopes lists the scopes that the rules of all methods in files ask for,
// sorted.
func Scopes(files *protoregistry.Files) []string {
	var all []string
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				r, _ := Of(methods.Get(j))
				all = append(all, r.Scopes...)
			}
		}
		return true
	})
	slices.Sort(all)
	return slices.Compact(all)
}
