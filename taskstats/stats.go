package taskstats

import (
	"fmt"
	"strings"
	"time"
)

// Stats is what the kernel's accounting knows about one task (a thread, or a
// process that has only one), or about a thread group as a whole: the kernel's
// struct taskstats.
//
// That struct has grown through 17 versions, and for a thread group the kernel
// fills only a part of it. A field that was not given is zero; [Stats.Has]
// tells such a field from one that was given as zero. Beside every field
// stands its name in the kernel and, where it is not 2, the first version that
// has it.
//
// The kernel also leaves fields at zero without saying so: the delays, unless
// delay accounting is on (sysctl kernel.task_delayacct, or delayacct on the
// kernel's command line), apart from CPUDelay, which the scheduler keeps; and
// memory and I/O where it was built without CONFIG_TASK_XACCT or
// CONFIG_TASK_IO_ACCOUNTING.
type Stats struct {
	// Version of the struct that the kernel sent (version). Some records come
	// without one, see [Stats.UnmarshalBinary]; here it is the version they
	// were taken for.
	Version int

	// Group says that these are the sums over a thread group. Such a record
	// has times, delays and context switches, and nothing else.
	//
	// The struct itself does not say what it describes, the attribute around
	// it does. Decoding goes by the pid: the kernel gives none for a group.
	Group bool

	// PID is the task's id, for a process's main thread also that of the
	// process (ac_pid).
	PID int

	// TGID is the id of the process (thread group) that the task belongs to
	// (ac_tgid; version 12).
	TGID int

	// ParentPID is the process id of the parent (ac_ppid).
	ParentPID int

	// UID is the real user id, as the asking process's user namespace has it;
	// one that is not mapped there is the overflow id, 65534 (ac_uid).
	UID uint32

	// GID is the real group id, mapped as UID is (ac_gid).
	GID uint32

	// Comm is the task's name, cut by the kernel to 15 bytes (ac_comm). A
	// program chooses its own: it can hold anything but a NUL.
	Comm string

	// ExitCode says how the task ended; 0 while it lives (ac_exitcode). Older
	// kernels give it for a process's main thread only.
	ExitCode ExitCode

	// Flags are the process accounting flags (ac_flag).
	Flags Flags

	// Nice is the task's nice value, -20 to 19 (ac_nice).
	Nice int8

	// SchedPolicy is the task's scheduling policy (ac_sched).
	SchedPolicy SchedPolicy

	// ExeDevice is the device of the file that the task executes, in the
	// encoding that stat(2) has for st_dev; 0 for a kernel thread
	// (ac_exe_dev; version 12).
	ExeDevice uint64

	// ExeInode is the inode number of the file that the task executes; 0 for
	// a kernel thread (ac_exe_inode; version 12).
	ExeInode uint64

	// BeginTime is when the task began (ac_btime, from version 10 on
	// ac_btime64). Whole seconds on the wire, and the kernel computes it anew
	// for each reply from clocks that it has rounded down: two replies about
	// one task can differ by a second.
	BeginTime time.Time

	// ElapsedTime is how long the task has existed, in microseconds on the
	// wire (ac_etime). For a group: the sum over its threads.
	ElapsedTime time.Duration

	// GroupElapsedTime is how long the main thread of the task's process has
	// existed, in microseconds on the wire (ac_tgetime; version 12). In an
	// exit record flagged [FlagGroup] it is how long the process lived.
	GroupElapsedTime time.Duration

	// UserTime is the CPU time in user mode, in microseconds on the wire
	// (ac_utime).
	UserTime time.Duration

	// SystemTime is the CPU time in the kernel, in microseconds on the wire
	// (ac_stime).
	SystemTime time.Duration

	// ScaledUserTime is UserTime scaled by the frequency that the CPU ran at,
	// on the few architectures that measure it, elsewhere equal to UserTime.
	// In microseconds on the wire (ac_utimescaled; version 6).
	ScaledUserTime time.Duration

	// ScaledSystemTime is to SystemTime what ScaledUserTime is to UserTime
	// (ac_stimescaled; version 6).
	ScaledSystemTime time.Duration

	// CPURealTime is UserTime plus SystemTime in nanoseconds, all three counted
	// at the clock's ticks: for comparing tasks take CPUVirtualTime. On some
	// architectures the time that a hypervisor took away is not in it
	// (cpu_run_real_total; version 1).
	CPURealTime time.Duration

	// CPUVirtualTime is the time on a CPU as the scheduler counts it, exactly,
	// and as ps and top show it, with
	// what a hypervisor took away, in nanoseconds (cpu_run_virtual_total;
	// version 1).
	CPUVirtualTime time.Duration

	// ScaledCPURealTime is ScaledUserTime plus ScaledSystemTime in nanoseconds
	// (cpu_scaled_run_real_total; version 6).
	ScaledCPURealTime time.Duration

	// VoluntarySwitches counts how often the task gave up the CPU to wait
	// (nvcsw; version 5).
	VoluntarySwitches uint64

	// InvoluntarySwitches counts how often the CPU was taken from the task
	// (nivcsw; version 5).
	InvoluntarySwitches uint64

	// MinorFaults counts the page faults served without reading from a device
	// (ac_minflt).
	MinorFaults uint64

	// MajorFaults counts the page faults that had to read from a device
	// (ac_majflt).
	MajorFaults uint64

	// PeakRSS is the most memory that was ever resident, in bytes; KiB on the
	// wire (hiwater_rss). 0 for a kernel thread, which has none of its own.
	PeakRSS uint64

	// PeakVM is the most address space that was ever in use, in bytes; KiB on
	// the wire (hiwater_vm).
	PeakVM uint64

	// RSSIntegral is resident memory summed up over the CPU time used, in
	// MiB-microseconds: divided by UserTime plus SystemTime in microseconds it
	// is the average resident memory in MiB (coremem). Sampled at timer ticks,
	// so coarse for a task that ran briefly.
	RSSIntegral uint64

	// VMIntegral is to address space what RSSIntegral is to resident memory
	// (virtmem).
	VMIntegral uint64

	// ReadChars is how many bytes read(2) and its like returned, from whatever
	// file, pipe or socket (read_char). The kernel rounds this one, the next
	// three, and the three after those down to a multiple of 1024.
	ReadChars uint64

	// WriteChars is how many bytes write(2) and its like took, rounded as
	// ReadChars is (write_char).
	WriteChars uint64

	// ReadCalls counts read system calls (read_syscalls). The kernel rounds
	// even this count down to a multiple of 1024: most tasks show 0.
	ReadCalls uint64

	// WriteCalls counts write system calls, rounded as ReadCalls is
	// (write_syscalls).
	WriteCalls uint64

	// ReadBytes is how many bytes the task caused to be read from storage,
	// rounded as ReadChars is (read_bytes; version 3).
	ReadBytes uint64

	// WriteBytes is how many bytes the task caused to be sent to storage,
	// rounded as ReadChars is (write_bytes; version 3).
	WriteBytes uint64

	// CancelledWriteBytes is how many bytes never went to storage because the
	// task truncated or deleted a file that was still to be written, rounded
	// as ReadChars is (cancelled_write_bytes; version 3). Whoever wrote them
	// has them in its WriteBytes.
	CancelledWriteBytes uint64

	// CPUDelay is waiting for a CPU while ready to run. Count is how often the
	// task got one, waiting or not (cpu_count, cpu_delay_*; version 1).
	CPUDelay Delay

	// BlkIODelay is waiting for synchronous block I/O to complete, without the
	// time to submit it (blkio_count, blkio_delay_*; version 1).
	BlkIODelay Delay

	// SwapInDelay is waiting for pages to be swapped in (swapin_count,
	// swapin_delay_*; version 1).
	SwapInDelay Delay

	// FreePagesDelay is reclaiming memory because none was free
	// (freepages_count, freepages_delay_*; version 7).
	FreePagesDelay Delay

	// ThrashingDelay is waiting for pages that had been evicted shortly before
	// (thrashing_count, thrashing_delay_*; version 9).
	ThrashingDelay Delay

	// CompactDelay is compacting memory to find a contiguous piece of it
	// (compact_count, compact_delay_*; version 11).
	CompactDelay Delay

	// WPCopyDelay is copying write-protected pages, as after a fork
	// (wpcopy_count, wpcopy_delay_*; version 13).
	WPCopyDelay Delay

	// IRQDelay is being interrupted by hard and soft interrupts (irq_count,
	// irq_delay_*; version 14).
	IRQDelay Delay

	// Tail is what the kernel sent behind the fields that this package knows,
	// as newer kernels will. It is a copy, and nil when there is nothing.
	Tail []byte

	// short is the struct's length in bytes where that was less than its
	// version promises, otherwise 0.
	short int
}

