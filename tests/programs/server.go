// A web server in Go, for tests/system/test_binaries.py: goroutines, timers, garbage, and loops that only a
// signal interrupts.
package main

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Loops without a call in them: the runtime stops them for the others, and for the collector, by SIGURG.
func spin(stop *int32) (turns int) {
	for atomic.LoadInt32(stop) == 0 {
		turns++
	}
	return turns
}

func preempt() string {
	var stop int32
	var done sync.WaitGroup
	for i := 0; i < runtime.GOMAXPROCS(0); i++ {
		done.Add(1)
		go func() { spin(&stop); done.Done() }()
	}
	// Without preemption the spinning goroutines keep this one from ever running again.
	time.Sleep(time.Millisecond)
	runtime.GC()
	atomic.StoreInt32(&stop, 1)
	done.Wait()
	return "preempted\n"
}

func garbage() string {
	var done sync.WaitGroup
	var total int64
	for i := 0; i < 50; i++ {
		done.Add(1)
		go func(i int) {
			defer done.Done()
			m := map[int]string{}
			for j := 0; j < 2000; j++ {
				m[j] = fmt.Sprint(i, j)
			}
			atomic.AddInt64(&total, int64(len(m)))
		}(i)
	}
	done.Wait()
	return fmt.Sprintln("made", total)
}

// A fault becomes a panic, and that is recovered.
func fault() (text string) {
	defer func() { text = fmt.Sprintln("recovered:", recover()) }()
	var nothing *int
	*nothing = 1
	return "wrote through a null pointer\n"
}

func main() {
	answer := func(path string, make func() string) {
		http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, make()) })
	}
	answer("/hello.txt", func() string { return "Hello, world!\n" })
	answer("/preempt", preempt)
	answer("/garbage", garbage)
	answer("/fault", fault)
	answer("/exit", func() string { os.Exit(3); return "" })
	fmt.Println("serving on", runtime.NumCPU(), "cores")
	fmt.Println(http.ListenAndServe(":80", nil))
}
