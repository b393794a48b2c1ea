package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// What a container that ended waits before it is started again, at first and at most.
const firstPause, longestPause = 500 * time.Millisecond, 10 * time.Second

type kind int

const (
	initial kind = iota
	regular
	ephemeral
)

// container is a container of a pod, through all its runs.
type container struct {
	pod    *pod
	spec   *corev1.Container
	kind   kind
	folder string

	mu       sync.Mutex
	state    corev1.ContainerState
	last     corev1.ContainerState
	restarts int32
	current  *containerRun // the present run, or the last
	previous *containerRun // the one before
	command  command
	execs    map[*process]struct{} // what still has processes
}

// containerRun is one run of a container.
type containerRun struct {
	process *process
	log     *containerLog
	stdout  *fanOut
	stderr  *fanOut
	stdin   sync.Once // closes it, where the first to attach is the last
}

func newContainer(pod *pod, spec *corev1.Container, kind kind) *container {
	return &container{
		pod: pod, spec: spec, kind: kind, folder: filepath.Join(pod.folder, spec.Name),
		state: waiting("ContainerCreating", ""), execs: map[*process]struct{}{},
	}
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

// run runs the container until it ends and is not to be started again.
func (c *container) run(ctx context.Context, policy corev1.RestartPolicy) {
	for pause := firstPause; ; pause = min(pause*2, longestPause) {
		if c.runOnce(ctx); c.isStopped() {
			return
		}
		if policy == corev1.RestartPolicyNever || policy == corev1.RestartPolicyOnFailure && c.exitCode() == 0 {
			return
		}
		c.mu.Lock()
		c.last, c.state = c.state, waiting("CrashLoopBackOff", "")
		c.restarts++
		c.mu.Unlock()
		c.pod.tell(ctx)
		select {
		case <-time.After(pause):
		case <-c.pod.stopped:
			return
		}
	}
}

func (c *container) runOnce(ctx context.Context) {
	started := metav1.Now()
	run, err := c.start(ctx)
	for ; err != nil && !c.isStopped(); run, err = c.start(ctx) {
		// As a missing Secret: it may come.
		c.set(waiting("CreateContainerConfigError", err.Error()))
		c.pod.tell(ctx)
		select {
		case <-time.After(firstPause):
		case <-c.pod.stopped:
		}
	}
	if err != nil {
		return
	}
	c.set(corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}})
	if c.isStopped() {
		run.process.kill(syscall.SIGKILL)
	}
	c.pod.tell(ctx)
	<-run.process.done
	c.killRest()
	run.end()
	ended := &corev1.ContainerStateTerminated{
		ExitCode: int32(run.process.exitCode()), Reason: "Completed",
		StartedAt: started, FinishedAt: metav1.Now(), ContainerID: c.id(),
	}
	if ended.ExitCode != 0 {
		ended.Reason = "Error"
	}
	c.set(corev1.ContainerState{Terminated: ended})
	c.pod.tell(ctx)
}

