//go:build !unix

package awsclient

import (
	"context"
	"os/exec"

	"github.com/glowplug/glowplug/gomod/awserr"
)

func newCommand(context.Context, string, map[string]string) (*exec.Cmd, error) {
	return nil, &awserr.Error{Kind: awserr.Credentials, Code: "UnsupportedSource",
		Message: "glowplug runs no credential_process on this system: give credentials by the environment"}
}
