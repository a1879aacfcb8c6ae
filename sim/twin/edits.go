package twin

import (
	"fmt"
	"strings"
)

// An Edit is a change of one line in a copy of Go's standard library, which the
// twin alone is built with.
type Edit struct {
	File   string // below GOROOT/src
	Anchor string // the text that is replaced; it must occur exactly once
	With   string // what stands there instead
	Why    string // what makes a replay differ without it
}

// Row is the edit as a row of a table in Markdown, but for the last column: what
// comes of a twin without it.
func (e Edit) Row() string {
	line, _, _ := strings.Cut(strings.TrimSpace(e.Anchor), "\n")
	return fmt.Sprintf("| `%s` | `%s` | %s", e.File, line, e.Why)
}

// Edits lists what the overlay changes. Beside it, it adds one file to package
// runtime, zz_sim.go.
func Edits() []Edit {
	return []Edit{
		{
			"runtime/proc.go", "const haveSysmon = GOARCH != \"wasm\"\n", "const haveSysmon = false\n",
			"the system monitor preempts goroutines by the wall clock",
		}, {
			"runtime/rand.go", "\tglobalRand.state.Init(*seed)\n", "\t*seed = [32]byte{1, 2, 3}\n\tglobalRand.state.Init(*seed)\n",
			"hash keys and the base of the heap differ from process to process",
		}, {
			"runtime/rand.go", "\tmp := getg().m\n\tc := &mp.chacha8\n",
			"\tif b := getg().bubble; b != nil {\n\t\treturn simNext(&b.simRand)\n\t}\n\tmp := getg().m\n\tc := &mp.chacha8\n",
			"the order of maps, and math/rand/v2, come from one stream of the bubble",
		}, {
			"runtime/synctest.go", "\tactive  int // other sources of activity\n",
			"\tactive  int // other sources of activity\n\tsimRand, simSelect, simQueue, simCrypto, simKnown uint64\n",
			"the streams live in the bubble",
		}, {
			"runtime/synctest.go", "\tbubble.now = synctestBaseTime\n", "\tbubble.now = synctestBaseTime\n\tsimInit(bubble)\n",
			"the streams begin with the seed",
		}, {
			"runtime/select.go", "j := cheaprandn(uint32(norder + 1))", "j := simChoose(uint32(norder + 1))",
			"select takes one of several ready cases at random",
		}, {
			"runtime/time.go", "t.rand = cheaprand()", "t.rand = simChoose(1 << 31)",
			"timers that are due at the same time fire in random order",
		}, {
			"runtime/sema.go", "func internal_sync_nanotime() int64 {\n\treturn nanotime()\n",
			"func internal_sync_nanotime() int64 {\n\tif b := getg().bubble; b != nil {\n\t\treturn b.now\n\t}\n\treturn nanotime()\n",
			"a mutex changes its manners when somebody has waited 1 ms by the wall clock",
		}, {
			"runtime/proc.go", "if pp.schedtick%61 == 0 && !sched.runq.empty() {", "if !simOn && pp.schedtick%61 == 0 && !sched.runq.empty() {",
			"each 61st turn goes to the global queue, and the runtime's own goroutines count turns too",
		}, {
			"runtime/proc.go",
			"\t\tpp.runq[t%uint32(len(pp.runq))].set(gp)\n\t\tatomic.StoreRel(&pp.runqtail, t+1) // store-release, makes the item available for consumption\n",
			"\t\tpp.runq[t%uint32(len(pp.runq))].set(gp)\n\t\tif simShuffle && gp.bubble != nil {\n\t\t\tsimShuffleIn(pp, gp, h, t)\n\t\t}\n\t\tatomic.StoreRel(&pp.runqtail, t+1) // store-release, makes the item available for consumption\n",
			"not for replay: goroutines run in an order drawn from the seed, so that a search meets more interleavings",
		}, {
			"runtime/asm_amd64.s", "TEXT runtime·memhash<ABIInternal>(SB),", "TEXT runtime·simMemhash<ABIInternal>(SB),",
			"makes room for the edit of `runtime/alg.go`",
		}, {
			"runtime/asm_amd64.s", "TEXT runtime·memhash64<ABIInternal>(SB),", "TEXT runtime·simMemhash64<ABIInternal>(SB),",
			"makes room for the edit of `runtime/alg.go`",
		}, {
			"runtime/asm_arm64.s", "TEXT runtime·memhash<ABIInternal>(SB),", "TEXT runtime·simMemhash<ABIInternal>(SB),",
			"makes room for the edit of `runtime/alg.go`",
		}, {
			"runtime/asm_arm64.s", "TEXT runtime·memhash64<ABIInternal>(SB),", "TEXT runtime·simMemhash64<ABIInternal>(SB),",
			"makes room for the edit of `runtime/alg.go`",
		}, {
			"runtime/alg.go",
			"func memhash(p unsafe.Pointer, h, s uintptr) uintptr\n\nfunc memhash32(p unsafe.Pointer, h uintptr) uintptr\n\nfunc memhash64(p unsafe.Pointer, h uintptr) uintptr\n",
			"func memhash(p unsafe.Pointer, h, s uintptr) uintptr { return simHash(p, h, s) }\n\nfunc memhash32(p unsafe.Pointer, h uintptr) uintptr\n\nfunc memhash64(p unsafe.Pointer, h uintptr) uintptr { return simHash64(p, h) }\n",
			"maps whose keys are pointers are in the order of where those lie, and that depends on arguments and environment",
		}, {
			"crypto/internal/sysrand/rand.go", "func fatal(string)\n",
			"func fatal(string)\n\n//go:linkname simRead runtime.simRead\nfunc simRead([]byte) bool\n",
			"declares where random bytes come from",
		}, {
			"crypto/internal/sysrand/rand.go", "func Read(b []byte) {\n", "func Read(b []byte) {\n\tif simRead(b) {\n\t\treturn\n\t}\n",
			"keys, signatures and random ids differ, and with them the sizes of what is sent",
		},
	}
}
