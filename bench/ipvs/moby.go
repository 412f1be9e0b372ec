package main

import (
	"math"

	"github.com/moby/ipvs"
	"golang.org/x/sys/unix"
)

func newMoby(s scene) (*implementation, error) {
	c, err := ipvs.New("")
	if err != nil {
		return nil, err
	}
	services := make([]*ipvs.Service, s.Services)
	destinations := make([]*ipvs.Destination, 0, s.destinations())
	for i := range services {
		services[i] = &ipvs.Service{
			Address: s.service(i).AsSlice(), Port: servicePort, Protocol: unix.IPPROTO_TCP, AddressFamily: unix.AF_INET,
			Netmask: math.MaxUint32, SchedName: scheduler,
		}
		for j := range s.Each {
			destinations = append(destinations, &ipvs.Destination{
				Address: s.destination(i, j).AsSlice(), Port: destinationPort, AddressFamily: unix.AF_INET,
				Weight: s.weight(j), ConnectionFlags: ipvs.ConnectionFlagMasq,
			})
		}
	}
	return &implementation{
		add: func() error {
			for i, service := range services {
				if err := c.NewService(service); err != nil {
					return err
				}
				for _, d := range destinations[i*s.Each : (i+1)*s.Each] {
					if err := c.NewDestination(service, d); err != nil {
						return err
					}
				}
			}
			return nil
		},
		list: func() (int, int, error) {
			there, err := c.GetServices()
			if err != nil {
				return 0, 0, err
			}
			destinations := 0
			for _, service := range there {
				of, err := c.GetDestinations(service)
				if err != nil {
					return 0, 0, err
				}
				destinations += len(of)
			}
			return len(there), destinations, nil
		},
	}, nil
}
