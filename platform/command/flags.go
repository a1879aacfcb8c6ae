package command

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"example.com/app/platform/app"
	"example.com/app/platform/resilience"
)

// FromEnv gives every flag that was not set on the command line the value of
// its environment variable: APP_LOG_LEVEL for --log-level. A flag that may be
// repeated takes several values, separated by ";". Help texts say so.
func FromEnv(cmd *cobra.Command, lookup func(string) (string, bool)) error {
	var wrong error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := EnvName(f.Name)
		value, ok := lookup(name)
		if !ok || f.Changed || f.Name == "help" || wrong != nil {
			return
		}
		values := []string{value}
		if _, many := f.Value.(pflag.SliceValue); many {
			values = slices.DeleteFunc(strings.Split(value, ";"), func(v string) bool { return strings.TrimSpace(v) == "" })
		}
		for _, v := range values {
			if err := cmd.Flags().Set(f.Name, strings.TrimSpace(v)); err != nil {
				wrong = usage("environment variable %s: %w", name, err)
			}
		}
	})
	return wrong
}

// EnvName is the environment variable that stands for a flag.
func EnvName(flag string) string { return "APP_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_")) }

// Pick finds roles by name. "all" is every role that is not Extra.
func Pick(roles []app.Role, names []string) ([]app.Role, error) {
	var picked []app.Role
	for _, name := range names {
		switch i := slices.IndexFunc(roles, func(r app.Role) bool { return r.Name == name }); {
		case name == "all":
			for _, r := range roles {
				if !r.Extra {
					picked = append(picked, r)
				}
			}
		case i >= 0:
			picked = append(picked, roles[i])
		default:
			return nil, unknownRole(roles, name)
		}
	}
	seen := make(map[string]bool)
	return slices.DeleteFunc(picked, func(r app.Role) bool {
		again := seen[r.Name]
		seen[r.Name] = true
		return again
	}), nil
}

func unknownRole(roles []app.Role, name string) error {
	err := fmt.Errorf("there is no role %q", name)
	if near, ok := nearest(append([]string{"all"}, names(roles)...), name); ok {
		return &UsageError{&HintError{err, fmt.Sprintf("did you mean %s? `app roles` lists them all", near)}}
	}
	return &UsageError{&HintError{err, "the roles are " + strings.Join(names(roles), ", ") + "; all means all of the system"}}
}

// nearest is the name that was meant, where one is near.
func nearest(names []string, name string) (near string, ok bool) {
	if len(names) == 0 {
		return "", false
	}
	near = slices.MinFunc(names, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
	return near, distance(name, near) <= max(2, len(near)/3)
}

// distance is how many letters must change to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

// Counts reads "greeter=3" and the like into the number of instances by role.
// Roles that are not named get their default: Replicas where the whole system
// runs, else 1.
func Counts(roles, run []app.Role, whole bool, settings []string) (map[string]int, error) {
	counts := make(map[string]int)
	for _, r := range run {
		counts[r.Name] = 1
		if whole {
			counts[r.Name] = max(1, r.Replicas)
		}
	}
	for _, s := range settings {
		name, value, ok := strings.Cut(s, "=")
		n, err := strconv.Atoi(value)
		if !ok || err != nil || n < 1 || n > 1000 {
			return nil, usage("--replicas %q: want role=number, from 1 to 1000, as in greeter=3", s)
		}
		if _, err := Pick(roles, []string{name}); err != nil {
			return nil, err
		}
		if _, ok := counts[name]; !ok {
			return nil, usage("--replicas %q: %s is not among the roles to run", s, name)
		}
		counts[name] = n
	}
	return counts, nil
}

// ParseLimits reads "max=64", for every role, and "greeter=off" and the like,
// for one, by role; "" stands for all others.
func ParseLimits(roles []app.Role, settings []string) (map[string]resilience.LimitConfig, error) {
	limits := make(map[string]resilience.LimitConfig)
	for _, s := range settings {
		role, setting := "", s
		name, rest, _ := strings.Cut(s, "=")
		if slices.ContainsFunc(roles, func(r app.Role) bool { return r.Name == name }) {
			role, setting = name, rest
		}
		var err error
		if limits[role], err = resilience.ParseLimit(setting); err != nil {
			return nil, usage("--limit %q: %w; a role may stand in front, as in greeter=max=64", s, err)
		}
	}
	return limits, nil
}

// ParseWork reads "greeter=20ms,workers=8" and the like, by role. "all" stands
// for every role that is not Extra.
func ParseWork(roles []app.Role, settings []string) (map[string]resilience.Work, error) {
	work := make(map[string]resilience.Work)
	for _, s := range settings {
		name, setting, _ := strings.Cut(s, "=")
		meant, err := Pick(roles, []string{name})
		if err != nil {
			return nil, err
		}
		w, err := resilience.ParseWork(setting)
		if err != nil {
			return nil, usage("--work %q: %w", s, err)
		}
		for _, r := range meant {
			work[r.Name] = w
		}
	}
	return work, nil
}
