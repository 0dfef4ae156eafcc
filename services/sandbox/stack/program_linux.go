package stack

import (
	"os/exec"
	"syscall"
)

// bindToParent lets the program end when whoever started it is killed: one that goes on
// alone would keep its ports from the next start.
func bindToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
