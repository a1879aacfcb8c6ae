package twin

import (
	"errors"
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

// Check says what is wrong with the environment of a twin that was started by
// hand: with more than one P it would spin, and drift.
func Check() error {
	if os.Getenv("GOMAXPROCS") != "1" || os.Getenv("GOGC") != "off" {
		return errors.New("the exact twin needs GOMAXPROCS=1 and GOGC=off in its environment; start it with: app sim --seed=N")
	}
	return nil
}
