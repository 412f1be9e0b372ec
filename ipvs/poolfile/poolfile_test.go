package poolfile_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/ipvs/poolfile"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

var formats = []poolfile.Format{poolfile.JSON, poolfile.YAML, poolfile.IPVSAdm}

func write(t testing.TB, format poolfile.Format, pools []ipvs.Pool) string {
	t.Helper()
	var b bytes.Buffer
	if err := poolfile.Write(&b, format, pools); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func read(t testing.TB, format poolfile.Format, text string) []ipvs.Pool {
	t.Helper()
	pools, err := poolfile.Read(strings.NewReader(text), format)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return pools
}

func TestWhatIsWrittenReadsBackEqual(t *testing.T) {
	for _, format := range formats {
		t.Run(format.String(), func(t *testing.T) {
			r := seeded(t)
			for range 2000 {
				pools := randomPools(r, format)
				text := write(t, format, pools)
				got := read(t, format, text)
				if d := difference(got, pools); d != "" {
					t.Fatalf("%s\n%s", d, text)
				}
				if again := write(t, format, got); again != text {
					t.Fatal("written again it differs:", cmp.Diff(text, again))
				}
			}
		})
	}
}

func TestTheFormatOfWhatIsWrittenIsDetected(t *testing.T) {
	r := seeded(t)
	for range 100 {
		pools := append(randomPools(r, poolfile.IPVSAdm), ipvs.Pool{Service: ipvs.Service{ServiceID: ipvs.Marked(7, ipvs.IPv4), Scheduler: "rr"}})
		for _, format := range formats {
			text := write(t, format, pools)
			if got := poolfile.DetectFormat("", []byte(text)); got != format {
				t.Errorf("%s is taken for %s:\n%s", format, got, text)
			}
		}
	}
}

func TestTheFormatIsKnownByNameOrContent(t *testing.T) {
	for _, c := range []struct {
		name, content string
		want          poolfile.Format
	}{
		{"pools.json", "", poolfile.JSON},
		{"pools.YAML", "[]", poolfile.YAML},
		{"a.b/pools.yml", "[]", poolfile.YAML},
		{"/etc/ipvsadm.rules", "", poolfile.IPVSAdm},
		{"x.ipvsadm", "", poolfile.IPVSAdm},
		{"pools.txt", "[]", poolfile.JSON},
		{"", " \n\t{", poolfile.JSON},
		{"", "\xef\xbb\xbf[", poolfile.JSON},
		{"", "# of today\n\n  -A -t 10.0.0.1:80", poolfile.IPVSAdm},
		{"", "-a -t 10.0.0.1:80", poolfile.IPVSAdm},
		{"", "-At 10.0.0.1:80", poolfile.IPVSAdm},
		{"", "--add-service -t 10.0.0.1:80", poolfile.IPVSAdm},
		{"", "ipvsadm -A", poolfile.IPVSAdm},
		{"", "/sbin/ipvsadm -A", poolfile.IPVSAdm},
		{"", "-C", poolfile.IPVSAdm},
		{"", "- service:", poolfile.YAML},
		{"", "-\n  service:", poolfile.YAML},
		{"", "-A: 5", poolfile.YAML},
		{"", "---\n", poolfile.YAML},
		{"", "--- # pools", poolfile.YAML},
		{"", "%YAML 1.2", poolfile.YAML},
		{"", "pools:", poolfile.YAML},
		{"", "# nothing\n\n", poolfile.Auto},
		{"", "", poolfile.Auto},
	} {
		if got := poolfile.DetectFormat(c.name, []byte(c.content)); got != c.want {
			t.Errorf("DetectFormat(%q, %q) = %s, want %s", c.name, c.content, got, c.want)
		}
	}
}

func TestFormatsAreParsedByName(t *testing.T) {
	for _, format := range append(formats, poolfile.Auto) {
		if got, err := poolfile.ParseFormat(format.String()); got != format || err != nil {
			t.Errorf("%s is parsed as %s, %v", format, got, err)
		}
	}
	if got, err := poolfile.ParseFormat("YML"); got != poolfile.YAML || err != nil {
		t.Errorf("YML is parsed as %s, %v", got, err)
	}
	if _, err := poolfile.ParseFormat("toml"); err == nil || err.Error() != `format "toml": not json, yaml, ipvsadm or auto` {
		t.Error(err)
	}
	if got := poolfile.Format(9).String(); got != "Format(9)" {
		t.Error(got)
	}
	if _, err := poolfile.Read(strings.NewReader("x"), 9); err == nil {
		t.Error("format 9 can be read")
	}
	if err := poolfile.Write(io.Discard, poolfile.Auto, nil); err == nil {
		t.Error("format auto can be written")
	}
}

// everyField is what all three formats can hold.
func everyField() []ipvs.Pool {
	address := netip.MustParseAddrPort
	return []ipvs.Pool{{
		Service: ipvs.Service{
			ServiceID: ipvs.Virtual(ipvs.TCP, address("10.0.0.1:80")),
			Scheduler: "sh",
			Flags:     ipvs.Persistent | ipvs.Hashed | ipvs.SHPort | ipvs.SHFallback,
			Timeout:   90 * time.Minute,
			Netmask:   ipvs.PrefixMask(ipvs.IPv4, 24),
		},
		Destinations: []ipvs.Destination{
			{Address: address("10.1.0.5:8080"), Weight: 1},
			{Address: address("10.1.0.6:80"), Weight: 0, Method: ipvs.Route, UpperThreshold: 1000, LowerThreshold: 800},
			{Address: address("10.1.0.7:80"), Weight: 5, Method: ipvs.Tunnel},
			{Address: address("10.1.0.8:80"), Weight: 5, Method: ipvs.Tunnel,
				Tunnel: ipvs.Encapsulation{Type: ipvs.GUE, Port: 6080, Flags: ipvs.RemoteChecksum}},
			{Address: address("[2001:db8::8]:80"), Weight: 5, Method: ipvs.Tunnel, UpperThreshold: 7,
				Tunnel: ipvs.Encapsulation{Type: ipvs.GRE, Flags: ipvs.Checksum}},
		},
	}, {
		Service: ipvs.Service{
			ServiceID: ipvs.Virtual(ipvs.UDP, address("[2001:db8::1]:0")),
			Scheduler: "rr",
			Flags:     ipvs.Persistent | ipvs.OnePacket | ipvs.SchedulerFlag3,
			Timeout:   45 * time.Second,
			Netmask:   ipvs.PrefixMask(ipvs.IPv6, 64),
			Engine:    "sip",
		},
		Destinations: []ipvs.Destination{
			{Address: address("[2001:db8::5]:0"), Weight: 1, Method: ipvs.Route},
			{Address: address("[2001:db8::6]:53"), Weight: 1},
		},
	}, {
		Service:      ipvs.Service{ServiceID: ipvs.Virtual(ipvs.SCTP, address("10.0.0.1:80")), Scheduler: "wlc"},
		Destinations: []ipvs.Destination{},
	}, {
		Service: ipvs.Service{ServiceID: ipvs.Marked(10, ipvs.IPv4), Scheduler: "mh", Flags: ipvs.MHPort},
		Destinations: []ipvs.Destination{
			{Address: address("10.1.0.5:0"), Weight: 1, Method: ipvs.Route},
			{Address: address("10.1.0.5:80"), Weight: 1, Method: ipvs.Tunnel},
		},
	}, {
		Service: ipvs.Service{ServiceID: ipvs.Marked(4294967295, ipvs.IPv6), Scheduler: "rr"},
	}}
}

func TestWrittenFilesLookAsTheyAlwaysDid(t *testing.T) {
	for _, format := range formats {
		name := filepath.Join("testdata", "pools."+format.String())
		text := write(t, format, everyField())
		if *update {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), text); d != "" {
			t.Errorf("%s (-file +written); -update keeps it:\n%s", name, d)
		}
		pools, err := poolfile.ReadFile(name)
		if err != nil {
			t.Error(err)
		} else if d := difference(pools, everyField()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestAFileByHandMayLeaveOutWhatGoesWithoutSaying(t *testing.T) {
	pools, err := poolfile.ReadFile(filepath.Join("testdata", "by-hand.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := poolfile.ReadFile(filepath.Join("testdata", "by-hand.json"))
	if err != nil {
		t.Fatal(err)
	}
	if d := difference(pools, want); d != "" {
		t.Error(d)
	}
}

func TestNothingIsWrittenOfPoolsThatAFormatCannotHold(t *testing.T) {
	address := netip.MustParseAddrPort
	web := ipvs.Service{ServiceID: ipvs.Virtual(ipvs.TCP, address("10.0.0.1:80")), Scheduler: "rr"}
	pool := func(change func(s *ipvs.Service, d *ipvs.Destination)) []ipvs.Pool {
		d := ipvs.Destination{Address: address("10.1.0.5:80"), Weight: 1}
		s := web
		change(&s, &d)
		return []ipvs.Pool{{Service: s, Destinations: []ipvs.Destination{d}}}
	}
	for _, c := range []struct {
		format poolfile.Format
		change func(s *ipvs.Service, d *ipvs.Destination)
		want   string
	}{
		{poolfile.YAML, func(s *ipvs.Service, d *ipvs.Destination) { s.Scheduler = "" },
			"pools[0].service.scheduler: missing; rr and wlc are the usual ones"},
		{poolfile.JSON, func(s *ipvs.Service, d *ipvs.Destination) { s.Scheduler = "\xff" },
			`pools[0].service.scheduler: "\xff" is not UTF-8`},
		{poolfile.JSON, func(s *ipvs.Service, d *ipvs.Destination) { d.Weight = 1 << 31; s.Address = address("10.0.0.1:0") },
			"pools[0].service.address: port 0 stands for all ports, which needs persistence\n" +
				"pools[0].destinations[0].weight: 2147483648 is more than 2147483647"},
		{poolfile.IPVSAdm, func(s *ipvs.Service, d *ipvs.Destination) { s.Timeout = time.Minute },
			"pools[0].service.timeout: ipvsadm sets one for persistent services alone"},
		{poolfile.IPVSAdm, func(s *ipvs.Service, d *ipvs.Destination) { s.Flags = ipvs.Persistent },
			"pools[0].service.timeout: ipvsadm takes 1 second to 31 days, not 0s"},
		{poolfile.IPVSAdm, func(s *ipvs.Service, d *ipvs.Destination) {
			s.Flags, s.Timeout = ipvs.Persistent, 745*time.Hour
		}, "pools[0].service.timeout: ipvsadm takes 1 second to 31 days, not 745h0m0s"},
		{poolfile.IPVSAdm, func(s *ipvs.Service, d *ipvs.Destination) { s.Scheduler, s.Engine = "a b", "#" },
			"pools[0].service.scheduler: ipvsadm takes no blanks: \"a b\"\n" +
				"pools[0].service.engine: ipvsadm takes no blanks: \"#\""},
		{poolfile.IPVSAdm, func(s *ipvs.Service, d *ipvs.Destination) { d.Method = ipvs.Local },
			"pools[0].destinations[0].method: ipvsadm has no option for local"},
		{poolfile.IPVSAdm, func(s *ipvs.Service, d *ipvs.Destination) { d.Method = ipvs.Bypass },
			"pools[0].destinations[0].method: ipvsadm has no option for bypass"},
		{poolfile.IPVSAdm, func(s *ipvs.Service, d *ipvs.Destination) {
			d.Method, d.Address = ipvs.Route, address("10.1.0.5:8080")
		}, "pools[0].destinations[0].address: ipvsadm uses the service's port, 80, with the method route"},
		{poolfile.IPVSAdm, func(s *ipvs.Service, d *ipvs.Destination) {
			d.Method, d.Tunnel = ipvs.Tunnel, ipvs.Encapsulation{Type: ipvs.GUE, Port: 1, Flags: 3}
		}, "pools[0].destinations[0].tunnel.flags: ipvsadm takes one of csum and remcsum"},
	} {
		var b bytes.Buffer
		err := poolfile.Write(&b, c.format, pool(c.change))
		var all *poolfile.Errors
		if !errors.As(err, &all) || err.Error() != c.want {
			t.Errorf("%s:\n%v\nwant:\n%s", c.format, err, c.want)
		}
		if b.Len() > 0 {
			t.Errorf("written in spite of %v:\n%s", err, &b)
		}
	}

	twice := append(pool(func(*ipvs.Service, *ipvs.Destination) {}), pool(func(s *ipvs.Service, _ *ipvs.Destination) { s.Family = ipvs.IPv4 })...)
	twice[0].Destinations = append(twice[0].Destinations, twice[0].Destinations[0])
	want := "pools[0].destinations[1].address: 10.1.0.5:80 is in destinations[0] already\n" +
		"pools[1].service: tcp:10.0.0.1:80 is in pools[0] already"
	if err := poolfile.Write(io.Discard, poolfile.JSON, twice); err == nil || err.Error() != want {
		t.Errorf("%v\nwant:\n%s", err, want)
	}
}

func TestAnErrorLeadsToItsFieldAndErrno(t *testing.T) {
	_, err := poolfile.Read(strings.NewReader("- service: {mark: 0, scheduler: rr}\n"), poolfile.Auto)
	var one *poolfile.Error
	if !errors.As(err, &one) || one.Line != 1 || one.Column != 19 || one.Path != "pools[0].service.mark" {
		t.Errorf("%+v", one)
	}
	var field *ipvs.FieldError
	if !errors.As(err, &field) || field.Field != "mark" {
		t.Errorf("%+v", field)
	}
	if !errors.Is(err, syscall.EINVAL) {
		t.Errorf("%v is not EINVAL", err)
	}
}

func TestErrorsBeginWithTheNameOfTheFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pools.yaml")
	for content, want := range map[string]string{
		"pools: [5]\n": ":1:9: pools[0]: is a number, and should be an object with the keys service, destinations",
		"# none\n":     ": the file is empty; for no pools at all write: pools: []",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := poolfile.ReadFile(name); err == nil || err.Error() != name+want {
			t.Errorf("%v\nwant:\n%s", err, name+want)
		}
	}
	if _, err := poolfile.ReadFile(name + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestNotMoreThanTwentyErrorsAreReported(t *testing.T) {
	_, err := poolfile.Read(strings.NewReader("pools:\n"+strings.Repeat("- 5\n", 50)), poolfile.YAML)
	var all *poolfile.Errors
	if !errors.As(err, &all) || len(all.Errors) != 20 || all.Omitted != 30 {
		t.Fatal(err)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 21 || lines[20] != "and 30 more errors" {
		t.Error(err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error)  { return 0, io.ErrUnexpectedEOF }
func (broken) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestErrorsOfReadingAndWritingComeBack(t *testing.T) {
	if _, err := poolfile.Read(broken{}, poolfile.JSON); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if err := poolfile.Write(broken{}, poolfile.JSON, nil); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}

func FuzzJSON(f *testing.F)    { fuzz(f, poolfile.JSON) }
func FuzzYAML(f *testing.F)    { fuzz(f, poolfile.YAML) }
func FuzzIPVSAdm(f *testing.F) { fuzz(f, poolfile.IPVSAdm) }

// fuzz finds out that nothing panics and that what reads, writes and reads back
// equal.
func fuzz(f *testing.F, format poolfile.Format) {
	files, err := filepath.Glob("testdata/*." + format.String())
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	for _, c := range mistakes {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		pools, err := poolfile.Read(bytes.NewReader(content), format)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		var b strings.Builder
		if err := poolfile.Write(&b, format, pools); err != nil {
			// ipvsadm -S prints a port that ipvsadm -R does not take.
			for _, line := range strings.Split(err.Error(), "\n") {
				if format != poolfile.IPVSAdm || !strings.Contains(line, "uses the service's port") && !strings.HasSuffix(line, "more errors") {
					t.Error(line)
				}
			}
			return
		}
		if d := difference(read(t, format, b.String()), pools); d != "" {
			t.Error(d)
		}
	})
}