// Delay is the time that a task, or a thread group, spent on one kind of waiting.
type Delay struct {
	// Count is how often (*_count).
	Count uint64

	// Total is how long, in nanoseconds on the wire (*_delay_total). The
	// kernel starts again at 0 when it overflows.
	Total time.Duration

	// Max is the longest single time, in nanoseconds on the wire
	// (*_delay_max; version 15). For a group it is that of one of its
	// threads, and not always the longest: so are Min and MaxAt.
	Max time.Duration

	// Min is the shortest single time that was not 0, in nanoseconds on the
	// wire (*_delay_min; version 15).
	Min time.Duration

	// MaxAt is when Max was measured; the zero time if it never was
	// (*_delay_max_ts; version 17).
	MaxAt time.Time
}

// Average is Total divided by Count, 0 if Count is.
func (d Delay) Average() time.Duration {
	if d.Count == 0 {
		return 0
	}
	return time.Duration(uint64(d.Total) / d.Count)
}

// Has says whether the kernel gave the field f, even if as zero.
//
// A field is given if the struct's version has it, if the struct was long
// enough to hold it whole, and, for a thread group, if the kernel sums it up.
// Kernels differ in that: from those of before April 2026 the record of a group
// that has ended holds the delays only. The elapsed time of a group is never 0;
// where it is, the sums that come with it count as not given.
func (s *Stats) Has(f Field) bool {
	if f >= Field(len(fields)) || !s.contains(&fields[f]) {
		return false
	}
	if !s.Group {
		return true
	}
	switch f {
	case FieldElapsedTime, FieldUserTime, FieldSystemTime:
		return s.ElapsedTime != 0
	case FieldVoluntarySwitches, FieldInvoluntarySwitches:
		return s.ElapsedTime != 0 || s.VoluntarySwitches != 0 || s.InvoluntarySwitches != 0
	default:
		return fields[f].group
	}
}

