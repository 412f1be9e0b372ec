package poolfile_test

import (
	"os"
	"strings"
	"testing"

	"github.com/gnlgo/gnl/ipvs/poolfile"
)

func TestWhatIpvsadmSavedReadsAndIsWrittenTheSame(t *testing.T) {
	// Saved by ipvsadm 1.31 on Linux 6.1.
	content, err := os.ReadFile("testdata/saved.ipvsadm")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(write(t, poolfile.IPVSAdm, read(t, poolfile.IPVSAdm, string(content))), "\n")
	for i, line := range strings.Split(string(content), "\n") {
		// It prints marks from 2³¹ on in a form that it does not read.
		line = strings.Replace(line, "-f -2147483648 ", "-f 2147483648 ", 1)
		line = strings.Replace(line, "-f -1 ", "-f 4294967295 ", 1)
		if got[i] != line {
			t.Errorf("line %d: saved as\n%s\nwritten as\n%s", i+1, line, got[i])
		}
	}
}

func TestLinesForIpvsadmMeanWhatItMakesOfThem(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"# nothing\n\n  # at all\n", ""},
		{"-C\n-A -f 1", "-A -f 1 -s wlc"},
		{"ipvsadm -A -f 1\n/sbin/ipvsadm -A -f 2", "-A -f 1 -s wlc\n-A -f 2 -s wlc"},
		{"\t-A  -f 1 # one\r\n", "-A -f 1 -s wlc"},
		{"-Af1", "-A -f 1 -s wlc"},
		{"-A -f=1 -srr", "-A -f 1 -s rr"},
		{"-s rr -f 1 -A", "-A -f 1 -s rr"},
		{"-A -f -1", "-A -f 4294967295 -s wlc"},
		{"-A -f 010", "-A -f 10 -s wlc"},
		{"-A -6 -f 1", "-A -f 1 -6 -s wlc"},
		{"-A -f 1 -p", "-A -f 1 -s wlc -p 360"},
		{"-A -f 1 -p -s rr", "-A -f 1 -s rr -p 360"},
		{"-A -f 1 -p300 -s rr", "-A -f 1 -s rr -p 300"},
		{"-A -t 10.0.0.1 -p 5", "-A -t 10.0.0.1:0 -s wlc -p 5"},
		{"-A -t 2001:DB8::1 -p 5", "-A -t [2001:db8::1]:0 -s wlc -p 5"},
		{"-A -t [2001:db8::1] -p 5", "-A -t [2001:db8::1]:0 -s wlc -p 5"},
		{"-A -f 1 -M 255.0.255.0", "-A -f 1 -s wlc -M 255.0.255.0"},
		{"-A -f 1 -M 255.255.255.255", "-A -f 1 -s wlc"},
		{"-A -f 1 -6 -M 128", "-A -f 1 -6 -s wlc"},
		{"-A -f 1 -b flag-1,flag-2 -s sh", "-A -f 1 -s sh -b sh-fallback,sh-port"},
		{"-A -f 1 -b flag-1,flag-3 -s rr", "-A -f 1 -s rr -b flag-1,flag-3"},
		{"-A -f 1 -s sh -b ", "-A -f 1 -s sh -b flag-3"},
		{"-A -f 1 -b flag-3,mh-port -s mh", "-A -f 1 -s mh -b mh-port,flag-3"},
		{
			"--add-service --sctp-service=10.0.0.1:80 --scheduler=rr --persistent=77 --netmask 255.255.0.0 --sched-flags flag-1",
			"-A --sctp-service 10.0.0.1:80 -s rr -p 77 -M 255.255.0.0 -b flag-1",
		},
		{
			"--add-service --udp-service 10.0.0.1:80 --persistent --pe sip --ops",
			"-A -u 10.0.0.1:80 -s wlc -p 360 --pe sip -o",
		},
		{"--add-service --fwmark-service 1 --ipv6", "-A -f 1 -6 -s wlc"},
		{
			"-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r 10.1.0.1",
			"-A -t 10.0.0.1:80 -s wlc\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 1",
		},
		{ // behind a mark the port may be 0
			"-A -f 1\n-a -f 1 -r 10.1.0.1\n-a -f 1 -r 10.1.0.2:80\n-a -f 1 -r [2001:db8::1]:80 -i",
			"-A -f 1 -s wlc\n-a -f 1 -r 10.1.0.1:0 -g -w 1\n-a -f 1 -r 10.1.0.2:80 -g -w 1\n-a -f 1 -r [2001:db8::1]:80 -i -w 1 --tun-type ipip",
		},
		{
			"-A -t 10.0.0.1:0 -p 1\n-a -t 10.0.0.1:0 -r 10.1.0.1:80 -m\n-a -t 10.0.0.1:0 -r 10.1.0.1 -g",
			"-A -t 10.0.0.1:0 -s wlc -p 1\n-a -t 10.0.0.1:0 -r 10.1.0.1:80 -m -w 1\n-a -t 10.0.0.1:0 -r 10.1.0.1:0 -g -w 1",
		},
		{ // lines of several services may be mixed
			"-A -f 1\n-A -f 2\n-a -f 1 -r 10.1.0.1 -mw5\n-a -f 2 -r 10.1.0.1 -w 0 -x 7 -y 5",
			"-A -f 1 -s wlc\n-a -f 1 -r 10.1.0.1:0 -m -w 5\n-A -f 2 -s wlc\n-a -f 2 -r 10.1.0.1:0 -g -w 0 -x 7 -y 5",
		},
		{
			"-A -f 1\n--add-server --fwmark-service 1 --real-server 10.1.0.1 --gatewaying --weight 5 --u-threshold 7 --l-threshold 3\n" +
				"-a -f 1 -r 10.1.0.2 --ipip --tun-type gue --tun-port 6080 --tun-nocsum\n-a -f 1 -r 10.1.0.3 --masquerading\n" +
				"-a -f 1 -r 10.1.0.4 --ipip --tun-type gre",
			"-A -f 1 -s wlc\n-a -f 1 -r 10.1.0.1:0 -g -w 5 -x 7 -y 3\n" +
				"-a -f 1 -r 10.1.0.2:0 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum\n-a -f 1 -r 10.1.0.3:0 -m -w 1\n" +
				"-a -f 1 -r 10.1.0.4:0 -i -w 1 --tun-type gre --tun-nocsum",
		},
	} {
		got := write(t, poolfile.IPVSAdm, read(t, poolfile.IPVSAdm, c.text))
		if strings.TrimSuffix(got, "\n") != c.want {
			t.Errorf("%s\nis\n%swant\n%s", c.text, got, c.want)
		}
	}
}

func TestAPortThatIpvsadmSavesButDoesNotRestoreReads(t *testing.T) {
	pools := read(t, poolfile.IPVSAdm, "-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -i")
	if got := pools[0].Destinations[0].Address.Port(); got != 8080 {
		t.Errorf("port %d", got)
	}
}
