package main

import (
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	steps     = 10
	fillsIn   = 3 * time.Second
	jitter    = 0.2
	megabyte  = 1 << 20
	burnBlock = 4096
)

// wait takes about as long as own work takes that waits for something.
func wait(latency time.Duration) {
	if latency > 0 {
		time.Sleep(time.Duration(float64(latency) * (1 - jitter + 2*jitter*rand.Float64())))
	}
}

// worker computes for one request after the other, and lets only so many wait: whoever comes then is told at once,
// while a queue without end would only answer those who no longer listen.
type worker struct {
	busy    sync.Mutex
	waiting atomic.Int64
}

const mostWaiting = 8

// burn computes, and says whether there was room.
func (w *worker) burn(cpu time.Duration) bool {
	defer w.waiting.Add(-1)
	if w.waiting.Add(1) > mostWaiting {
		return false
	}
	w.busy.Lock()
	defer w.busy.Unlock()
	burn(cpu)
	return true
}

// burn computes until this thread has used so much CPU: throttled, it takes the longer for it.
func burn(cpu time.Duration) {
	if cpu <= 0 {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var block [burnBlock]byte
	for began := threadTime(); threadTime()-began < cpu; {
		sum := sha256.Sum256(block[:])
		copy(block[:], sum[:])
	}
}

func threadTime() time.Duration {
	var spent unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &spent); err != nil {
		return 0
	}
	return time.Duration(spent.Nano())
}

// fill takes memory from the kernel and touches each page of it, within seconds of the start, as caches fill.
//
// Not from Go's heap: the collector would let the heap grow to twice of what is held before it looks.
func fill(megabytes int) error {
	for step := range steps {
		size := megabytes * megabyte / steps
		if size == 0 {
			return nil
		}
		pages, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			return err
		}
		for at := 0; at < size; at += os.Getpagesize() {
			pages[at] = byte(step + 1)
		}
		time.Sleep(fillsIn / steps)
	}
	return nil
}
