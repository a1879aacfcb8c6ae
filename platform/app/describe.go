package app

import (
	"errors"
	"fmt"
)

// A RoleInfo is what there is to know of a role before it runs.
type RoleInfo struct {
	Name     string   `json:"name"`
	Does     string   `json:"does"`
	Needs    []string `json:"needs"`    // the roles it dials
	Replicas int      `json:"replicas"` // where the whole system runs in one process
	InAll    bool     `json:"in_all"`   // part of --role=all
}

// Describe tells of each role. What it needs is not declared but seen: the
// role is built once, on ground of its own, and what it dials is noted.
func Describe(roles []Role, version string) ([]RoleInfo, error) {
	out := make([]RoleInfo, len(roles))
	for i, role := range roles {
		node, err := New(Config{Roles: roles, Run: map[string]int{role.Name: 1}, Version: version})
		if err != nil {
			return nil, err
		}
		in := node.instances[0]
		reg, net := node.cfg.Fabric.Host(in.host)
		env := node.newEnv(in, reg, net)
		if _, err := role.New(env); err != nil {
			return nil, fmt.Errorf("describe %s: %w", role.Name, errors.Join(err, env.clients.close()))
		}
		out[i] = RoleInfo{Name: role.Name, Does: role.Doc, Needs: env.clients.roles(), Replicas: max(1, role.Replicas), InAll: !role.Extra}
		if err := env.clients.close(); err != nil {
			return nil, fmt.Errorf("describe %s: %w", role.Name, err)
		}
	}
	return out, nil
}
