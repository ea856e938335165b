package transport

// LoopbackDialer is what a Client of LoopbackOnly dials with: a resolver that gives localhost a foreign address can't be had in a test.
var LoopbackDialer = loopbackDialer
