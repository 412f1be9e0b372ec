//go:build linux

package ipvs

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"testing"

	"github.com/gnlgo/gnl"
)

// What the tests of gnlpy, the Python library for IPVS, assert of its client,
// numbered A12 to A47: of a kernel, here, and of names and values in
// TestNamesAndValuesOfGnlpysCases. A37, A42 to A44 are about files of pools, see package
// poolfile. The other way round, what only this package does is in kernel_test.go.
func TestCasesOfGnlpy(t *testing.T) {
	udp := with(oneUDP, func(s *Service) { s.Flags = 0 })
	added := func(s Service) func(*testing.T, *Client) {
		return func(t *testing.T, c *Client) {
			must(t, c.AddService(t.Context(), s))
			mustRead(t, c, s)
			if all := services(t, c); len(all) != 1 || all[0].IPFamily() != s.IPFamily() {
				t.Errorf("%v", all)
			}
		}
	}
	withService := func(s Service, f func(*testing.T, *Client)) func(*testing.T, *Client) {
		return func(t *testing.T, c *Client) { must(t, c.AddService(t.Context(), s)); f(t, c) }
	}
	mark4, mark6 := marked(10, IPv4), marked(10, IPv6)
	for _, test := range []struct {
		name string
		do   func(*testing.T, *Client)
	}{
		{"A12 UDP", added(udp)},
		{"A13 UDP packet by packet", added(oneUDP)},
		{"A14 TCP packet by packet is refused by the client", func(t *testing.T, c *Client) {
			wantField(t, errors.Unwrap(c.AddService(t.Context(), with(one, func(s *Service) { s.Flags = OnePacket }))), "flags")
			if len(services(t, c)) != 0 {
				t.Error("it is there")
			}
		}},
		{"A15 A16 TCP", added(one)},
		{"A17 IPv6", added(v6)},
		{"A18 a destination is added, changed and removed", withService(one, func(t *testing.T, c *Client) {
			must(t, c.AddDestination(t.Context(), one.ServiceID, tunnelTo("2.2.2.1:80", 1)))
			must(t, c.AddDestination(t.Context(), one.ServiceID, tunnelTo("2.2.2.2:80", 100)))
			must(t, c.UpdateDestination(t.Context(), one.ServiceID, at("2.2.2.1:80"), DestinationUpdate{Weight: gnl.Some(uint32(50))}))
			mustReadDestination(t, c, one.ServiceID, tunnelTo("2.2.2.1:80", 50))
			must(t, c.RemoveDestination(t.Context(), one.ServiceID, at("2.2.2.1:80")))
			if got := servers(t, c, one.ServiceID); !slices.Equal(got, []string{"2.2.2.2:80"}) {
				t.Errorf("%v", got)
			}
		})},
		{"A19 A20 every method", withService(one, func(t *testing.T, c *Client) {
			for i, m := range []Method{Masquerade, Local, Tunnel, Route} {
				d := method(tunnelTo([]string{"2.2.2.1:80", "2.2.2.2:80", "2.2.2.3:80", "2.2.2.4:80"}[i], 1), m)
				must(t, c.AddDestination(t.Context(), one.ServiceID, d))
				mustReadDestination(t, c, one.ServiceID, d)
			}
		})},
		{"A21 A22 A23 ports of a server, the newest first", withService(one, func(t *testing.T, c *Client) {
			for _, a := range []string{"2.2.2.1:80", "2.2.2.1:8080", "2.2.2.1:8081"} {
				must(t, c.AddDestination(t.Context(), one.ServiceID, tunnelTo(a, 1)))
			}
			if got := servers(t, c, one.ServiceID); !slices.Equal(got, []string{"2.2.2.1:8081", "2.2.2.1:8080", "2.2.2.1:80"}) {
				t.Errorf("%v", got)
			}
		})},
		{"A24 A25 a destination of a mark has port 0", withService(mark4, func(t *testing.T, c *Client) {
			must(t, c.AddDestination(t.Context(), mark4.ServiceID, tunnelTo("2.2.2.1:0", 1)))
			must(t, c.SetDestination(t.Context(), mark4.ServiceID, tunnelTo("2.2.2.1:0", 2)))
			mustBe(t, c.RemoveDestination(t.Context(), mark4.ServiceID, at("2.2.2.1:80")), fs.ErrNotExist)
			mustReadDestination(t, c, mark4.ServiceID, tunnelTo("2.2.2.1:0", 2))
			must(t, c.RemoveDestination(t.Context(), mark4.ServiceID, at("2.2.2.1:0")))
			if got := servers(t, c, mark4.ServiceID); len(got) != 0 {
				t.Errorf("%v", got)
			}
		})},
		{"A26 a mark of IPv4", added(mark4)},
		{"A27 a mark of IPv6", added(mark6)},
		{"A28 a mark twice", withService(mark4, func(t *testing.T, c *Client) {
			mustBe(t, c.AddService(t.Context(), mark4), fs.ErrExist)
		})},
		{"A29 a mark of both families", withService(mark4, func(t *testing.T, c *Client) {
			must(t, c.AddService(t.Context(), mark6))
			if all := services(t, c); len(all) != 2 {
				t.Errorf("%v", all)
			}
		})},
		{"A30 a mark of the other family is another", func(t *testing.T, c *Client) {
			for _, pair := range [][2]Service{{mark4, mark6}, {mark6, mark4}} {
				must(t, c.AddService(t.Context(), pair[0]))
				mustBe(t, c.RemoveService(t.Context(), pair[1].ServiceID), fs.ErrNotExist)
				must(t, c.RemoveService(t.Context(), pair[0].ServiceID))
			}
		}},
		{"A31 A33 flush", withService(one, func(t *testing.T, c *Client) {
			must(t, c.AddService(t.Context(), v6))
			must(t, c.AddDestination(t.Context(), one.ServiceID, tunnelTo("2.2.2.1:80", 1)))
			must(t, c.AddDestination(t.Context(), v6.ServiceID, tunnelTo("[2001:db8::2]:80", 1)))
			if a, b := servers(t, c, one.ServiceID), servers(t, c, v6.ServiceID); len(services(t, c)) != 2 || len(a) != 1 || len(b) != 1 {
				t.Errorf("%v, %v", a, b)
			}
			must(t, c.Flush(t.Context()))
			if all := services(t, c); len(all) != 0 {
				t.Errorf("%v", all)
			}
		})},
		{"A34 one service, or none", withService(one, func(t *testing.T, c *Client) {
			if got, err := c.Service(t.Context(), one.ServiceID); err != nil || got.Service != one {
				t.Errorf("%#v, %v", got, err)
			}
			_, err := c.Service(t.Context(), missing)
			mustBe(t, err, fs.ErrNotExist)
		})},
		{"A35 A36 the destinations of a service, or none", withService(one, func(t *testing.T, c *Client) {
			for _, a := range []string{"2.2.2.1:80", "2.2.2.2:80"} {
				must(t, c.AddDestination(t.Context(), one.ServiceID, tunnelTo(a, 10)))
			}
			there := destinations(t, c, one.ServiceID)
			if len(there) != 2 {
				t.Errorf("%d destinations", len(there))
			}
			for _, d := range there {
				if d.Weight != 10 || d.Method != Tunnel {
					t.Errorf("%#v", d)
				}
			}
			all, err := gnl.Collect(c.Destinations(t.Context(), missing))
			mustBe(t, err, fs.ErrNotExist) // where gnlpy has an empty list
			if len(all) != 0 {
				t.Errorf("%v", all)
			}
		})},
		{"A38 TCP and UDP of one address", withService(one, func(t *testing.T, c *Client) {
			must(t, c.AddService(t.Context(), udp))
			mustRead(t, c, one)
			mustRead(t, c, udp)
		})},
	} {
		t.Run(test.name, func(t *testing.T) { test.do(t, kernel(t)) })
	}
}

