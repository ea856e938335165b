//go:build unix

package awsclient

import (
	"context"
	"os/exec"
	"syscall"
	"time"
)

// processGrace is how long the end of a killed command's output is waited for.
const processGrace = 100 * time.Millisecond

// newCommand runs the command by a shell of its own process group, so that its children end with it.
func newCommand(ctx context.Context, command string, env map[string]string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	// Never nil: nil would mean the environment of the process.
	cmd.Env = make([]string, 0, len(env))
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = processGrace
	cmd.Stdout = &limitedWriter{left: maxProcess}
	return cmd, nil
}

// limitedWriter ends a command that prints without end.
type limitedWriter struct{ left int }

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errTooLarge
	}
	return len(p), nil
}
