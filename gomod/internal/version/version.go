// Package version holds the one version number of this build.
package version

// Version is set by the build from pyproject.toml's number (-ldflags -X).
var Version = "0.0.0-dev"
