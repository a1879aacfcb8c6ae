package state_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry/consul/consultest/state"
)

func service(id, name string) map[string]*api.AgentService {
	return map[string]*api.AgentService{id: {ID: id, Service: name, Port: 80}}
}

func key(verb api.KVOp, name, value string) *api.KVTxnOp {
	return &api.KVTxnOp{Verb: verb, Key: name, Value: []byte(value)}
}

func TestEveryChangeWakesAndNoneDoesNot(t *testing.T) {
	s := state.New("dc1")
	woken := func(change func()) bool {
		changed := s.Changed()
		change()
		select {
		case <-changed:
			return true
		default:
			return false
		}
	}
	require.True(t, woken(func() { s.Join("n", "10.0.0.1") }))
	require.False(t, woken(func() { s.Join("n", "10.0.0.1") }))
	require.True(t, woken(func() { s.Sync("n", service("a", "web"), nil) }))
	require.False(t, woken(func() { s.Sync("n", service("a", "web"), nil) }))
	require.True(t, woken(func() { s.Sync("n", nil, nil) }))
	require.True(t, woken(func() { _, _ = s.Write(key(api.KVSet, "k", "v")) }))
	require.False(t, woken(func() { _, _ = s.Write(key(api.KVSet, "k", "v")) }))
	require.False(t, woken(func() { _, _ = s.Write(key(api.KVDelete, "other", "")) }))
}

func TestServiceWithoutInstancesHasTheIndexOfTheLastExtinction(t *testing.T) {
	s := state.New("dc1")
	s.Join("n", "10.0.0.1")
	s.Sync("n", service("a", "web"), nil)
	_, lives := s.Health("web")
	s.Sync("n", service("b", "shop"), nil)
	all, gone := s.Health("web")
	require.Empty(t, all)
	require.Greater(t, gone, lives)
	_, never := s.Health("never")
	require.Equal(t, gone, never)
	_, shop := s.Health("shop")
	require.Greater(t, shop, gone)
}

func TestIDThatChangesItsServiceLeavesTheOldOne(t *testing.T) {
	s := state.New("dc1")
	s.Join("n", "10.0.0.1")
	s.Sync("n", service("a", "web"), nil)
	s.Sync("n", service("a", "shop"), nil)
	web, _ := s.Health("web")
	shop, _ := s.Health("shop")
	require.Empty(t, web)
	require.Len(t, shop, 1)
}

func TestCopyStaysAsItIs(t *testing.T) {
	s := state.New("dc1")
	s.Join("n", "10.0.0.1")
	s.Sync("n", service("a", "web"), nil)
	_, _ = s.Write(key(api.KVSet, "k", "old"))
	c := s.Copy()
	_, before := c.Health("web")
	s.Sync("n", nil, nil)
	_, _ = s.Write(key(api.KVSet, "k", "new"))
	all, after := c.Health("web")
	require.Len(t, all, 1)
	require.Equal(t, before, after)
	kv, _ := c.Get("k")
	require.Equal(t, "old", string(kv.Value))
	require.Equal(t, "dc1", c.Datacenter())
}

func TestResetBringsEveryIndexBack(t *testing.T) {
	s := state.New("dc1")
	s.Join("n", "10.0.0.1")
	s.Sync("n", service("a", "web"), map[string]*api.HealthCheck{"c": {CheckID: "c", ServiceID: "a"}})
	_, _ = s.Write(key(api.KVSet, "k", "v"))
	_, _ = s.Write(key(api.KVSet, "gone", "v"))
	_, _ = s.Write(key(api.KVDelete, "gone", ""))
	changed, epoch := s.Changed(), s.Epoch()
	s.Reset(3)
	<-changed
	require.Greater(t, s.Epoch(), epoch)
	all, index := s.Health("web")
	require.Equal(t, []uint64{3, 3, 3, 3}, []uint64{index, all[0].Node.ModifyIndex, all[0].Service.ModifyIndex, all[0].Checks[1].ModifyIndex})
	_, list := s.List("")
	require.Equal(t, uint64(3), list)
	s.Sync("n", nil, nil)
	_, index = s.Health("web")
	require.Equal(t, uint64(4), index)
}

