package main

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"
)

const (
	// A longer line is cut, as container runtimes do.
	maxLine = 16 << 10
	// What a container's log holds at most; the oldest lines go first.
	maxLog = 64 << 20
)

type line struct {
	time time.Time
	text []byte
}

// containerLog is what one run of a container wrote, by lines.
type containerLog struct {
	mu      sync.Mutex
	lines   []line
	dropped int
	size    int
	ended   bool
	changed chan struct{}
}

func newContainerLog() *containerLog {
	return &containerLog{changed: make(chan struct{})}
}

func (l *containerLog) add(text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line{time.Now(), text})
	for l.size += len(text); l.size > maxLog; l.dropped++ {
		l.size -= len(l.lines[0].text)
		l.lines = l.lines[1:]
	}
	l.wake()
}

func (l *containerLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wake()
}

func (l *containerLog) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// from gives the lines since the nth that was ever written, the number of the one after them, whether that is
// all there will be, and what is closed when there are more.
func (l *containerLog) from(n int) ([]line, int, bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.dropped + len(l.lines)
	return l.lines[max(n-l.dropped, 0):], next, l.ended, l.changed
}

type logOptions struct {
	follow, timestamps bool
	tail, limit        int64 // -1: all
	since              time.Time
}

// write writes the log, and goes on with it when it is followed.
func (l *containerLog) write(ctx context.Context, options logOptions, out io.Writer, flush func()) error {
	lines, next, ended, changed := l.from(0)
	for len(lines) > 0 && lines[0].time.Before(options.since) {
		lines = lines[1:]
	}
	if options.tail >= 0 && int64(len(lines)) > options.tail {
		lines = lines[int64(len(lines))-options.tail:]
	}
	for left := options.limit; ; lines, next, ended, changed = l.from(next) {
		for _, line := range lines {
			text := line.text
			if options.timestamps {
				text = append([]byte(line.time.UTC().Format(time.RFC3339Nano)+" "), text...)
			}
			if left >= 0 {
				text = text[:min(int64(len(text)), left)]
				left -= int64(len(text))
			}
			if _, err := out.Write(text); err != nil || left == 0 {
				return err
			}
		}
		flush()
		if ended || !options.follow {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// lineWriter cuts a stream into the lines of a log.
type lineWriter struct {
	log  *containerLog
	rest []byte
}

func (w *lineWriter) Write(data []byte) (int, error) {
	w.rest = append(w.rest, data...)
	for {
		end := bytes.IndexByte(w.rest, '\n') + 1
		if end == 0 && len(w.rest) >= maxLine {
			end = maxLine
		}
		if end == 0 {
			return len(data), nil
		}
		w.log.add(bytes.Clone(w.rest[:end]))
		w.rest = w.rest[end:]
	}
}

// flush gives the log what came without a line's end.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.log.add(w.rest)
		w.rest = nil
	}
}
