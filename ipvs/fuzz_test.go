//go:build linux

package ipvs

import (
	"testing"

	"github.com/gnlgo/gnl/attr"
)

// Whatever a kernel answers is shown, or is an error; what is shown can be asked
// about, and says the same when it is decoded into memory that has been used.
func FuzzDecode(f *testing.F) {
	for _, o := range recording(f) {
		for i, m := range o.replies(f) {
			if i < 12 {
				f.Add(m.Attributes)
			}
		}
	}
	var (
		usedService     serviceReply
		usedDestination destinationReply
		usedStatus      ServiceStatus
		usedServer      DestinationStatus
	)
	f.Fuzz(func(t *testing.T, b []byte) {
		var service serviceReply
		if err := attr.Unmarshal(b, &service); err == nil {
			var s ServiceStatus
			service.load(&s)
			if err := attr.Unmarshal(b, &usedService); err != nil {
				t.Fatal(err)
			}
			usedService.load(&usedStatus)
			if s != usedStatus {
				t.Errorf("%#v in new memory, %#v in used", s, usedStatus)
			}
			_ = s.ServiceID.String()
			_ = s.Flags.Names(s.Scheduler)
			if s.Validate() == nil {
				var key serviceKey
				key.set(&s.ServiceID)
				var w wholeService
				w.set(&s.Service, ^ServiceFlags(0))
				encoded, err := attr.Marshal(&struct {
					Service wholeService `nl:"1"`
				}{w})
				if err != nil {
					t.Fatal(err)
				}
				var back serviceReply
				if err := attr.Unmarshal(encoded, &back); err != nil {
					t.Fatal(err)
				}
				var again ServiceStatus
				back.load(&again)
				if again.Service != s.Service {
					t.Errorf("%#v came back as %#v", s.Service, again.Service)
				}
			}
		}
		var destination destinationReply
		if err := attr.Unmarshal(b, &destination); err != nil {
			return
		}
		var d DestinationStatus
		err := destination.load(&d, IPv6)
		if again := attr.Unmarshal(b, &usedDestination); again != nil {
			t.Fatal(again)
		}
		if again := usedDestination.load(&usedServer, IPv6); (again != nil) != (err != nil) || err == nil && d != usedServer {
			t.Errorf("%#v, %v in new memory, %#v, %v in used", d, err, usedServer, again)
		}
		_ = d.Method.String() + d.Tunnel.Flags.String()
		_ = d.Validate(one.ServiceID)
		var w daemonMessage
		if attr.Unmarshal(b, &w) == nil {
			_ = w.Daemon.daemon()
		}
	})
}
