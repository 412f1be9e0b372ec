package main

import (
	"time"

	"github.com/gnlgo/gnl/ipvs"
)

// The JSON of services and destinations has the keys of package poolfile.
type (
	serviceRecord struct {
		Protocol  string   `json:"protocol,omitempty"`
		Address   string   `json:"address,omitempty"`
		Mark      uint32   `json:"mark,omitempty"`
		Family    string   `json:"family,omitempty"` // of a service with a mark
		Scheduler string   `json:"scheduler"`
		Flags     []string `json:"flags,omitempty"`
		Timeout   int64    `json:"timeout,omitempty"` // in seconds
		Netmask   any      `json:"netmask,omitempty"` // of IPv4 a mask, of IPv6 the length of a prefix
		Engine    string   `json:"engine,omitempty"`
	}
	destinationRecord struct {
		Address        string        `json:"address"`
		Method         string        `json:"method"`
		Weight         uint32        `json:"weight"`
		UpperThreshold uint32        `json:"upper_threshold,omitempty"`
		LowerThreshold uint32        `json:"lower_threshold,omitempty"`
		Tunnel         *tunnelRecord `json:"tunnel,omitempty"`
	}
	tunnelRecord struct {
		Type  string   `json:"type"`
		Port  uint16   `json:"port,omitempty"`
		Flags []string `json:"flags,omitempty"`
	}
)

// What the kernel reports besides.
type (
	poolsRecord struct {
		Time  time.Time    `json:"time,omitzero"` // of the listing, where there are several
		Pools []poolRecord `json:"pools"`
	}
	poolRecord struct {
		Service      serviceStatusRecord       `json:"service"`
		Destinations []destinationStatusRecord `json:"destinations"`
	}
	serviceStatusRecord struct {
		serviceRecord
		Stats countersRecord `json:"stats"`
		Rates countersRecord `json:"rates"`
	}
	destinationStatusRecord struct {
		destinationRecord
		Active     uint32         `json:"active_connections"`
		Inactive   uint32         `json:"inactive_connections"`
		Persistent uint32         `json:"persistent_connections"`
		Stats      countersRecord `json:"stats"`
		Rates      countersRecord `json:"rates"`
	}
	countersRecord struct {
		Connections uint64 `json:"connections"`
		PacketsIn   uint64 `json:"packets_in"`
		PacketsOut  uint64 `json:"packets_out"`
		BytesIn     uint64 `json:"bytes_in"`
		BytesOut    uint64 `json:"bytes_out"`
	}
)

func newPoolsRecord(pools []ipvs.PoolStatus) poolsRecord {
	r := poolsRecord{Pools: make([]poolRecord, len(pools))}
	for i := range pools {
		r.Pools[i] = newPoolRecord(&pools[i])
	}
	return r
}

func newPoolRecord(p *ipvs.PoolStatus) poolRecord {
	s := &p.Service
	r := poolRecord{
		Service:      serviceStatusRecord{newServiceRecord(&s.Service), countersRecord(s.Stats), countersRecord(s.Rates)},
		Destinations: make([]destinationStatusRecord, len(p.Destinations)),
	}
	for i := range p.Destinations {
		d := &p.Destinations[i]
		r.Destinations[i] = destinationStatusRecord{newDestinationRecord(p.Service.ServiceID, &d.Destination),
			d.Active, d.Inactive, d.Persistent, countersRecord(d.Stats), countersRecord(d.Rates)}
	}
	return r
}

func newServiceRecord(s *ipvs.Service) serviceRecord {
	r := serviceRecord{Scheduler: s.Scheduler, Flags: (s.Flags &^ ipvs.Hashed).Names(s.Scheduler), Timeout: int64(s.Timeout / time.Second), Engine: s.Engine}
	if s.Mark != 0 || !s.Address.IsValid() {
		r.Mark, r.Family = s.Mark, s.Family.String()
	} else {
		r.Protocol, r.Address = s.Protocol.String(), s.Address.String()
	}
	switch {
	case !s.Netmask.IsValid():
	case s.Netmask.Is4():
		r.Netmask = s.Netmask.String()
	default:
		r.Netmask = ipvs.PrefixLength(s.Netmask)
	}
	return r
}

func newDestinationRecord(service ipvs.ServiceID, d *ipvs.Destination) destinationRecord {
	r := destinationRecord{Address: addressText(service, d.Address), Method: d.Method.String(), Weight: d.Weight,
		UpperThreshold: d.UpperThreshold, LowerThreshold: d.LowerThreshold}
	if t := d.Tunnel; t != (ipvs.Encapsulation{}) {
		r.Tunnel = &tunnelRecord{t.Type.String(), t.Port, t.Flags.Names()}
	}
	return r
}
