package networktest

import "sync"

// work is goroutines that may fail; Wait gives the first error.
type work struct {
	running sync.WaitGroup
	once    sync.Once
	err     error
}

func (w *work) Go(f func() error) {
	w.running.Go(func() {
		if err := f(); err != nil {
			w.once.Do(func() { w.err = err })
		}
	})
}

func (w *work) Wait() error {
	w.running.Wait()
	return w.err
}