// Field names a field of [Stats] for [Stats.Has].
type Field uint8

// One Field for every field of [Stats] that the kernel may or may not give, by
// the same name. Of a [Delay], the field's own Field stands for Count and
// Total; FieldDelayMax stands for Max and Min of all of them, and
// FieldDelayMaxAt for MaxAt of all of them.
const (
	FieldPID Field = iota
	FieldTGID
	FieldParentPID
	FieldUID
	FieldGID
	FieldComm
	FieldExitCode
	FieldFlags
	FieldNice
	FieldSchedPolicy
	FieldExeDevice
	FieldExeInode
	FieldBeginTime
	FieldElapsedTime
	FieldGroupElapsedTime
	FieldUserTime
	FieldSystemTime
	FieldScaledUserTime
	FieldScaledSystemTime
	FieldCPURealTime
	FieldCPUVirtualTime
	FieldScaledCPURealTime
	FieldVoluntarySwitches
	FieldInvoluntarySwitches
	FieldMinorFaults
	FieldMajorFaults
	FieldPeakRSS
	FieldPeakVM
	FieldRSSIntegral
	FieldVMIntegral
	FieldReadChars
	FieldWriteChars
	FieldReadCalls
	FieldWriteCalls
	FieldReadBytes
	FieldWriteBytes
	FieldCancelledWriteBytes
	FieldCPUDelay
	FieldBlkIODelay
	FieldSwapInDelay
	FieldFreePagesDelay
	FieldThrashingDelay
	FieldCompactDelay
	FieldWPCopyDelay
	FieldIRQDelay
	FieldDelayMax
	FieldDelayMaxAt
)

// String gives the field's Go name, "UserTime".
func (f Field) String() string {
	if f >= Field(len(fields)) {
		return fmt.Sprintf("Field(%d)", uint8(f))
	}
	return fields[f].name
}

// ExitCode is how a task ended, as wait(2) has it: a status, or the signal
// that killed it.
type ExitCode uint32

// Status is what the task passed to exit(2), -1 if a signal killed it.
func (c ExitCode) Status() int {
	if c.Signal() != 0 {
		return -1
	}
	return int(c >> 8 & 0xff)
}

// Signal is the number of the signal that killed the task, 0 if none did.
func (c ExitCode) Signal() int { return int(c & 0x7f) }

// CoreDumped says whether the signal made the task leave a core dump.
func (c ExitCode) CoreDumped() bool { return c&0x80 != 0 }

// String gives for example "exit status 3" or "signal 11 (core dumped)".
func (c ExitCode) String() string {
	switch {
	case c.Signal() == 0:
		return fmt.Sprintf("exit status %d", c.Status())
	case c.CoreDumped():
		return fmt.Sprintf("signal %d (core dumped)", c.Signal())
	default:
		return fmt.Sprintf("signal %d", c.Signal())
	}
}

// Flags are the accounting flags of a task.
type Flags uint8

// The flags, with their names in the kernel.
const (
	FlagForked     Flags = 0x01 // AFORK: forked, has not executed a program since
	FlagSuperUser  Flags = 0x02 // ASU: used the super-user's privileges
	FlagCompat     Flags = 0x04 // ACOMPAT: used compatibility mode; Linux does not set it
	FlagCoreDumped Flags = 0x08 // ACORE: dumped core
	FlagSignaled   Flags = 0x10 // AXSIG: was killed by a signal
	FlagGroup      Flags = 0x20 // AGROUP: was the last task of its thread group (version 12)
)

// String gives the flags' names in the kernel, "AFORK|ASU", and "0" for none.
func (f Flags) String() string {
	if f == 0 {
		return "0"
	}
	var names []string
	for i, name := range [...]string{"AFORK", "ASU", "ACOMPAT", "ACORE", "AXSIG", "AGROUP"} {
		if bit := Flags(1) << i; f&bit != 0 {
			names = append(names, name)
			f &^= bit
		}
	}
	if f != 0 {
		names = append(names, fmt.Sprintf("%#x", uint8(f)))
	}
	return strings.Join(names, "|")
}

// SchedPolicy is a scheduling policy, numbered as in sched_setscheduler(2).
type SchedPolicy uint8

// String gives the policy's name, "SCHED_OTHER".
func (p SchedPolicy) String() string {
	names := [...]string{
		0: "SCHED_OTHER", 1: "SCHED_FIFO", 2: "SCHED_RR", 3: "SCHED_BATCH",
		5: "SCHED_IDLE", 6: "SCHED_DEADLINE", 7: "SCHED_EXT",
	}
	if int(p) < len(names) && names[p] != "" {
		return names[p]
	}
	return fmt.Sprintf("SchedPolicy(%d)", uint8(p))
}
