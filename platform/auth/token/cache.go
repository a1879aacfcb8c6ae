package token

import (
	"crypto/sha256"
	"sync"
	"time"

	"example.com/app/platform/auth"
)

// shards is how many locks share the work of a cache; a power of two.
const shards = 16

// A cache remembers verified tokens by their SHA-256, so that it holds none
// that anybody could use. It starts no goroutine: the eldest go when new ones
// come, in two generations, which costs no list and forgets nothing that was
// used of late. A nil cache remembers nothing.
type cache [shards]shard

type shard struct {
	most int // tokens in a generation

	mu         sync.Mutex
	young, old map[[sha256.Size]byte]entry
}

// An entry is a token that was good.
type entry struct {
	principal *auth.Principal
	key       [sha256.Size]byte // the id of the key that verified it
	since     time.Time         // when that was
	until     time.Time         // and how long it counts
}

// newCache returns a cache for about size tokens, never for more, but for one
// of each shard at the least.
func newCache(size int) *cache {
	c := new(cache)
	for i := range c {
		c[i].most = max(size/shards/2, 1)
	}
	return c
}

func (c *cache) shard(sum [sha256.Size]byte) *shard { return &c[sum[0]%shards] }

func (c *cache) get(sum [sha256.Size]byte) (entry, bool) {
	if c == nil {
		return entry{}, false
	}
	s := c.shard(sum)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.young[sum]
	if ok {
		return e, true
	}
	if e, ok = s.old[sum]; ok {
		delete(s.old, sum)
		s.add(sum, e)
	}
	return e, ok
}

func (c *cache) put(sum [sha256.Size]byte, e entry) {
	if c == nil {
		return
	}
	s := c.shard(sum)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(sum, e)
}

func (c *cache) drop(sum [sha256.Size]byte) {
	s := c.shard(sum)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.young, sum)
	delete(s.old, sum)
}

// add makes e one of the young. The caller holds s.mu.
func (s *shard) add(sum [sha256.Size]byte, e entry) {
	if s.young == nil || len(s.young) >= s.most {
		s.old, s.young = s.young, make(map[[sha256.Size]byte]entry)
	}
	s.young[sum] = e
}
