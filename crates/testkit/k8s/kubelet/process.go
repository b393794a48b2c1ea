package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/creack/pty"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// How long the output of a process that has ended is waited for: its children may hold it open for ever.
const lastOutput = time.Second

// command is what to run, and where.
type command struct {
	argv   []string
	env    []string
	folder string
	tty    bool
}

// process is a running command, in a session of its own.
type process struct {
	cmd *exec.Cmd
	// stdin is the terminal when there is one.
	stdin    io.WriteCloser
	terminal *os.File
	done     chan struct{}
	err      error
}

// start runs a command. With a terminal, everything comes on stdout.
func start(c command, stdout, stderr io.Writer) (*process, error) {
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = c.env, c.folder, lastOutput
	// A session of its own makes it the leader of a group, which can be killed whole; the death signal is for
	// when the kubelet is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, done: make(chan struct{})}
	var err error
	if c.tty {
		err = p.startWithTerminal(stdout)
	} else {
		cmd.Stdout, cmd.Stderr = stdout, stderr
		if p.stdin, err = cmd.StdinPipe(); err == nil {
			err = spawn(cmd.Start)
		}
		if err == nil {
			go p.wait(func() {})
		}
	}
	return p, err
}

func (p *process) startWithTerminal(stdout io.Writer) error {
	terminal, tty, err := pty.Open()
	if err != nil {
		return err
	}
	defer tty.Close()
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	p.cmd.SysProcAttr.Setctty = true
	if err := spawn(p.cmd.Start); err != nil {
		terminal.Close()
		return err
	}
	p.stdin, p.terminal = terminal, terminal
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(stdout, terminal)
	}()
	go p.wait(func() {
		select {
		case <-copied:
		case <-time.After(lastOutput):
		}
		terminal.Close()
	})
	return nil
}

func (p *process) wait(last func()) {
	p.err = p.cmd.Wait()
	if errors.Is(p.err, exec.ErrWaitDelay) {
		p.err = nil
	}
	last()
	close(p.done)
}

// kill sends a signal to the process and to all it started.
func (p *process) kill(signal syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, signal)
}

// hasChildren tells whether the process, which has ended, left some.
func (p *process) hasChildren() bool {
	return syscall.Kill(-p.cmd.Process.Pid, 0) == nil
}

// resize follows the size of somebody's terminal until that is gone.
func (p *process) resize(sizes <-chan remotecommand.TerminalSize) {
	for size := range sizes {
		if p.terminal != nil {
			_ = pty.Setsize(p.terminal, &pty.Winsize{Rows: size.Height, Cols: size.Width})
		}
	}
}

// exitCode is the code as a shell tells it.
func (p *process) exitCode() int {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// exitError is how exec is told that the command failed; nil when it did not.
func (p *process) exitError() error {
	if code := p.exitCode(); code != 0 {
		return utilexec.CodeExitError{Err: p.err, Code: code}
	}
	return nil
}

var spawns = make(chan func())

// spawn starts a process on a thread that lives as long as the program: the death signal is sent when the
// thread that forked ends.
func spawn(start func() error) error {
	started := make(chan error)
	spawns <- func() { started <- start() }
	return <-started
}

func init() {
	go func() {
		runtime.LockOSThread()
		for f := range spawns {
			f()
		}
	}()
}
