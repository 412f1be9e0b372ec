package main

import (
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/taskstats"
)

// record is what the kernel told about a task or a thread group, for JSON.
// What it did not tell is absent.
type record struct {
	Version     int                     `json:"version"`         // of the kernel's struct
	Group       bool                    `json:"group,omitempty"` // sums over a thread group
	PID         gnl.Optional[int]       `json:"pid,omitzero"`
	TGID        gnl.Optional[int]       `json:"tgid,omitzero"`
	PPID        gnl.Optional[int]       `json:"ppid,omitzero"`
	UID         gnl.Optional[uint32]    `json:"uid,omitzero"`
	GID         gnl.Optional[uint32]    `json:"gid,omitzero"`
	Comm        gnl.Optional[string]    `json:"comm,omitzero"`
	ExitCode    gnl.Optional[uint32]    `json:"exit_code,omitzero"` // as wait(2) has it
	Flags       gnl.Optional[string]    `json:"flags,omitzero"`
	Nice        gnl.Optional[int8]      `json:"nice,omitzero"`
	SchedPolicy gnl.Optional[string]    `json:"sched_policy,omitzero"`
	ExeDevice   gnl.Optional[uint64]    `json:"exe_device,omitzero"`
	ExeInode    gnl.Optional[uint64]    `json:"exe_inode,omitzero"`
	BeginTime   gnl.Optional[time.Time] `json:"begin_time,omitzero"`

	ElapsedTime       gnl.Optional[int64] `json:"elapsed_time_us,omitzero"`
	GroupElapsedTime  gnl.Optional[int64] `json:"group_elapsed_time_us,omitzero"`
	UserTime          gnl.Optional[int64] `json:"user_time_us,omitzero"`
	SystemTime        gnl.Optional[int64] `json:"system_time_us,omitzero"`
	ScaledUserTime    gnl.Optional[int64] `json:"scaled_user_time_us,omitzero"`
	ScaledSystemTime  gnl.Optional[int64] `json:"scaled_system_time_us,omitzero"`
	CPURealTime       gnl.Optional[int64] `json:"cpu_real_time_ns,omitzero"`
	CPUVirtualTime    gnl.Optional[int64] `json:"cpu_virtual_time_ns,omitzero"`
	ScaledCPURealTime gnl.Optional[int64] `json:"scaled_cpu_real_time_ns,omitzero"`

	VoluntarySwitches   gnl.Optional[uint64] `json:"voluntary_switches,omitzero"`
	InvoluntarySwitches gnl.Optional[uint64] `json:"involuntary_switches,omitzero"`
	MinorFaults         gnl.Optional[uint64] `json:"minor_faults,omitzero"`
	MajorFaults         gnl.Optional[uint64] `json:"major_faults,omitzero"`
	PeakRSS             gnl.Optional[uint64] `json:"peak_rss_bytes,omitzero"`
	PeakVM              gnl.Optional[uint64] `json:"peak_vm_bytes,omitzero"`
	RSSIntegral         gnl.Optional[uint64] `json:"rss_integral_mib_us,omitzero"`
	VMIntegral          gnl.Optional[uint64] `json:"vm_integral_mib_us,omitzero"`
	ReadChars           gnl.Optional[uint64] `json:"read_chars,omitzero"`
	WriteChars          gnl.Optional[uint64] `json:"write_chars,omitzero"`
	ReadCalls           gnl.Optional[uint64] `json:"read_calls,omitzero"`
	WriteCalls          gnl.Optional[uint64] `json:"write_calls,omitzero"`
	ReadBytes           gnl.Optional[uint64] `json:"read_bytes,omitzero"`
	WriteBytes          gnl.Optional[uint64] `json:"write_bytes,omitzero"`
	CancelledWriteBytes gnl.Optional[uint64] `json:"cancelled_write_bytes,omitzero"`

	CPUDelay       gnl.Optional[delay] `json:"cpu_delay,omitzero"`
	BlkIODelay     gnl.Optional[delay] `json:"blkio_delay,omitzero"`
	SwapInDelay    gnl.Optional[delay] `json:"swapin_delay,omitzero"`
	FreePagesDelay gnl.Optional[delay] `json:"freepages_delay,omitzero"`
	ThrashingDelay gnl.Optional[delay] `json:"thrashing_delay,omitzero"`
	CompactDelay   gnl.Optional[delay] `json:"compact_delay,omitzero"`
	WPCopyDelay    gnl.Optional[delay] `json:"wpcopy_delay,omitzero"`
	IRQDelay       gnl.Optional[delay] `json:"irq_delay,omitzero"`
}

// delay is one kind of waiting, for JSON.
type delay struct {
	Count uint64                  `json:"count"`
	Total int64                   `json:"total_ns"`
	Max   gnl.Optional[int64]     `json:"max_ns,omitzero"`
	Min   gnl.Optional[int64]     `json:"min_ns,omitzero"`
	MaxAt gnl.Optional[time.Time] `json:"max_at,omitzero"` // absent also if there was no delay
}