func TestSwapsFollowTheRulesForKeysThatExistAndThatDoNot(t *testing.T) {
	s := state.New("dc1")
	swap := func(index uint64) bool {
		op := key(api.KVCAS, "k", "v")
		op.Index = index
		done, err := s.Write(op)
		require.NoError(t, err)
		return done
	}
	require.False(t, swap(5), "a missing key has no index but 0")
	require.True(t, swap(0))
	require.False(t, swap(0), "it exists")
	kv, index := s.Get("k")
	require.Equal(t, kv.ModifyIndex, index)
	require.False(t, swap(index-1))
	require.True(t, swap(index))
	_, _ = s.Write(key(api.KVDelete, "k", ""))
	none, deleted := s.Get("k")
	require.Nil(t, none)
	require.Greater(t, deleted, index, "a deletion is a change")
	_, under := s.List("k")
	require.Equal(t, deleted, under)
}

func TestTransactionIsAllOrNothing(t *testing.T) {
	s := state.New("dc1")
	_, at, err := s.Transact([]*api.KVTxnOp{key(api.KVSet, "a", "1"), key(api.KVGet, "none", "")})
	require.ErrorContains(t, err, `key "none" doesn't exist`)
	require.Equal(t, 1, at)
	kv, _ := s.Get("a")
	require.Nil(t, kv)
	results, _, err := s.Transact([]*api.KVTxnOp{key(api.KVSet, "a", "1"), key(api.KVSet, "b", "2"), key(api.KVGet, "b", "")})
	require.NoError(t, err)
	require.Equal(t, "2", string(results[2].Value))
	require.Equal(t, results[0].ModifyIndex, results[1].ModifyIndex)
	_, _, err = s.Transact([]*api.KVTxnOp{key("odd", "a", "")})
	require.ErrorContains(t, err, "unknown KV operation")
}

func TestSessionLivesForTwoTTLsAfterItsRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := state.New("dc1")
		id, err := s.Open(api.SessionEntry{TTL: "10s", LockDelay: 15 * time.Second})
		require.NoError(t, err)
		lock := func(id string) bool {
			op := key(api.KVLock, "k", "mine")
			op.Session = id
			done, err := s.Write(op)
			require.NoError(t, err)
			return done
		}
		require.True(t, lock(id))
		time.Sleep(19 * time.Second)
		_, ok := s.Renew(id)
		require.True(t, ok)
		time.Sleep(19 * time.Second)
		kv, _ := s.Get("k")
		require.Equal(t, id, kv.Session)
		changed := s.Changed()
		time.Sleep(2 * time.Second)
		<-changed
		kv, _ = s.Get("k")
		require.Empty(t, kv.Session, "free")
		_, ok = s.Renew(id)
		require.False(t, ok)
		other, err := s.Open(api.SessionEntry{})
		require.NoError(t, err)
		require.False(t, lock(other), "its lock delay is not over")
		time.Sleep(15 * time.Second)
		require.True(t, lock(other))
		s.Close(other)
		all, _ := s.Sessions("")
		require.Empty(t, all)
	})
}

func TestSessionThatDeletesTakesItsKeysAlong(t *testing.T) {
	s := state.New("dc1")
	id, err := s.Open(api.SessionEntry{Behavior: api.SessionBehaviorDelete})
	require.NoError(t, err)
	op := key(api.KVLock, "k", "")
	op.Session = id
	_, err = s.Write(op)
	require.NoError(t, err)
	s.Close(id)
	kv, _ := s.Get("k")
	require.Nil(t, kv)
	_, err = s.Write(op)
	require.ErrorContains(t, err, "invalid session")
}
