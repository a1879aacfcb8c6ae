package twin

import (
	"os"
	"slices"
	"strings"
)

// Env is the environment that a twin runs in: that of this process, with one P
// and no garbage collection. Both must be so from the first instruction on; set
// in main, they come too late for the addresses of what was allocated before.
func Env() []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return slices.Contains([]string{"GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG"}, name)
	})
	return append(env, "GOMAXPROCS=1", "GOGC=off")
}
