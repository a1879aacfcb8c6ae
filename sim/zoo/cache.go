package zoo

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"example.com/app/platform/app"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/zoo/parts"
)

// staleCache is a cache whose entries are dropped when they are told to be, and
// then alone.
func staleCache() Bug {
	const current = "prices are current again after all is healed"
	return bug("stale-cache", "a cache entry stays for ever where the word that it is out of date was lost", current, func(planted bool) sim.Scenario {
		disk := new(parts.Disk)
		return sim.Scenario{
			Roles: []app.Role{
				shop(),
				parts.Backend("orders", quotes),
				parts.Backend("catalogue", func(env *app.Env) (app.Service, error) { return prices(env, disk, planted), nil }),
			},
			Fleet:    map[string]int{"gateway": 1, "orders": 3, "catalogue": 1},
			Arrivals: load.Poisson(20),
			Calls:    priced(30),
			Faults: among([]string{"orders", "catalogue"}, fault.Plan{
				Count: 7, Last: 6 * time.Second, Kinds: []fault.Kind{fault.LoseReply, fault.LoseRequest, fault.Duplicate, fault.SlowCalls, fault.Crash, fault.Restart, fault.RegistryDown},
			}),
			Check: fresh(disk, func(w *sim.World) { w.Always(current, newest(w)) }),
		}
	})
}

// priced is calls for so many items: of 7, one sets a price.
func priced(items int) []load.Call {
	var all []load.Call
	for i := range items {
		quote, set := load.Request(fmt.Sprintf("GET /quote/item-%d", i)), load.Request(fmt.Sprintf("POST /price/item-%d", i))
		quote.Weight, set.Weight = 6, 1
		all = append(all, quote, set)
	}
	return all
}

// shop is a gateway that asks the orders for prices, and has the catalogue set
// them.
func shop() app.Role {
	return parts.Gateway(patience, func(env *app.Env) (parts.Door, error) {
		orders, err := parts.Dial(env, "orders")
		if err != nil {
			return nil, err
		}
		catalogue, err := parts.Dial(env, "catalogue")
		return func(ctx context.Context, _ string, path []string) (string, error) {
			if path[0] == "price" {
				return catalogue.Ask(ctx, "Set", path[1])
			}
			return orders.Ask(ctx, "Quote", path[1])
		}, err
	})
}

// newest wants each price that is quoted, a while after all is healed, to be one
// that was not replaced a while before.
func newest(w *sim.World) func(app.Fact) error {
	const while = 3 * time.Second
	type price struct {
		version  int
		at       time.Duration
		previous int // the version before
	}
	prices := map[string]price{}
	return func(f app.Fact) error {
		version, err := strconv.Atoi(f.Value)
		last := prices[f.Key]
		if f.Name == "price.set" {
			prices[f.Key] = price{version, w.Time(), last.version}
			return err
		}
		due := last.version
		if w.Time() < last.at+while {
			due = last.previous
		}
		if w.Time() > w.Scenario.Duration+w.Scenario.Recovery && version < due {
			return fmt.Errorf("%s quoted price %d of %s, which has been %d for more than %v", f.Host, version, f.Key, due, while)
		}
		return err
	}
}

// prices is the role that keeps the prices and says which have changed. A price
// is the number of times it was set.
func prices(env *app.Env, disk *parts.Disk, planted bool) app.Service {
	var one sync.Mutex // there is one catalogue, which writes one at a time
	set := func(_ context.Context, words []string) (string, error) {
		one.Lock()
		defer one.Unlock()
		version := strconv.Itoa(disk.Write("price/"+words[0], "").Version)
		env.Fact("price.set", words[0], version)
		disk.Write("log", disk.Read("log").Value+" "+words[0])
		return version, nil
	}
	get := func(_ context.Context, words []string) (string, error) {
		return strconv.Itoa(disk.Read("price/" + words[0]).Version), nil
	}
	changes := func(_ context.Context, words []string) (string, error) {
		reader, from := "reader/"+words[0], words[1]
		if planted { // it remembers for the reader, who may not have got the answer
			from = disk.Read(reader).Value
		}
		log := strings.Fields(disk.Read("log").Value)
		read, err := strconv.Atoi("0" + from)
		if err != nil {
			return "", err
		}
		disk.Write(reader, strconv.Itoa(len(log)))
		return strings.Join(append([]string{strconv.Itoa(len(log))}, log[min(read, len(log)):]...), " "), nil
	}
	return parts.Service{Role: "catalogue", Methods: []parts.Method{{Name: "Set", Do: set}, {Name: "Get", Do: get}, {Name: "Changes", Do: changes}}}
}

// A cache keeps prices, and drops those that have changed.
type cache struct {
	mu     sync.Mutex
	prices map[string]string
	read   string // how much of the catalogue's log has been read
}

// get is the price of an item, if it is known, and what put wants to hear.
func (c *cache) get(item string) (price, read string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	price, ok = c.prices[item]
	return price, c.read, ok
}

// put keeps a price, unless something has changed since get: it may be that.
func (c *cache) put(item, price, read string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read == read {
		c.prices[item] = price
	}
}

// drop forgets what has changed.
func (c *cache) drop(read string, items []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = read
	for _, item := range items {
		delete(c.prices, item)
	}
}

// quotes is the role that keeps prices which it has asked for.
func quotes(env *app.Env) (app.Service, error) {
	catalogue, err := parts.Dial(env, "catalogue")
	known := &cache{prices: map[string]string{}, read: "0"}
	quote := func(ctx context.Context, words []string) (string, error) {
		price, read, ok := known.get(words[0])
		if !ok {
			var err error
			if price, err = catalogue.Ask(ctx, "Get", words[0]); err != nil {
				return "", err
			}
			known.put(words[0], price, read)
		}
		env.Fact("price.quoted", words[0], price)
		return price, nil
	}
	follow := func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		_, read, _ := known.get("")
		if text, err := catalogue.Ask(ctx, "Changes", env.Instance, read); err == nil {
			words := strings.Fields(text)
			known.drop(words[0], words[1:])
		}
	}
	return parts.Worker{
		Service: parts.Service{Role: "orders", Methods: []parts.Method{{Name: "Quote", Do: quote}}},
		Work: func(ctx context.Context) error {
			parts.Every(ctx, 200*time.Millisecond, func() { follow(ctx) })
			return nil
		},
	}, err
}