func TestNamesAndValuesOfGnlpysCases(t *testing.T) {
	t.Run("A39 A46 A47 protocols", func(t *testing.T) {
		for name, number := range map[string]Protocol{"tcp": 6, "UDP": 17, "Tcp": 6} {
			var p Protocol
			if err := p.UnmarshalText([]byte(name)); err != nil || p != number {
				t.Errorf("%s is %d, %v", name, p, err)
			}
		}
		var p Protocol
		if p.UnmarshalText([]byte("nosuch")) == nil || TCP.String() != "tcp" || UDP.String() != "udp" {
			t.Error(p)
		}
	})
	t.Run("A40 destinations are compared whole", func(t *testing.T) {
		a, b := tunnelTo("2.2.2.1:80", 1), tunnelTo("2.2.2.1:80", 1)
		if a != b || a == tunnelTo("2.2.2.1:80", 2) || a == tunnelTo("2.2.2.1:81", 1) || a == method(a, Route) {
			t.Error("they are not")
		}
	})
	t.Run("A41 what is refused", func(t *testing.T) {
		for field, d := range map[string]Destination{
			"address": {Weight: 1}, "weight": tunnelTo("2.2.2.1:80", 1<<32-2), "method": method(tunnelTo("2.2.2.1:80", 1), 10),
		} {
			wantField(t, d.Validate(one.ServiceID), field)
			mustBe(t, d.Validate(one.ServiceID), syscall.EINVAL)
		}
	})
	t.Run("A45 addresses", func(t *testing.T) {
		for text, is := range map[string]bool{"tcp:[::1]:80": true, "tcp:[A::1]:80": true, "tcp:1.1.1.1:80": true, "tcp:[Z::1]:80": false, "tcp:323.1.1.1:80": false} {
			if _, err := ParseServiceID(text); (err == nil) != is {
				t.Errorf("%s: %v", text, err)
			}
		}
	})
}
