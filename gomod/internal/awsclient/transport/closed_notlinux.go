//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package transport

// finished knows nothing here: a FIN behind session tickets goes unseen, and Do repeats the request.
func finished(int) bool { return false }
