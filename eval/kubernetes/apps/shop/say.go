package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// oftenest is how often one trouble is said: whoever reads the log wants to know of it, not to drown in it.
const oftenest = time.Second

// Log writes lines for people; the time of a line is the kubelet's to say.
type Log struct {
	debug bool

	mutex sync.Mutex
	last  map[string]time.Time
	held  map[string]int
}

// NewLog makes one that says what happens, and with debug each request.
func NewLog(debug bool) *Log {
	return &Log{debug: debug, last: map[string]time.Time{}, held: map[string]int{}}
}

// Info says what happened.
func (l *Log) Info(format string, args ...any) { fmt.Printf("INFO "+format+"\n", args...) }

// Debug says what only its author wants to know.
func (l *Log) Debug(format string, args ...any) {
	if l.debug {
		fmt.Printf("DEBUG "+format+"\n", args...)
	}
}

// Fatal says why it cannot run, and ends it.
func (l *Log) Fatal(format string, args ...any) {
	fmt.Printf("FATAL "+format+"\n", args...)
	os.Exit(1)
}

// Trouble says what is wrong, at most once a second about the same thing, and how often it was since.
func (l *Log) Trouble(about, format string, args ...any) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if time.Since(l.last[about]) < oftenest {
		l.held[about]++
		return
	}
	more := ""
	if held := l.held[about]; held > 0 {
		more = fmt.Sprintf(" (%d more since)", held)
	}
	l.last[about], l.held[about] = time.Now(), 0
	fmt.Printf("ERROR "+format+more+"\n", args...)
}
