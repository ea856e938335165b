package bridge

import (
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// notifier tells an event loop, through one descriptor, which calls have an answer.
type notifier struct {
	fd int // our own duplicate: Python may close its descriptor at any time

	mu     sync.Mutex
	ready  []int64
	closed bool
}

var notifiers = struct {
	sync.Mutex
	last int64
	open map[int64]*notifier
}{open: map[int64]*notifier{}}

// Notify serves event loops. "open" and a writable, non-blocking descriptor
// answers an id, which Start takes as option "notify"; a byte is written when
// calls get an answer. "take" and the id answers the calls that have one since.
// "close" and the id ends it; calls that name it go on unheard.
func Notify(request string) (text string, err error) {
	defer guard(&text, &err)
	verb, argument, _ := strings.Cut(request, unit)
	n, err := number(argument)
	if err != nil {
		return "", err
	}
	switch verb {
	case "open":
		return openNotifier(int(n))
	case "take":
		return takeReady(notifierOf(n)), nil
	case "close":
		notifiers.Lock()
		found := notifiers.open[n]
		delete(notifiers.open, n)
		notifiers.Unlock()
		if found != nil {
			found.close()
		}
		return "", nil
	}
	return "", invalid("InvalidRequest", "no verb %.40q", verb)
}

func openNotifier(fd int) (string, error) {
	syscall.ForkLock.RLock()
	own, err := syscall.Dup(fd)
	if err == nil {
		syscall.CloseOnExec(own)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return "", invalid("InvalidRequest", "descriptor %d: %v", fd, err)
	}
	notifiers.Lock()
	defer notifiers.Unlock()
	notifiers.last++
	notifiers.open[notifiers.last] = &notifier{fd: own}
	return strconv.FormatInt(notifiers.last, 10), nil
}

func notifierOf(id int64) *notifier {
	notifiers.Lock()
	defer notifiers.Unlock()
	return notifiers.open[id]
}

func takeReady(n *notifier) string {
	if n == nil {
		return ""
	}
	n.mu.Lock()
	ready := n.ready
	n.ready = nil
	n.mu.Unlock()
	ids := make([]string, len(ready))
	for i, id := range ready {
		ids[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(ids, unit)
}

// tell says that call has an answer. A byte per batch is enough, so a pipe never fills.
func (n *notifier) tell(call int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.ready = append(n.ready, call)
	if len(n.ready) > 1 {
		return
	}
	for {
		if _, err := syscall.Write(n.fd, []byte{1}); err != syscall.EINTR {
			return // a full pipe wakes its reader as well; a closed one has none
		}
	}
}

func (n *notifier) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	_ = syscall.Close(n.fd)
}
