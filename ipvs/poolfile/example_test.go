package poolfile_test

import (
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/gnlgo/gnl/ipvs/poolfile"
)

func ExampleRead() {
	pools, err := poolfile.Read(strings.NewReader(`
pools:
  - service: {protocol: tcp, address: 10.0.0.1:80, scheduler: wrr}
    destinations:
      - {address: 10.1.0.5:8080, method: masquerade}
      - {address: 10.1.0.6:8080, method: masquerade, weight: 3}
`), poolfile.Auto)
	if err != nil {
		log.Fatal(err)
	}
	for _, pool := range pools {
		fmt.Println(pool.Service.ServiceID)
		for _, d := range pool.Destinations {
			fmt.Println("  ", d.Address, d.Method, d.Weight)
		}
	}
	// Output:
	// tcp:10.0.0.1:80
	//    10.1.0.5:8080 masquerade 1
	//    10.1.0.6:8080 masquerade 3
}

// Everything that is wrong is said at once, with its place.
func ExampleErrors() {
	_, err := poolfile.Read(strings.NewReader(`
- service: {protocol: tcp, address: 10.0.0.1:80, sheduler: wrr}
  destinations:
    - {address: 10.1.0.5:8080}
    - {address: 10.1.0.6:8080, method: masquerade, weight: heavy}
`), poolfile.YAML)
	fmt.Println(err)
	// Output:
	// 2:50: pools[0].service: unknown key "sheduler"; did you mean "scheduler"?
	// 4:7: pools[0].destinations[0].method: missing: masquerade, route, tunnel, local or bypass
	// 5:60: pools[0].destinations[1].weight: is text, and should be a number from 0 to 2147483647, without quotes
}

// What ipvsadm has saved becomes YAML.
func ExampleWrite() {
	pools, err := poolfile.Read(strings.NewReader(`
-A -t 10.0.0.1:80 -s wrr -p 300
-a -t 10.0.0.1:80 -r 10.1.0.5:80 -g -w 1
-A -f 10 -6 -s sh -b sh-port
-a -f 10 -6 -r [2001:db8::5]:0 -i -w 2 --tun-type gue --tun-port 6080 --tun-nocsum
`), poolfile.IPVSAdm)
	if err != nil {
		log.Fatal(err)
	}
	if err := poolfile.Write(os.Stdout, poolfile.YAML, pools); err != nil {
		log.Fatal(err)
	}
	// Output:
	// pools:
	//   - service:
	//       protocol: tcp
	//       address: 10.0.0.1:80
	//       scheduler: wrr
	//       flags: [persistent]
	//       timeout: 5m
	//     destinations:
	//       - address: 10.1.0.5:80
	//         method: route
	//         weight: 1
	//   - service:
	//       mark: 10
	//       family: ipv6
	//       scheduler: sh
	//       flags: [sh-port]
	//     destinations:
	//       - address: 2001:db8::5
	//         method: tunnel
	//         weight: 2
	//         tunnel: {type: gue, port: 6080}
}