func newRecord(s *taskstats.Stats) record {
	r := record{Version: s.Version, Group: s.Group}
	give(s, taskstats.FieldPID, &r.PID, s.PID)
	give(s, taskstats.FieldTGID, &r.TGID, s.TGID)
	give(s, taskstats.FieldParentPID, &r.PPID, s.ParentPID)
	give(s, taskstats.FieldUID, &r.UID, s.UID)
	give(s, taskstats.FieldGID, &r.GID, s.GID)
	give(s, taskstats.FieldComm, &r.Comm, s.Comm)
	give(s, taskstats.FieldExitCode, &r.ExitCode, uint32(s.ExitCode))
	give(s, taskstats.FieldFlags, &r.Flags, s.Flags.String())
	give(s, taskstats.FieldNice, &r.Nice, s.Nice)
	give(s, taskstats.FieldSchedPolicy, &r.SchedPolicy, s.SchedPolicy.String())
	give(s, taskstats.FieldExeDevice, &r.ExeDevice, s.ExeDevice)
	give(s, taskstats.FieldExeInode, &r.ExeInode, s.ExeInode)
	give(s, taskstats.FieldBeginTime, &r.BeginTime, s.BeginTime.UTC())

	give(s, taskstats.FieldElapsedTime, &r.ElapsedTime, s.ElapsedTime.Microseconds())
	give(s, taskstats.FieldGroupElapsedTime, &r.GroupElapsedTime, s.GroupElapsedTime.Microseconds())
	give(s, taskstats.FieldUserTime, &r.UserTime, s.UserTime.Microseconds())
	give(s, taskstats.FieldSystemTime, &r.SystemTime, s.SystemTime.Microseconds())
	give(s, taskstats.FieldScaledUserTime, &r.ScaledUserTime, s.ScaledUserTime.Microseconds())
	give(s, taskstats.FieldScaledSystemTime, &r.ScaledSystemTime, s.ScaledSystemTime.Microseconds())
	give(s, taskstats.FieldCPURealTime, &r.CPURealTime, s.CPURealTime.Nanoseconds())
	give(s, taskstats.FieldCPUVirtualTime, &r.CPUVirtualTime, s.CPUVirtualTime.Nanoseconds())
	give(s, taskstats.FieldScaledCPURealTime, &r.ScaledCPURealTime, s.ScaledCPURealTime.Nanoseconds())

	give(s, taskstats.FieldVoluntarySwitches, &r.VoluntarySwitches, s.VoluntarySwitches)
	give(s, taskstats.FieldInvoluntarySwitches, &r.InvoluntarySwitches, s.InvoluntarySwitches)
	give(s, taskstats.FieldMinorFaults, &r.MinorFaults, s.MinorFaults)
	give(s, taskstats.FieldMajorFaults, &r.MajorFaults, s.MajorFaults)
	give(s, taskstats.FieldPeakRSS, &r.PeakRSS, s.PeakRSS)
	give(s, taskstats.FieldPeakVM, &r.PeakVM, s.PeakVM)
	give(s, taskstats.FieldRSSIntegral, &r.RSSIntegral, s.RSSIntegral)
	give(s, taskstats.FieldVMIntegral, &r.VMIntegral, s.VMIntegral)
	give(s, taskstats.FieldReadChars, &r.ReadChars, s.ReadChars)
	give(s, taskstats.FieldWriteChars, &r.WriteChars, s.WriteChars)
	give(s, taskstats.FieldReadCalls, &r.ReadCalls, s.ReadCalls)
	give(s, taskstats.FieldWriteCalls, &r.WriteCalls, s.WriteCalls)
	give(s, taskstats.FieldReadBytes, &r.ReadBytes, s.ReadBytes)
	give(s, taskstats.FieldWriteBytes, &r.WriteBytes, s.WriteBytes)
	give(s, taskstats.FieldCancelledWriteBytes, &r.CancelledWriteBytes, s.CancelledWriteBytes)

	give(s, taskstats.FieldCPUDelay, &r.CPUDelay, newDelay(s, s.CPUDelay))
	give(s, taskstats.FieldBlkIODelay, &r.BlkIODelay, newDelay(s, s.BlkIODelay))
	give(s, taskstats.FieldSwapInDelay, &r.SwapInDelay, newDelay(s, s.SwapInDelay))
	give(s, taskstats.FieldFreePagesDelay, &r.FreePagesDelay, newDelay(s, s.FreePagesDelay))
	give(s, taskstats.FieldThrashingDelay, &r.ThrashingDelay, newDelay(s, s.ThrashingDelay))
	give(s, taskstats.FieldCompactDelay, &r.CompactDelay, newDelay(s, s.CompactDelay))
	give(s, taskstats.FieldWPCopyDelay, &r.WPCopyDelay, newDelay(s, s.WPCopyDelay))
	give(s, taskstats.FieldIRQDelay, &r.IRQDelay, newDelay(s, s.IRQDelay))
	return r
}

// give sets a field of a record if the kernel gave it.
func give[T any](s *taskstats.Stats, f taskstats.Field, to *gnl.Optional[T], value T) {
	if s.Has(f) {
		*to = gnl.Some(value)
	}
}

func newDelay(s *taskstats.Stats, from taskstats.Delay) delay {
	d := delay{Count: from.Count, Total: from.Total.Nanoseconds()}
	give(s, taskstats.FieldDelayMax, &d.Max, from.Max.Nanoseconds())
	give(s, taskstats.FieldDelayMax, &d.Min, from.Min.Nanoseconds())
	if !from.MaxAt.IsZero() {
		give(s, taskstats.FieldDelayMaxAt, &d.MaxAt, from.MaxAt.UTC())
	}
	return d
}
