package main

import (
	"context"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/ipvs"
)

// newApply is gnl as most will use it: pools that apply themselves, and lists into memory of the caller's.
func newApply(s scene) (*implementation, error) {
	c, err := open()
	if err != nil {
		return nil, err
	}
	ctx, pools := context.Background(), s.pools()
	return &implementation{
		add: func() error {
			_, err := c.Apply(ctx, pools, nil)
			return err
		},
		list: func() (int, int, error) { return stream(ctx, c, nil) },
	}, nil
}

// newBatch is gnl without the plan: what Apply costs over the changes alone.
func newBatch(s scene) (*implementation, error) {
	c, err := open()
	if err != nil {
		return nil, err
	}
	ctx, pools := context.Background(), s.pools()
	return &implementation{
		add: func() error {
			b := c.Batch()
			for i := range pools {
				p := &pools[i]
				b.AddService(p.Service)
				for _, d := range p.Destinations {
					b.AddDestination(p.Service.ServiceID, d)
				}
				if b.Len() < 1000 && i < len(pools)-1 {
					continue
				}
				if err := b.Do(ctx); err != nil {
					return err
				}
				b.Reset()
			}
			return nil
		},
		list: func() (services, destinations int, err error) {
			for p, err := range c.Pools(ctx) {
				if err != nil {
					return services, destinations, err
				}
				services++
				destinations += len(p.Destinations)
			}
			return services, destinations, nil
		},
	}, nil
}

func open() (*ipvs.Client, error) {
	g, err := gnl.Open(nil) // until the process ends
	if err != nil {
		return nil, err
	}
	return ipvs.New(g), nil
}

// stream lists everything and keeps nothing. It calls each, if there is one, after every service.
func stream(ctx context.Context, c *ipvs.Client, each func()) (services, destinations int, err error) {
	var (
		s ipvs.ServiceStatus
		d ipvs.DestinationStatus
	)
	for _, err := range c.ServicesInto(ctx, &s) {
		if err != nil {
			return services, destinations, err
		}
		services++
		for _, err := range c.DestinationsInto(ctx, s.ServiceID, &d) {
			if err != nil {
				return services, destinations, err
			}
			destinations++
		}
		if each != nil {
			each()
		}
	}
	return services, destinations, nil
}
