package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// names are the implementations apart from gnl, in the order of the table.
var names = []string{"raw", "batch", "cloudflare", "moby", "ipvsadm"}

// results is what measure finds out in one kernel.
type results struct {
	Kernel    string
	Processor string
	CPUs      int
	Go        string
	Versions  []string

	Full  figures // at full scale: one round takes minutes
	Short figures // at a tenth of it or less, in several rounds

	// What a list allocates, and what it adds to the heap, at full scale and at a tenth of it.
	Few, Many memory
}

// memory is what a list of so many destinations takes.
type memory struct {
	Destinations int
	Bytes, Peak  uint64
}

// figures are what comes out at one scale. Times are in nanoseconds a destination.
type figures struct {
	Scene  scene
	Rounds int

	Gnl   series
	Peers map[string]*series

	// What gnl's Apply takes for pools that are there: as they are, with 1 % changed, and with half of them pruned.
	Again, Change, Prune      []float64
	AgainRatios, ChangeRatios []float64 // to a list right before
	Changed, Pruned           int       // destinations
}

// A series is one implementation.
type series struct {
	Add, List             []float64
	AddRatios, ListRatios []float64 // to gnl's right before it
	AddAllocs, ListAllocs float64   // a destination, in the last round
	Err                   string    `json:",omitempty"` // why it has no figures
}

func measureMain(arguments []string) error {
	flags := flag.NewFlagSet("measure", flag.ContinueOnError)
	res := results{CPUs: runtime.NumCPU(), Go: runtime.Version(), Processor: processor(), Versions: append(versions(), ipvsadmVersion())}
	services := flags.Int("services", 1000, "services at full scale")
	short := flags.Int("short", 100, "services in the rounds")
	each := flags.Int("each", 100, "destinations a service")
	rounds := flags.Int("rounds", 5, "rounds, of whose ratios the table has the median")
	out := flags.String("out", "", "write the results to this `file`")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	res.Short = figures{Scene: scene{*short, *each}, Rounds: *rounds, Peers: map[string]*series{}}
	res.Full = figures{Scene: scene{*services, *each}, Rounds: 1, Peers: map[string]*series{}}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	res.Kernel = "Linux " + unix.ByteSliceToString(name.Release[:])
	if lab := os.Getenv("GNL_LAB"); lab == "uml" {
		res.Kernel += ", User-Mode Linux"
	} else if lab != "" {
		res.Kernel += ", emulated by QEMU"
	}
	// The machine comes by its memory the first time that it touches it, which is to be nobody's affair.
	if _, err := run("gnl", res.Full.Scene, "add", "list"); err != nil {
		return err
	}
	for _, part := range []func() error{res.Short.measure, res.Full.measure, res.memory} {
		if err := part(); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(&res, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(text, '\n'), 0o644)
}

func (f *figures) measure() error {
	for _, name := range names {
		f.Peers[name] = &series{}
	}
	for round := range f.Rounds {
		for i := range names {
			// Machines get faster and slower. So everybody has a gnl right before it to be compared to, and whoever comes
			// first in this round comes last in the next.
			name := names[(i+round)%len(names)]
			if err := f.pair(name); err != nil {
				return err
			}
			fmt.Printf("%d destinations, round %d of %d: %s\n", f.Scene.destinations(), round+1, f.Rounds, f.progress(name))
		}
		if err := f.alone(); err != nil {
			return err
		}
	}
	return nil
}

// progress is what came out last.
func (f *figures) progress(name string) string {
	s := f.Peers[name]
	if s.Err != "" {
		return name + ": " + s.Err
	}
	add, list := len(s.Add)-1, len(s.List)-1
	return fmt.Sprintf("%s: add %.1f µs, %.2f times gnl; list %.1f µs, %.2f times gnl",
		name, s.Add[add]/1e3, s.AddRatios[add], s.List[list]/1e3, s.ListRatios[list])
}

// pair measures gnl, and an implementation after it.
func (f *figures) pair(name string) error {
	s := f.Peers[name]
	if s.Err != "" {
		return nil
	}
	gnl, err := run("gnl", f.Scene, "add", "list")
	if err != nil {
		return err
	}
	n := float64(f.Scene.destinations())
	f.Gnl.take(gnl, n)
	peer, err := run(name, f.Scene, "add", "list")
	if err != nil {
		s.Err = err.Error()
		return nil
	}
	s.take(peer, n)
	s.AddRatios = append(s.AddRatios, float64(peer[0].Ns)/float64(gnl[0].Ns))
	s.ListRatios = append(s.ListRatios, float64(peer[1].Ns)/float64(gnl[1].Ns))
	return nil
}

func (s *series) take(m []measurement, n float64) {
	s.Add = append(s.Add, float64(m[0].Ns)/n)
	s.List = append(s.List, float64(m[1].Ns)/n)
	s.AddAllocs = float64(m[0].Allocs) / n
	s.ListAllocs = float64(m[1].Allocs) / n
}

// alone measures what gnl alone can do.
func (f *figures) alone() error {
	n := float64(f.Scene.destinations())
	f.Changed = (f.Scene.destinations() + 99) / 100
	f.Pruned = (f.Scene.Services - f.Scene.Services/2) * f.Scene.Each
	steps := []string{"add", "list", "again", "list", "again", "list", "again", "list", "change", "prune"}
	m, err := run("gnl", f.Scene, steps...)
	if err != nil {
		return err
	}
	for i := range m {
		ns := float64(m[i].Ns)
		switch m[i].Step {
		case "again":
			f.Again = append(f.Again, ns/n)
			f.AgainRatios = append(f.AgainRatios, ns/float64(m[i-1].Ns))
		case "change":
			f.Change = append(f.Change, ns/n)
			f.ChangeRatios = append(f.ChangeRatios, ns/float64(m[i-1].Ns))
		case "prune":
			f.Prune = append(f.Prune, ns/float64(f.Pruned))
		}
	}
	return nil
}

// memory finds out whether a list takes more of it where there is more to list.
func (r *results) memory() error {
	s := r.Full.Scene
	for _, m := range []struct {
		scene scene
		to    *memory
	}{{scene{s.Services, max(s.Each/10, 1)}, &r.Few}, {s, &r.Many}} {
		// The first list makes buffers that stay.
		list, err := run("gnl", m.scene, "add", "list", "peak")
		if err != nil {
			return err
		}
		*m.to = memory{m.scene.destinations(), list[2].Bytes, list[2].Peak}
	}
	return nil
}

// run starts a worker in a network namespace of its own. There it begins with nothing: the kernel keeps destinations that
// were removed for a while, and looks through them all for each that is added.
func run(name string, s scene, steps ...string) ([]measurement, error) {
	if err := settle(); err != nil {
		return nil, err
	}
	arguments := []string{
		"worker", "-implementation", name, "-services", strconv.Itoa(s.Services), "-each", strconv.Itoa(s.Each),
		"-steps", strings.Join(steps, ","),
	}
	cmd := exec.Command("/proc/self/exe", arguments...)
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	var problem bytes.Buffer
	cmd.Stderr = &problem
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(problem.Bytes()))
	}
	var all []measurement
	for lines := bufio.NewScanner(bytes.NewReader(output)); lines.Scan(); {
		var m measurement
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("%s says %q: %w", name, lines.Text(), err)
		}
		all = append(all, m)
	}
	if len(all) != len(steps) {
		return nil, fmt.Errorf("%s did %d of %d steps", name, len(all), len(steps))
	}
	return all, nil
}

