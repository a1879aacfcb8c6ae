package fault

import (
	"slices"
	"strings"
	"time"
)

// A Kind is what goes wrong.
type Kind string

// The kinds of faults. Places are hosts ("greeter-2"), roles ("greeter", all of
// its instances), zones ("zone:eu") or "*".
const (
	Crash     Kind = "crash"     // a process dies: its peers see resets; it starts again when the fault ends
	PowerCut  Kind = "powercut"  // a machine falls silent: connections stay half open; it starts again
	Restart   Kind = "restart"   // an orderly stop, as SIGTERM is, and a new start
	Pause     Kind = "pause"     // a host is frozen: nothing leaves it or reaches it, and all of it later
	Slow      Kind = "slow"      // every segment to and from a host takes longer
	Limit     Kind = "limit"     // a host takes so many connections and no more
	Latency   Kind = "latency"   // segments between two places take longer
	Bandwidth Kind = "bandwidth" // so many bytes a second between two places
	Loss      Kind = "loss"      // a share of segments is lost, and sent again
	Partition Kind = "partition" // nothing gets through between two places, and nobody is told
	Reset     Kind = "reset"     // the connections between two places are aborted

	LoseRequest Kind = "lose-request" // a share of calls to a role fails before it is delivered
	LoseReply   Kind = "lose-reply"   // a share of calls to a role has its effect, and fails
	Duplicate   Kind = "duplicate"    // a share of calls to a role is delivered twice
	SlowCalls   Kind = "slow-calls"   // every call to a role takes longer

	RegistryStale Kind = "registry-stale" // the registry answers what was true when the fault began
	RegistryEmpty Kind = "registry-empty" // it answers that there is nobody
	RegistryIndex Kind = "registry-index" // its index goes back to the start
	RegistryLost  Kind = "registry-lost"  // its agent forgets all that was registered
	RegistryDown  Kind = "registry-down"  // it answers with errors
	SplitView     Kind = "split-view"     // one place sees what was true when the fault began, all others the truth

	Skew Kind = "skew" // the clock of a place is off by so much
)

// places is how many places a kind has.
type places int

const (
	nowhere places = iota
	one
	two
)

// amount is what the number of a kind counts.
type amount int

const (
	none amount = iota
	delay
	share // 0 to 1
	count // 1 or more
	offset
)

// A trait is what is true of all faults of a kind.
type trait struct {
	kind   Kind
	places places
	amount amount
	once   bool // it is over at once, and has nothing to heal
	low    float64
	high   float64 // range that Draw takes the amount from; of durations in seconds
}

func traits() []trait {
	return []trait{
		{kind: Crash, places: one},
		{kind: PowerCut, places: one},
		{kind: Restart, places: one},
		{kind: Pause, places: one},
		{kind: Slow, places: one, amount: delay, low: 0.005, high: 0.2},
		{kind: Limit, places: one, amount: count, low: 1, high: 4},
		{kind: Latency, places: two, amount: delay, low: 0.005, high: 0.5},
		{kind: Bandwidth, places: two, amount: count, low: 5e3, high: 1e5},
		{kind: Loss, places: two, amount: share, low: 0.01, high: 0.3},
		{kind: Partition, places: two},
		{kind: Reset, places: two, once: true},
		{kind: LoseRequest, places: one, amount: share, low: 0.05, high: 0.5},
		{kind: LoseReply, places: one, amount: share, low: 0.05, high: 0.5},
		{kind: Duplicate, places: one, amount: share, low: 0.05, high: 0.5},
		{kind: SlowCalls, places: one, amount: delay, low: 0.01, high: 1},
		{kind: RegistryStale},
		{kind: RegistryEmpty},
		{kind: RegistryIndex, once: true},
		{kind: RegistryLost, once: true},
		{kind: RegistryDown},
		{kind: SplitView, places: one},
		{kind: Skew, places: one, amount: offset, low: -300, high: 300},
	}
}

func (k Kind) trait() (trait, bool) {
	all := traits()
	i := slices.IndexFunc(all, func(t trait) bool { return t.kind == k })
	if i < 0 {
		return trait{}, false
	}
	return all[i], true
}

// Kinds lists all kinds.
func Kinds() []Kind {
	var all []Kind
	for _, t := range traits() {
		all = append(all, t.kind)
	}
	return all
}

// Once says whether faults of the kind are over as soon as they happen.
func (k Kind) Once() bool { t, _ := k.trait(); return t.once }

// kindNames is for messages.
func kindNames() string {
	var all []string
	for _, k := range Kinds() {
		all = append(all, string(k))
	}
	return strings.Join(all, ", ")
}

// seconds is a duration from a number of them, in whole milliseconds.
func seconds(s float64) time.Duration {
	return (time.Duration(s*1000) * time.Millisecond)
}
