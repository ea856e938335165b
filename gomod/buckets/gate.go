package buckets

import (
	"context"
	"slices"
	"sync"
	"time"
)

// gate bounds the look-ups under way. The bound falls by half when the server
// throttles, at most once in a while, and climbs by one for each round of
// answers without: additive increase, multiplicative decrease.
type gate struct {
	now func() time.Time

	mu      sync.Mutex
	most    float64
	bound   float64
	inside  int
	waiting []chan struct{}
	lastCut time.Time
}

// cutPause keeps the refusals of one burst from counting as many.
const cutPause = 100 * time.Millisecond

func newGate(most int, now func() time.Time) *gate {
	return &gate{now: now, most: float64(most), bound: float64(most)}
}

// enter waits for a place, first come first served, or for ctx to end. A
// caller that got in calls leave.
func (g *gate) enter(ctx context.Context) error {
	g.mu.Lock()
	if len(g.waiting) == 0 && float64(g.inside) < g.bound {
		g.inside++
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	g.waiting = append(g.waiting, turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		if i := slices.Index(g.waiting, turn); i >= 0 {
			g.waiting = slices.Delete(g.waiting, i, i+1)
		} else {
			g.inside--
			g.admit()
		}
		return context.Cause(ctx)
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	g.inside--
	g.admit()
	g.mu.Unlock()
}

func (g *gate) admit() {
	for len(g.waiting) > 0 && float64(g.inside) < g.bound {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		g.inside++
	}
}

// observe learns from one answer of the server.
func (g *gate) observe(throttled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !throttled {
		if g.bound < g.most {
			g.bound = min(g.most, g.bound+1/g.bound)
			g.admit()
		}
		return
	}
	if now := g.now(); now.Sub(g.lastCut) >= cutPause {
		g.lastCut = now
		g.bound = max(1, g.bound/2)
	}
}
