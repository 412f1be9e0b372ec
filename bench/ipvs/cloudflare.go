package main

import (
	"github.com/cloudflare/ipvs"
	"github.com/cloudflare/ipvs/netmask"
)

func newCloudflare(s scene) (*implementation, error) {
	c, err := ipvs.New()
	if err != nil {
		return nil, err
	}
	services := make([]ipvs.Service, s.Services)
	destinations := make([]ipvs.Destination, 0, s.destinations())
	for i := range services {
		services[i] = ipvs.Service{
			Address: s.service(i), Port: servicePort, Protocol: ipvs.TCP, Family: ipvs.INET,
			Netmask: netmask.MaskFrom(32, 32), Scheduler: scheduler,
		}
		for j := range s.Each {
			destinations = append(destinations, ipvs.Destination{
				Address: s.destination(i, j), Port: destinationPort, Family: ipvs.INET,
				Weight: uint32(s.weight(j)), FwdMethod: ipvs.Masquerade,
			})
		}
	}
	return &implementation{
		add: func() error {
			for i := range services {
				if err := c.CreateService(services[i]); err != nil {
					return err
				}
				for _, d := range destinations[i*s.Each : (i+1)*s.Each] {
					if err := c.CreateDestination(services[i], d); err != nil {
						return err
					}
				}
			}
			return nil
		},
		list: func() (int, int, error) {
			there, err := c.Services()
			if err != nil {
				return 0, 0, err
			}
			destinations := 0
			for i := range there {
				of, err := c.Destinations(there[i].Service)
				if err != nil {
					return 0, 0, err
				}
				destinations += len(of)
			}
			return len(there), destinations, nil
		},
	}, nil
}
