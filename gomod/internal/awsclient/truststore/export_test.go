package truststore

// SetWellKnown replaces where System looks, and returns what puts it back.
func SetWellKnown(files, dirs []string) (restore func()) {
	f, d := bundles, directories
	bundles, directories = files, dirs
	return func() { bundles, directories = f, d }
}

// WellKnown is where System looks.
func WellKnown() (files, dirs []string) { return bundles, directories }

// Named counts the certificates that the index has under that raw subject.
func (s *Store) Named(subject []byte) int {
	return len(s.named(subject))
}

// Memo is the number of chains that s remembers.
func (s *Store) Memo() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.memo)
}
