package taskstats

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/gnlgo/gnl/internal/unix"
)

const possibleCPUsFile = "/sys/devices/system/cpu/possible"

// possibleCPUs lists the CPUs that this machine can have, now or later.
func possibleCPUs() ([]int, error) {
	b, err := os.ReadFile(possibleCPUsFile)
	if err != nil {
		return nil, err
	}
	return parseCPUs(strings.TrimSpace(string(b)))
}

// maxCPU is far beyond what any kernel supports (8191). It bounds what a list
// can make parseCPUs allocate.
const maxCPU = 1 << 16

// parseCPUs reads a list of CPUs, "0-3,8", and returns them in order, each once.
func parseCPUs(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseUint(from, 10, 32)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseUint(to, 10, 32)
		}
		switch {
		case err != nil || last < first:
			return nil, fmt.Errorf("%q is no CPU and no range of CPUs such as 0-3: %w", part, unix.EINVAL)
		case last > maxCPU:
			return nil, fmt.Errorf("there is no CPU %d: %w", last, unix.ERANGE)
		}
		for cpu := first; cpu <= last; cpu++ {
			cpus = append(cpus, int(cpu))
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus), nil
}

// formatCPUs is the reverse, for CPUs in order.
func formatCPUs(cpus []int) string {
	var b []byte
	for i := 0; i < len(cpus); {
		j := i + 1
		for j < len(cpus) && cpus[j] == cpus[j-1]+1 {
			j++
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(cpus[i]), 10)
		if j > i+1 {
			b = append(b, '-')
			b = strconv.AppendInt(b, int64(cpus[j-1]), 10)
		}
		i = j
	}
	return string(b)
}

// splitCPUs parts CPUs into n groups as equal as can be, none of them empty.
func splitCPUs(cpus []int, n int) [][]int {
	n = min(n, len(cpus))
	groups := make([][]int, n)
	for i := range groups {
		groups[i] = cpus[i*len(cpus)/n : (i+1)*len(cpus)/n]
	}
	return groups
}
