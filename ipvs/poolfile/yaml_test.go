package poolfile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gnlgo/gnl/ipvs/poolfile"
)

func TestAFewLinesOfAliasesDoNotBecomeBillionsOfPools(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 20 {
		alias := fmt.Sprintf("*a%d, ", i)
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(alias, 10))
	}
	start := time.Now()
	_, err := poolfile.Read(strings.NewReader(b.String()), poolfile.YAML)
	if err == nil || !strings.Contains(err.Error(), "more than a million values by way of aliases") {
		t.Error(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestDeepNestingIsAnError(t *testing.T) {
	for _, format := range []poolfile.Format{poolfile.YAML, poolfile.JSON} {
		for _, depth := range []int{100, 1_000_000} {
			_, err := poolfile.Read(strings.NewReader(strings.Repeat("[", depth)+strings.Repeat("]", depth)), format)
			if err == nil {
				t.Errorf("%d deep %s reads", depth, format)
			}
		}
	}
}

func TestAByteOrderMarkAndWindowsLinesMakeNoDifference(t *testing.T) {
	r := seeded(t)
	for range 50 {
		for _, format := range formats {
			pools := randomPools(r, format)
			text := "\ufeff" + strings.ReplaceAll(write(t, format, pools), "\n", "\r\n")
			if d := difference(read(t, format, text), pools); d != "" {
				t.Errorf("%s\n%s", d, text)
			}
		}
	}
}