func (c *container) start(ctx context.Context) (*containerRun, error) {
	command, err := c.prepare(ctx)
	if err != nil {
		return nil, err
	}
	log := newContainerLog()
	run := &containerRun{log: log, stdout: newFanOut(log), stderr: newFanOut(log)}
	if run.process, err = start(command, run.stdout, run.stderr); err != nil {
		return nil, err
	}
	if !c.spec.Stdin && !c.spec.TTY {
		run.process.stdin.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.command, c.previous, c.current = command, c.current, run
	return run, nil
}

func (r *containerRun) end() {
	r.stdout.close()
	r.stderr.close()
	r.log.end()
}

// exec runs another command in the container.
func (c *container) exec(argv []string, in io.Reader, out, err io.Writer, tty bool, sizes <-chan remotecommand.TerminalSize) error {
	c.mu.Lock()
	command := c.command
	isRunning := c.state.Running != nil
	c.mu.Unlock()
	if !isRunning {
		return fmt.Errorf("container not running (%s)", c.id())
	}
	command.argv, command.tty = argv, tty
	if tty {
		command.env = append([]string{"TERM=xterm"}, command.env...)
	}
	p, failed := start(command, orDiscard(out), orDiscard(err))
	if failed != nil {
		return failed
	}
	c.mu.Lock()
	c.execs[p] = struct{}{}
	c.mu.Unlock()
	go p.resize(sizes)
	p.feed(in)
	<-p.done
	if !p.hasChildren() {
		c.mu.Lock()
		delete(c.execs, p)
		c.mu.Unlock()
	}
	return p.exitError()
}

// feed gives a process what it is to read; without a terminal also the end of it.
func (p *process) feed(in io.Reader) {
	go func() {
		if in != nil {
			_, _ = io.Copy(p.stdin, in)
		}
		if p.terminal == nil {
			p.stdin.Close()
		}
	}()
}

// attach joins the present run until that ends.
func (c *container) attach(in io.Reader, out, err io.Writer, sizes <-chan remotecommand.TerminalSize) error {
	c.mu.Lock()
	run := c.current
	isRunning := c.state.Running != nil
	c.mu.Unlock()
	if !isRunning {
		return fmt.Errorf("container not running (%s)", c.id())
	}
	leaveOut, leaveErr := run.stdout.join(out), run.stderr.join(err)
	defer leaveOut()
	defer leaveErr()
	go run.process.resize(sizes)
	if in != nil && (c.spec.Stdin || c.spec.TTY) {
		go func() {
			_, _ = io.Copy(run.process.stdin, in)
			if c.spec.StdinOnce && !c.spec.TTY {
				run.stdin.Do(func() { run.process.stdin.Close() })
			}
		}()
	}
	<-run.process.done
	return nil
}

// logOf gives the log of the present or last run, or of the one before.
func (c *container) logOf(previous bool) (*containerLog, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	run := c.current
	if previous {
		run = c.previous
	}
	if run != nil {
		return run.log, nil
	}
	if previous {
		return nil, fmt.Errorf("previous terminated container %q in pod %q not found", c.spec.Name, c.pod.object.Name)
	}
	reason := "PodInitializing"
	if c.state.Waiting != nil {
		reason = c.state.Waiting.Reason
	}
	return nil, fmt.Errorf("container %q in pod %q is waiting to start: %s", c.spec.Name, c.pod.object.Name, reason)
}

func (c *container) status() corev1.ContainerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	started := c.state.Running != nil
	completed := c.kind == initial && c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
	return corev1.ContainerStatus{
		Name: c.spec.Name, State: c.state, LastTerminationState: c.last, RestartCount: c.restarts,
		Ready: started && c.kind != ephemeral || completed, Started: &started,
		Image: c.spec.Image, ImageID: c.spec.Image, ContainerID: c.id(),
	}
}

func (c *container) id() string {
	return fmt.Sprintf("processes://%s/%s", c.pod.object.UID, c.spec.Name)
}

func (c *container) exitCode() int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Terminated == nil {
		return 0
	}
	return c.state.Terminated.ExitCode
}

func (c *container) set(state corev1.ContainerState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
}

func (c *container) isStopped() bool {
	select {
	case <-c.pod.stopped:
		return true
	default:
		return false
	}
}

// signal asks the container to end, or makes it.
func (c *container) signal(kill bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state.Running == nil:
	case kill:
		c.killProcesses()
	default:
		c.current.process.kill(syscall.SIGTERM)
	}
}

// killRest kills what the container's first process has left.
func (c *container) killRest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killProcesses()
	clear(c.execs)
}

func (c *container) killProcesses() {
	c.current.process.kill(syscall.SIGKILL)
	for p := range c.execs {
		p.kill(syscall.SIGKILL)
	}
}

// fanOut writes a stream to the log and to everybody who is attached.
type fanOut struct {
	mu      sync.Mutex
	log     lineWriter
	writers map[int]io.Writer
	next    int
}

func newFanOut(log *containerLog) *fanOut {
	return &fanOut{log: lineWriter{log: log}, writers: map[int]io.Writer{}}
}

func (f *fanOut) Write(data []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _ = f.log.Write(data)
	for id, writer := range f.writers {
		if _, err := writer.Write(data); err != nil {
			delete(f.writers, id)
		}
	}
	return len(data), nil
}

func (f *fanOut) join(writer io.Writer) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.next
	f.next++
	if writer != nil {
		f.writers[id] = writer
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.writers, id)
	}
}

func (f *fanOut) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log.flush()
}

// orDiscard is for streams that were not asked for.
func orDiscard(writer io.Writer) io.Writer {
	if writer == nil {
		return io.Discard
	}
	return writer
}
