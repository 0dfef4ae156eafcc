package stack

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// keptLines is how many log lines of a program are kept in memory, if not told; all are in
// its file.
const keptLines = 200_000

// Line is one line of a program's log.
type Line map[string]any

// Text is a field as text; empty if it is none.
func (l Line) Text(key string) string {
	text, _ := l[key].(string)
	return text
}

// Number is a field as a number; 0 if it is none.
func (l Line) Number(key string) float64 {
	number, _ := l[key].(float64)
	return number
}

// Program is one of Tandem's two programs as a process. Its methods may be called by
// several goroutines; it may be started again after it ended.
type Program struct {
	// Env is added to the environment of the next process that is started.
	Env []string

	path, file string
	// ready is the message of the log line that says that the program serves.
	ready string
	// kept is how many log lines are kept.
	kept int

	mu      sync.Mutex
	cmd     *exec.Cmd
	lines   []Line
	changed chan struct{}
	ended   chan struct{}
	err     error
	// killed tells that the process was ended by Kill.
	killed bool
}

func newProgram(o Options, name, ready string) *Program {
	return &Program{
		path: filepath.Join(o.Bin, name), file: filepath.Join(o.Dir, name+".log"), ready: ready, kept: o.KeepLines, changed: make(chan struct{}),
	}
}

// start runs the program and returns its ready line. It fails when the program ends
// or ctx does before that.
func (p *Program) start(ctx context.Context, args ...string) (Line, error) {
	log, err := os.OpenFile(p.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", p.file, err)
	}
	// The process outlives ctx, which only bounds the start.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.path, args...) //nolint:gosec // our own programs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", p.path, err), log.Close())
	}
	cmd.Stderr = log
	cmd.Env = append(os.Environ(), p.Env...)
	bindToParent(cmd)
	started, ended := make(chan error, 1), make(chan struct{})
	p.mu.Lock()
	from := len(p.lines)
	p.mu.Unlock()
	go func() {
		defer close(ended)
		// What binds a process to its parent binds it to the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- errors.Join(fmt.Errorf("starting %s: %w", p.path, err), log.Close())
			return
		}
		p.mu.Lock()
		p.cmd, p.ended, p.err, p.killed = cmd, ended, nil, false
		p.mu.Unlock()
		started <- nil
		p.read(out, log)
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		_ = log.Close()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	line, err := p.await(ctx, ended, from, func(l Line) bool { return l.Text("msg") == p.ready })
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("%s did not start, see %s: %w%s", filepath.Base(p.path), p.file, err, lastLine(p.file))
	}
	return line, nil
}

// lastLine is the end of a log, to be shown after what went wrong.
func lastLine(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return "; its last line: " + lines[len(lines)-1]
}

func (p *Program) read(out io.Reader, log io.Writer) {
	reader := bufio.NewReader(out)
	for {
		text, err := reader.ReadBytes('\n')
		_, _ = log.Write(text)
		var line Line
		if json.Unmarshal(text, &line) == nil {
			p.mu.Lock()
			p.lines = append(p.lines, line)
			if len(p.lines) > p.kept {
				p.lines = append([]Line(nil), p.lines[p.kept/2:]...)
			}
			close(p.changed)
			p.changed = make(chan struct{})
			p.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// File is where the log is written, all that goes to the standard error included.
func (p *Program) File() string { return p.file }

// Lines are the log lines so far, over all starts.
func (p *Program) Lines() []Line {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Line(nil), p.lines...)
}

// Await waits for the first log line that matches, from the very first on.
func (p *Program) Await(ctx context.Context, match func(Line) bool) (Line, error) {
	return p.await(ctx, nil, 0, match)
}

var errEnded = errors.New("the program ended")

func (p *Program) await(ctx context.Context, ended <-chan struct{}, from int, match func(Line) bool) (Line, error) {
	for {
		p.mu.Lock()
		lines, changed := p.lines, p.changed
		p.mu.Unlock()
		for ; from < len(lines); from++ {
			if match(lines[from]) {
				return lines[from], nil
			}
		}
		from = len(lines)
		select {
		case <-changed:
		case <-ended:
			return nil, errEnded
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Signal sends a signal to the process.
func (p *Program) Signal(signal os.Signal) error {
	p.mu.Lock()
	cmd := p.cmd
	p.mu.Unlock()
	if cmd == nil || cmd.Process == nil {
		return os.ErrProcessDone
	}
	return cmd.Process.Signal(signal)
}

// PID is the number of the process that was started last; 0 before the first start.
func (p *Program) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.cmd.Process == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Kill ends the process at once, as kill -9 does, and waits until it is gone.
func (p *Program) Kill() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	_ = p.Signal(syscall.SIGKILL) // one that is gone already is as good
	p.wait()
}

// Stop asks the process to end, waits, and tells how it ended; also of one that ended
// before, but not of one that was killed.
func (p *Program) Stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		p.wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.err != nil && !p.killed {
			return fmt.Errorf("%s ended by itself, see %s: %w", filepath.Base(p.path), p.file, p.err)
		}
		return nil
	}
	select {
	case <-p.gone():
	case <-time.After(30 * time.Second):
		p.Kill()
		return fmt.Errorf("%s did not stop within 30 s", filepath.Base(p.path))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *Program) gone() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		done := make(chan struct{})
		close(done)
		return done
	}
	return p.ended
}

func (p *Program) wait() { <-p.gone() }
