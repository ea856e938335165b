package buckets

import (
	"sync"
	"time"
)

// cacheKey names a bucket of one account's partition: a bucket that was deleted
// and made again has another creation date. Look-ups by name alone know no date
// and have entries of their own (created is zero).
type cacheKey struct {
	scope   string // endpoint, else partition
	name    string
	created int64 // Unix nanoseconds
}

type cacheEntry struct {
	region  string
	expires time.Time
}

// cache remembers looked-up regions; a region never changes while its bucket lives.
type cache struct {
	now  func() time.Time
	ttl  time.Duration
	most int

	mu      sync.Mutex
	entries map[cacheKey]cacheEntry
}

func newCache(ttl time.Duration, most int, now func() time.Time) *cache {
	return &cache{now: now, ttl: ttl, most: most}
}

func (c *cache) get(key cacheKey) (string, bool) {
	if c.ttl <= 0 {
		return "", false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok || !c.now().Before(e.expires) {
		return "", false
	}
	return e.region, true
}

func (c *cache) put(key cacheKey, region string) {
	if c.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[cacheKey]cacheEntry)
	}
	if _, known := c.entries[key]; !known && len(c.entries) >= c.most {
		c.shrink()
	}
	c.entries[key] = cacheEntry{region, c.now().Add(c.ttl)}
}

// shrink drops what is expired, else some entry: with a full listing walked in
// order, dropping the oldest would drop each just before it is asked for.
func (c *cache) shrink() {
	now, looked := c.now(), 0
	for key, e := range c.entries {
		if !now.Before(e.expires) {
			delete(c.entries, key)
		}
		if looked++; looked == 64 {
			break
		}
	}
	for key := range c.entries {
		if len(c.entries) < c.most {
			return
		}
		delete(c.entries, key)
	}
}
