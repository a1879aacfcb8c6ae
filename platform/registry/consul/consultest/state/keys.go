package state

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// Get returns a key, nil if there is none, and the index of that answer.
func (s *Store) Get(key string) (*api.KVPair, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kv := s.keys[key]; kv != nil {
		return kv, kv.ModifyIndex
	}
	return nil, s.touched.keys
}

// List returns the keys with a prefix in order. Its index counts deletions
// under the prefix too, so that it never goes back.
func (s *Store) List(prefix string) (api.KVPairs, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all api.KVPairs
	index := uint64(0)
	for _, key := range sorted(s.keys) {
		if strings.HasPrefix(key, prefix) {
			all = append(all, s.keys[key])
			index = max(index, s.keys[key].ModifyIndex)
		}
	}
	for key, deleted := range s.graves {
		if strings.HasPrefix(key, prefix) {
			index = max(index, deleted)
		}
	}
	if prefix == "" || index == 0 {
		index = s.touched.keys
	}
	return all, index
}

// Write does one thing to the keys and reports whether it was done: a
// compare-and-swap whose index is not that of the key is not, nor one with an
// index for a key that does not exist, nor a lock that another session holds.
func (s *Store) Write(op *api.KVTxnOp) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	index := s.next()
	done, err := s.write(op, index)
	if s.touched.keys == index {
		s.tell()
	}
	return done, err
}

// Transact does all of ops or nothing, at one index. It returns the keys that
// were written or read, or the number of the first operation that failed and
// why.
func (s *Store) Transact(ops []*api.KVTxnOp) (api.KVPairs, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, graves, touched := maps.Clone(s.keys), maps.Clone(s.graves), s.touched
	index := s.next()
	results := api.KVPairs{}
	for i, op := range ops {
		if why := s.refused(op, index); why != nil {
			s.keys, s.graves, s.touched = keys, graves, touched
			return nil, i, why
		}
		if kv := s.keys[op.Key]; kv != nil {
			c := *kv
			if op.Verb != api.KVGet {
				c.Value = nil // Consul returns it to readers only
			}
			results = append(results, &c)
		}
	}
	if s.touched.keys == index {
		s.tell()
	}
	return results, 0, nil
}

// refused does one operation of a transaction and says why that failed.
func (s *Store) refused(op *api.KVTxnOp, index uint64) error {
	kv := s.keys[op.Key]
	switch op.Verb {
	case api.KVGet:
		if kv == nil {
			return fmt.Errorf("key %q doesn't exist", op.Key)
		}
		return nil
	case api.KVCheckNotExists:
		if kv != nil {
			return fmt.Errorf("key %q exists", op.Key)
		}
		return nil
	case api.KVCheckIndex:
		if kv == nil {
			return fmt.Errorf("failed to check index, key %q doesn't exist", op.Key)
		}
		if kv.ModifyIndex != op.Index {
			return fmt.Errorf("failed index check for key %q, current modify index %d != %d", op.Key, kv.ModifyIndex, op.Index)
		}
		return nil
	}
	done, err := s.write(op, index)
	if err == nil && !done {
		err = fmt.Errorf("failed to set key %q, index is stale", op.Key)
		if op.Verb == api.KVDeleteCAS {
			err = fmt.Errorf("failed to delete key %q, index is stale", op.Key)
		}
	}
	return err
}

// write is Write with s.mu held.
func (s *Store) write(op *api.KVTxnOp, index uint64) (bool, error) {
	kv := s.keys[op.Key]
	switch op.Verb {
	case api.KVSet:
		s.store(op, index, held(kv))
		return true, nil
	case api.KVCAS:
		if (kv == nil) != (op.Index == 0) || kv != nil && kv.ModifyIndex != op.Index {
			return false, nil
		}
		s.store(op, index, held(kv))
		return true, nil
	case api.KVLock:
		return s.lock(op, index)
	case api.KVUnlock:
		if kv == nil || kv.Session != op.Session {
			return false, nil
		}
		s.store(op, index, "")
		return true, nil
	case api.KVDelete:
		s.bury(op.Key, index)
		return true, nil
	case api.KVDeleteCAS:
		if kv == nil || kv.ModifyIndex != op.Index {
			return kv == nil, nil
		}
		s.bury(op.Key, index)
		return true, nil
	case api.KVDeleteTree:
		for _, key := range sorted(s.keys) {
			if strings.HasPrefix(key, op.Key) {
				s.bury(key, index)
			}
		}
		return true, nil
	}
	return false, fmt.Errorf("unknown KV operation %q", op.Verb)
}

// lock gives a key to a session that lives, unless another has it, or one that
// lost it did so a short time ago.
func (s *Store) lock(op *api.KVTxnOp, index uint64) (bool, error) {
	if op.Session == "" {
		return false, fmt.Errorf("missing session")
	}
	if s.sessions[op.Session] == nil {
		return false, fmt.Errorf("invalid session %q", op.Session)
	}
	holder := held(s.keys[op.Key])
	if holder != "" && holder != op.Session || time.Now().Before(s.delays[op.Key]) {
		return false, nil
	}
	s.store(op, index, op.Session)
	return true, nil
}

// held is the session that holds a key.
func held(kv *api.KVPair) string {
	if kv == nil {
		return ""
	}
	return kv.Session
}

// store enters a key unless it is there already, alike.
func (s *Store) store(op *api.KVTxnOp, index uint64, session string) {
	old, value := s.keys[op.Key], op.Value
	if value == nil {
		value = []byte{}
	}
	kv := &api.KVPair{
		Key: op.Key, Value: value, Flags: op.Flags, Session: session, CreateIndex: index, ModifyIndex: index,
	}
	if old != nil {
		kv.CreateIndex = old.CreateIndex
	}
	if op.Verb == api.KVLock || op.Verb == api.KVUnlock { // other writes lose the count of locks, in Consul too
		if old != nil {
			kv.LockIndex = old.LockIndex
		}
		if session != "" && held(old) != session {
			kv.LockIndex++
		}
	}
	if old != nil && sameKey(old, kv) {
		return
	}
	s.keys[op.Key] = kv
	s.touched.keys = index
}

// sameKey reports whether a write would change nothing.
func sameKey(a, b *api.KVPair) bool {
	return bytes.Equal(a.Value, b.Value) && a.Flags == b.Flags && a.Session == b.Session && a.LockIndex == b.LockIndex
}

// bury deletes a key and remembers when.
func (s *Store) bury(key string, index uint64) {
	if s.keys[key] == nil {
		return
	}
	delete(s.keys, key)
	s.graves[key] = index
	s.touched.keys = index
}
