//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package transport

import "syscall"

// closedByPeer reports whether the peer is known to have closed or reset the
// connection, without waiting. On a secure one, waiting bytes are TLS 1.3's
// session tickets; on a plain one no server speaks unasked, save to say good-bye.
func closedByPeer(s syscall.Conn, secure bool) bool {
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		if closed = finished(int(fd)); closed {
			return
		}
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == syscall.EAGAIN || err == syscall.EINTR:
		case err != nil || n == 0:
			closed = true
		default:
			closed = !secure
		}
	})
	return closed || err != nil
}
