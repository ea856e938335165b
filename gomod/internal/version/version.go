// Package version holds the one version number of this build.
package version

// Version is set by the build from python/glowplug/_version.py (-ldflags -X).
var Version = "0.0.0-dev"
