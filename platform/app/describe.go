package app

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoregistry"

	"example.com/app/platform/auth/rule"
	"example.com/app/platform/transcode/route"
)

// A RoleInfo is what there is to know of a role before it runs.
type RoleInfo struct {
	Name     string   `json:"name"`
	Does     string   `json:"does"`
	Needs    []string `json:"needs"`    // the roles it dials
	Replicas int      `json:"replicas"` // where the whole system runs in one process
	InAll    bool     `json:"in_all"`   // part of --role=all
	Callers  []string `json:"callers"`  // the roles that may call it, where no intention says otherwise

	Methods []MethodInfo `json:"methods"` // that it answers, sorted
}

// A MethodInfo says who may call a method, and how it is reached from outside.
type MethodInfo struct {
	Name   string   `json:"name"` // as in "greeter.v1.Greeter/SayHello"
	Rule   string   `json:"rule"` // as in "scopes greetings.read"; empty: it has none, and is not served
	Routes []string `json:"routes"`
}

// Describe tells of each role. What it needs is not declared but seen: the
// role is built once, on ground of its own, and what it dials and registers is
// noted.
func Describe(roles []Role, version string) ([]RoleInfo, error) {
	table, err := route.Table(protoregistry.GlobalFiles)
	if err != nil {
		return nil, err
	}
	out := make([]RoleInfo, len(roles))
	for i, role := range roles {
		node, err := New(Config{Roles: roles, Run: map[string]int{role.Name: 1}, Version: version})
		if err != nil {
			return nil, err
		}
		in := node.instances[0]
		reg, net := node.cfg.Fabric.Host(in.host)
		env, err := node.newEnv(in, reg, net)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", role.Name, err)
		}
		service, err := role.New(env)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", role.Name, errors.Join(err, env.clients.close()))
		}
		out[i] = RoleInfo{
			Name: role.Name, Does: role.Doc, Needs: env.clients.roles(), Replicas: max(1, role.Replicas), InAll: !role.Extra,
			Callers: append([]string{}, role.Callers...), Methods: methods(service, role, table),
		}
		if err := env.clients.close(); err != nil {
			return nil, fmt.Errorf("describe %s: %w", role.Name, err)
		}
	}
	return out, nil
}

// methods lists what a service registers.
func methods(service Service, role Role, table map[string]*route.Route) []MethodInfo {
	list := new(registrar)
	service.Register(list)
	out := []MethodInfo{}
	for _, name := range list.methods {
		m := MethodInfo{Name: strings.TrimPrefix(name, "/"), Routes: []string{}}
		if rules, err := rule.Read(protoregistry.GlobalFiles, []string{name}, role.Rules); err == nil {
			m.Rule = rules[name].String()
		}
		for key, r := range table {
			if string(r.Method.Parent().FullName())+"/"+string(r.Method.Name()) == m.Name {
				m.Routes = append(m.Routes, key)
			}
		}
		slices.Sort(m.Routes)
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b MethodInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// A registrar only takes names down.
type registrar struct{ methods []string }

// RegisterService implements grpc.ServiceRegistrar.
func (l *registrar) RegisterService(desc *grpc.ServiceDesc, _ any) {
	for _, m := range desc.Methods {
		l.methods = append(l.methods, "/"+desc.ServiceName+"/"+m.MethodName)
	}
	for _, s := range desc.Streams {
		l.methods = append(l.methods, "/"+desc.ServiceName+"/"+s.StreamName)
	}
}