// settle waits until the machine is idle: the kernel takes its time to dispose of a network namespace, long after the
// worker is gone, and that would be the next one's to bear.
func settle() error {
	const (
		look = 100 * time.Millisecond
		most = 2 * time.Minute
	)
	for start := time.Now(); time.Since(start) < most; {
		busy, all, err := ticks()
		if err != nil {
			return err
		}
		time.Sleep(look)
		busyThen, allThen, err := ticks()
		if err != nil {
			return err
		}
		if all < allThen && float64(busyThen-busy) < 0.25*float64(allThen-all) {
			return nil
		}
	}
	return fmt.Errorf("the machine is still busy after %v", most)
}

// ticks is how long all CPUs together have been busy, of how long in all.
func ticks() (busy, all uint64, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	words := strings.Fields(line)
	if len(words) < 5 {
		return 0, 0, errors.New("/proc/stat does not begin with the times of all CPUs")
	}
	for i, word := range words[1:] {
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		all += n
		if i != 3 && i != 4 { // idle, and waiting for a disk
			busy += n
		}
	}
	return busy, all, nil
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

// versions are the peers', and those of what carries them.
func versions() (list []string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/cloudflare/ipvs", "github.com/moby/ipvs", "github.com/mdlayher/netlink", "github.com/vishvananda/netlink":
			list = append(list, strings.TrimPrefix(m.Path, "github.com/")+" "+m.Version)
		}
	}
	return list
}
