package poolfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"unicode/utf8"

	"github.com/gnlgo/gnl/ipvs"
)

// ReadFile reads the pools in a file, whose format its name or its content
// tells.
func ReadFile(name string) ([]ipvs.Pool, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f, Auto)
}

// Read reads pools, in their order. With [Auto], [DetectFormat] finds out the
// format. If r has a method Name, as an *os.File has, that name is looked at
// too and stands in errors.
//
// If anything is wrong, the error is an *[Errors] and there are no pools.
func Read(r io.Reader, f Format) ([]ipvs.Pool, error) {
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	rep := &report{}
	if named, ok := r.(interface{ Name() string }); ok {
		rep.file = named.Name()
	}
	if f == Auto {
		f = DetectFormat(rep.file, content)
	}
	if f != IPVSAdm && DetectFormat("", content) == Auto {
		// Of ipvsadm's text it is the way to say that there are no pools.
		rep.add(0, 0, "", errEmpty)
		return nil, rep.err()
	}
	content = bytes.TrimPrefix(content, byteOrderMark)

	var pools []ipvs.Pool
	switch f {
	case JSON:
		pools = decode(parseJSON(content, rep), rep)
	case YAML:
		pools = decode(parseYAML(content, rep), rep)
	case IPVSAdm:
		pools = readIPVSAdm(content, rep)
	default:
		return nil, fmt.Errorf("reading pools: %s is no format", f)
	}
	if err := rep.err(); err != nil {
		return nil, err
	}
	return pools, nil
}

var errEmpty = errors.New("the file is empty; for no pools at all write: pools: []")

// Write writes pools, in their order and in a form made to be read and edited.
// If they are not valid, or the format cannot hold them, the error is an
// *[Errors] that names them all, and nothing is written.
func Write(w io.Writer, f Format, pools []ipvs.Pool) error {
	rep := &report{}
	check(pools, rep)
	var b bytes.Buffer
	switch f {
	case JSON:
		printJSON(&b, encode(pools))
	case YAML:
		if err := printYAML(&b, pools); err != nil {
			return err
		}
	case IPVSAdm:
		writeIPVSAdm(&b, pools, rep)
	default:
		return fmt.Errorf("writing pools: %s is no format to write", f)
	}
	if err := rep.err(); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// check reports what Read would refuse.
func check(pools []ipvs.Pool, rep *report) {
	services := map[ipvs.ServiceID]int{}
	for i := range pools {
		service, at := &pools[i].Service, place{pool: i, destination: -1}
		err := service.Validate()
		if err == nil {
			err = checkText(service)
		}
		first, twice := services[key(service.ServiceID)]
		switch {
		case err != nil:
			rep.add(0, 0, at.field(keyOf(err)), err)
		case twice:
			rep.add(0, 0, at.field(""), fmt.Errorf("%s is in pools[%d] already", service.ServiceID, first))
		default:
			services[key(service.ServiceID)] = i
		}
		checkDestinations(&pools[i], i, rep)
	}
}

func checkDestinations(pool *ipvs.Pool, index int, rep *report) {
	addresses := map[netip.AddrPort]int{}
	for j := range pool.Destinations {
		d, at := &pool.Destinations[j], place{pool: index, destination: j}
		err := d.Validate(pool.Service.ServiceID)
		first, twice := addresses[d.Address]
		switch {
		case err != nil:
			rep.add(0, 0, at.field(keyOf(err)), err)
		case twice:
			rep.add(0, 0, at.field("address"), fmt.Errorf("%s is in destinations[%d] already", d.Address, first))
		default:
			addresses[d.Address] = j
		}
	}
}

// checkText refuses names that are no text: the formats are.
func checkText(s *ipvs.Service) error {
	for _, name := range []struct{ field, value string }{{"scheduler", s.Scheduler}, {"engine", s.Engine}} {
		if !utf8.ValidString(name.value) {
			return &ipvs.FieldError{Field: name.field, Why: fmt.Sprintf("%q is not UTF-8", name.value)}
		}
	}
	return nil
}

// key is the ID in the one form that is a key of maps: the family of an address
// may be given and may be left out.
func key(id ipvs.ServiceID) ipvs.ServiceID {
	if id.Mark == 0 {
		id.Family = 0
	}
	return id
}
