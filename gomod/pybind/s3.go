package pybind

import "github.com/glowplug/glowplug/gomod/internal/bridge"

// Open makes a client and answers its id.
func Open(request string) (string, error) { return bridge.Open(request) }

// Close ends a client, its calls are cancelled, its connections closed, and answers the counts of its calls.
func Close(request string) (string, error) { return bridge.Close(request) }

// Start begins a call under an id that the caller chose and waits a slice for its answer.
func Start(request string) (string, error) { return bridge.Start(request) }

// Wait waits another slice for the answer of a call.
func Wait(request string) (string, error) { return bridge.Wait(request) }

// Cancel ends a call and forgets it.
func Cancel(request string) (string, error) { return bridge.Cancel(request) }

// Info tells versions and what is open.
func Info(request string) (string, error) { return bridge.Info(request) }

// Notify tells an event loop which calls have an answer.
func Notify(request string) (string, error) { return bridge.Notify(request) }
