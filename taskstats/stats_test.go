package taskstats

import (
	"testing"
	"time"
)

func TestExitCode(t *testing.T) {
	for _, test := range []struct {
		code   ExitCode
		status int
		signal int
		core   bool
		text   string
	}{
		{0, 0, 0, false, "exit status 0"},
		{3 << 8, 3, 0, false, "exit status 3"},
		{255 << 8, 255, 0, false, "exit status 255"},
		{9, -1, 9, false, "signal 9"},
		{11 | 0x80, -1, 11, true, "signal 11 (core dumped)"},
	} {
		if test.code.Status() != test.status || test.code.Signal() != test.signal || test.code.CoreDumped() != test.core || test.code.String() != test.text {
			t.Errorf("%d: %d, %d, %t, %q", uint32(test.code), test.code.Status(), test.code.Signal(), test.code.CoreDumped(), test.code)
		}
	}
}

func TestFlagsString(t *testing.T) {
	for flags, want := range map[Flags]string{
		0:                         "0",
		FlagForked:                "AFORK",
		FlagSuperUser | FlagGroup: "ASU|AGROUP",
		FlagCoreDumped | 0xc0:     "ACORE|0xc0",
		FlagCompat | FlagSignaled: "ACOMPAT|AXSIG",
	} {
		if got := flags.String(); got != want {
			t.Errorf("%#x: %q, want %q", uint8(flags), got, want)
		}
	}
}

func TestSchedPolicyString(t *testing.T) {
	for policy, want := range map[SchedPolicy]string{0: "SCHED_OTHER", 3: "SCHED_BATCH", 7: "SCHED_EXT", 4: "SchedPolicy(4)", 200: "SchedPolicy(200)"} {
		if got := policy.String(); got != want {
			t.Errorf("%d: %q, want %q", uint8(policy), got, want)
		}
	}
}

func TestAverage(t *testing.T) {
	if got := (Delay{Count: 4, Total: 10 * time.Second}).Average(); got != 2500*time.Millisecond {
		t.Error(got)
	}
	if got := (Delay{Total: time.Second}).Average(); got != 0 {
		t.Error(got)
	}
}
