package taskstats

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"
)

// The layout of struct taskstats (include/uapi/linux/taskstats.h). Every
// version but one only appended to its predecessors since version 4, so one
// layout, that of the newest version, serves for nearly all: an older struct is
// the beginning of it. The others are brought into it first, see moves.
const (
	newest = 17  // the last version that this package knows
	full   = 688 // its size

	// Where version 14 ends. Behind it stand Max and Min of every delay
	// (version 16), and behind those MaxAt of every delay (version 17).
	size14 = 432
	size16 = 560

	commLen = 32 // TS_COMM_LEN
)

// sizes has the size of each version of the struct. Version 8 did not change it.
var sizes = [newest + 1]int{
	1: 72, 2: 240, 3: 264, 4: 272, 5: 288, 6: 312, 7: 328, 8: 328, 9: 344,
	10: 352, 11: 368, 12: 400, 13: 416, 14: 432, 15: 560, 16: 560, 17: full,
}

// A field's place in the newest layout.
type place struct {
	name  string // in Stats
	off   int
	size  int
	since int  // the first version that has it
	group bool // also given for a thread group
}

// fields says for every Field where it is. Decoding does not go through this
// table, it has the offsets in its code: the table serves Has, and structs that
// were cut short.
var fields = [...]place{
	FieldExitCode:            {"ExitCode", 4, 4, 2, false},
	FieldFlags:               {"Flags", 8, 1, 2, false},
	FieldNice:                {"Nice", 9, 1, 2, false},
	FieldCPUDelay:            {"CPUDelay", 16, 16, 1, true},
	FieldBlkIODelay:          {"BlkIODelay", 32, 16, 1, true},
	FieldSwapInDelay:         {"SwapInDelay", 48, 16, 1, true},
	FieldCPURealTime:         {"CPURealTime", 64, 8, 1, true},
	FieldCPUVirtualTime:      {"CPUVirtualTime", 72, 8, 1, true},
	FieldComm:                {"Comm", 80, commLen, 2, false},
	FieldSchedPolicy:         {"SchedPolicy", 112, 1, 2, false},
	FieldUID:                 {"UID", 120, 4, 2, false},
	FieldGID:                 {"GID", 124, 4, 2, false},
	FieldPID:                 {"PID", 128, 4, 2, false},
	FieldParentPID:           {"ParentPID", 132, 4, 2, false},
	FieldBeginTime:           {"BeginTime", 136, 4, 2, false},
	FieldElapsedTime:         {"ElapsedTime", 144, 8, 2, true},
	FieldUserTime:            {"UserTime", 152, 8, 2, true},
	FieldSystemTime:          {"SystemTime", 160, 8, 2, true},
	FieldMinorFaults:         {"MinorFaults", 168, 8, 2, false},
	FieldMajorFaults:         {"MajorFaults", 176, 8, 2, false},
	FieldRSSIntegral:         {"RSSIntegral", 184, 8, 2, false},
	FieldVMIntegral:          {"VMIntegral", 192, 8, 2, false},
	FieldPeakRSS:             {"PeakRSS", 200, 8, 2, false},
	FieldPeakVM:              {"PeakVM", 208, 8, 2, false},
	FieldReadChars:           {"ReadChars", 216, 8, 2, false},
	FieldWriteChars:          {"WriteChars", 224, 8, 2, false},
	FieldReadCalls:           {"ReadCalls", 232, 8, 2, false},
	FieldWriteCalls:          {"WriteCalls", 240, 8, 2, false},
	FieldReadBytes:           {"ReadBytes", 248, 8, 3, false},
	FieldWriteBytes:          {"WriteBytes", 256, 8, 3, false},
	FieldCancelledWriteBytes: {"CancelledWriteBytes", 264, 8, 3, false},
	FieldVoluntarySwitches:   {"VoluntarySwitches", 272, 8, 5, true},
	FieldInvoluntarySwitches: {"InvoluntarySwitches", 280, 8, 5, true},
	FieldScaledUserTime:      {"ScaledUserTime", 288, 8, 6, false},
	FieldScaledSystemTime:    {"ScaledSystemTime", 296, 8, 6, false},
	FieldScaledCPURealTime:   {"ScaledCPURealTime", 304, 8, 6, true},
	FieldFreePagesDelay:      {"FreePagesDelay", 312, 16, 7, true},
	FieldThrashingDelay:      {"ThrashingDelay", 328, 16, 9, true},
	FieldCompactDelay:        {"CompactDelay", 352, 16, 11, true},
	FieldTGID:                {"TGID", 368, 4, 12, false},
	FieldGroupElapsedTime:    {"GroupElapsedTime", 376, 8, 12, false},
	FieldExeDevice:           {"ExeDevice", 384, 8, 12, false},
	FieldExeInode:            {"ExeInode", 392, 8, 12, false},
	FieldWPCopyDelay:         {"WPCopyDelay", 400, 16, 13, true},
	FieldIRQDelay:            {"IRQDelay", 416, 16, 14, true},
	FieldDelayMax:            {"Delay.Max", size14, size16 - size14, 15, true},
	FieldDelayMaxAt:          {"Delay.MaxAt", size16, full - size16, 17, true},
}

// btime64 is the second place of BeginTime, see beginTime.
var btime64 = place{"BeginTime", 344, 8, 10, false}

// A move takes n bytes between the layout of some version and the newest one.
type move struct{ old, new, n int }

// moves brings a struct of the given version into the newest layout.
func moves(version int) []move {
	switch version {
	case 1: // has delays only, right behind the version
		return moves1
	case 2, 3: // lack the padding before ac_uid
		return moves2
	case 15: // has Max and Min of each delay right behind its Total
		return moves15
	default:
		return moves4
	}
}

var (
	moves1  = []move{{0, 0, 2}, {8, 16, 64}}
	moves2  = []move{{0, 0, 113}, {116, 120, 20}, {136, 144, 128}}
	moves4  = []move{{0, 0, full}}
	moves15 = []move{
		{0, 0, 32},    // up to CPUDelay
		{32, 432, 16}, // its Max and Min
		{48, 32, 16},  // BlkIODelay
		{64, 448, 16},
		{80, 48, 16}, // SwapInDelay
		{96, 464, 16},
		{112, 64, 264}, // from CPURealTime to FreePagesDelay
		{376, 480, 16},
		{392, 328, 16}, // ThrashingDelay
		{408, 496, 16},
		{424, 344, 24}, // BeginTime, CompactDelay
		{448, 512, 16},
		{464, 368, 48}, // from TGID to WPCopyDelay
		{512, 528, 16},
		{528, 416, 16}, // IRQDelay
		{544, 544, 16},
	}
)

// contains says whether the struct that s was decoded from has the field: by
// its version, and by its length if that was short.
func (s *Stats) contains(f *place) bool {
	if s.Version < f.since {
		return false
	}
	if s.short == 0 {
		return true
	}
	end := f.off + f.size
	for _, m := range moves(s.Version) {
		if m.new < end && end <= m.new+m.n {
			return m.old+end-m.new <= s.short
		}
	}
	return false
}

// UnmarshalBinary decodes one struct taskstats, the payload of a
// TASKSTATS_TYPE_STATS attribute, in the machine's byte order. It sets every
// field of s, and allocates only when Comm is a different one than before, or
// when there is a Tail.
//
// The version in the struct says how it is laid out. A newer version than this
// package knows is decoded as far as it is known, and the rest kept in Tail. A
// struct that is shorter than its version promises has those fields that are
// there whole. One that lacks even fields of version 1 is an error, and s stays
// as it was.
//
// Version 0 means that the kernel did not say: before April 2026 the record of a
// thread group that has ended came so. Such a struct is taken for the newest
// version that is no longer than it. That is wrong for version 15 alone, which
// is as long as 16.
func (s *Stats) UnmarshalBinary(b []byte) error { return s.decode(b, 0) }

// decode is UnmarshalBinary, except that a struct of version 0 is taken for the
// given version if that is not 0 too. The kernel sends the record of an ended
// group behind that of its last task, which has a version.
func (s *Stats) decode(b []byte, version int) error {
	if len(b) < 2 {
		return fmt.Errorf("taskstats: struct of %d bytes has no version", len(b))
	}
	if v := int(binary.NativeEndian.Uint16(b)); v != 0 {
		version = v
	} else if version <= 0 {
		version = versionBySize(len(b))
	}

	// From here on known decides about the layout.
	known := min(version, newest)
	if least := leastSize(known); len(b) < least {
		return fmt.Errorf("taskstats: struct of version %d has %d bytes, the least possible is %d", version, len(b), least)
	}
	size := sizes[known]
	s.Version = version
	s.short = 0
	if len(b) < size {
		s.short = len(b)
	}

	switch {
	case s.short != 0:
		s.decodeMoved(b, known)
	case known == 17:
		s.load((*[size14]byte)(b), (*[size16 - size14]byte)(b[size14:]))
		s.loadMaxAt((*[full - size16]byte)(b[size16:]))
	case known == 16:
		s.load((*[size14]byte)(b), (*[size16 - size14]byte)(b[size14:]))
		s.clearMaxAt()
	case known == 14:
		s.load((*[size14]byte)(b), &noMax)
		s.clearMaxAt()
	default:
		s.decodeMoved(b[:size], known)
	}
	s.Group = s.PID == 0 && s.contains(&fields[FieldPID])

	if len(b) <= size {
		s.Tail = nil
	} else if tail := b[size:]; !bytes.Equal(s.Tail, tail) {
		s.Tail = bytes.Clone(tail) // a new one: copies of s may share the old one
	}
	return nil
}

// noMax is what stands for Max and Min before version 15.
var noMax [size16 - size14]byte

// versionBySize guesses the version of a struct of n bytes.
func versionBySize(n int) int {
	for v := newest; v > 1; v-- {
		if n >= sizes[v] {
			return v
		}
	}
	return 1
}

// leastSize is up to where a struct must reach to have all fields of version 1.
func leastSize(version int) int {
	switch version {
	case 1:
		return 72
	case 15:
		return 128
	default:
		return 80
	}
}

// decodeMoved decodes a struct that is laid out differently, or is shorter than
// version 14: it is brought into the newest layout, zeros standing for what it
// lacks. A field that is only there in part is left out.
func (s *Stats) decodeMoved(b []byte, known int) {
	var whole [full]byte
	for _, m := range moves(known) {
		if m.old < len(b) {
			copy(whole[m.new:m.new+m.n], b[m.old:])
		}
	}
	if s.short != 0 {
		for i := range fields {
			s.drop(&whole, &fields[i])
		}
		s.drop(&whole, &btime64)
	}
	s.load((*[size14]byte)(whole[:]), (*[size16 - size14]byte)(whole[size14:]))
	s.loadMaxAt((*[full - size16]byte)(whole[size16:]))
}

// drop clears a field that s does not contain whole.
func (s *Stats) drop(whole *[full]byte, f *place) {
	if !s.contains(f) {
		clear(whole[f.off : f.off+f.size])
	}
}

// load sets every field but MaxAt from a struct in the newest layout, given in
// two parts. Its offsets are constants into arrays, so nothing is checked per field.
func (s *Stats) load(p *[size14]byte, ext *[size16 - size14]byte) {
	s.ExitCode = ExitCode(u32(p[4:]))
	s.Flags = Flags(p[8])
	s.Nice = int8(p[9]) // unsigned in the struct, signed in meaning
	s.CPURealTime = time.Duration(u64(p[64:]))
	s.CPUVirtualTime = time.Duration(u64(p[72:]))
	comm := p[80 : 80+commLen]
	if i := bytes.IndexByte(comm, 0); i >= 0 {
		comm = comm[:i]
	}
	if s.Comm != string(comm) { // does not allocate, the conversion below does
		s.Comm = string(comm)
	}
	s.SchedPolicy = SchedPolicy(p[112])
	s.UID = u32(p[120:])
	s.GID = u32(p[124:])
	s.PID = int(u32(p[128:]))
	s.ParentPID = int(u32(p[132:]))
	s.BeginTime = beginTime(u32(p[136:]), u64(p[344:]))
	s.ElapsedTime = micros(u64(p[144:]))
	s.UserTime = micros(u64(p[152:]))
	s.SystemTime = micros(u64(p[160:]))
	s.MinorFaults = u64(p[168:])
	s.MajorFaults = u64(p[176:])
	s.RSSIntegral = u64(p[184:])
	s.VMIntegral = u64(p[192:])
	s.PeakRSS = u64(p[200:]) << 10
	s.PeakVM = u64(p[208:]) << 10
	s.ReadChars = u64(p[216:])
	s.WriteChars = u64(p[224:])
	s.ReadCalls = u64(p[232:])
	s.WriteCalls = u64(p[240:])
	s.ReadBytes = u64(p[248:])
	s.WriteBytes = u64(p[256:])
	s.CancelledWriteBytes = u64(p[264:])
	s.VoluntarySwitches = u64(p[272:])
	s.InvoluntarySwitches = u64(p[280:])
	s.ScaledUserTime = micros(u64(p[288:]))
	s.ScaledSystemTime = micros(u64(p[296:]))
	s.ScaledCPURealTime = time.Duration(u64(p[304:]))
	s.TGID = int(u32(p[368:]))
	s.GroupElapsedTime = micros(u64(p[376:]))
	s.ExeDevice = u64(p[384:])
	s.ExeInode = u64(p[392:])

	s.CPUDelay.load((*[16]byte)(p[16:]), (*[16]byte)(ext[0:]))
	s.BlkIODelay.load((*[16]byte)(p[32:]), (*[16]byte)(ext[16:]))
	s.SwapInDelay.load((*[16]byte)(p[48:]), (*[16]byte)(ext[32:]))
	s.FreePagesDelay.load((*[16]byte)(p[312:]), (*[16]byte)(ext[48:]))
	s.ThrashingDelay.load((*[16]byte)(p[328:]), (*[16]byte)(ext[64:]))
	s.CompactDelay.load((*[16]byte)(p[352:]), (*[16]byte)(ext[80:]))
	s.WPCopyDelay.load((*[16]byte)(p[400:]), (*[16]byte)(ext[96:]))
	s.IRQDelay.load((*[16]byte)(p[416:]), (*[16]byte)(ext[112:]))
}

// load sets a Delay, except MaxAt, from its two places in the struct.
func (d *Delay) load(total, ext *[16]byte) {
	d.Count = u64(total[0:])
	d.Total = time.Duration(u64(total[8:]))
	d.Max = time.Duration(u64(ext[0:]))
	d.Min = time.Duration(u64(ext[8:]))
}

// loadMaxAt sets MaxAt of every Delay from the third part of a struct.
func (s *Stats) loadMaxAt(p *[full - size16]byte) {
	s.CPUDelay.MaxAt = maxTime(u64(p[0:]), u64(p[8:]))
	s.BlkIODelay.MaxAt = maxTime(u64(p[16:]), u64(p[24:]))
	s.SwapInDelay.MaxAt = maxTime(u64(p[32:]), u64(p[40:]))
	s.FreePagesDelay.MaxAt = maxTime(u64(p[48:]), u64(p[56:]))
	s.ThrashingDelay.MaxAt = maxTime(u64(p[64:]), u64(p[72:]))
	s.CompactDelay.MaxAt = maxTime(u64(p[80:]), u64(p[88:]))
	s.WPCopyDelay.MaxAt = maxTime(u64(p[96:]), u64(p[104:]))
	s.IRQDelay.MaxAt = maxTime(u64(p[112:]), u64(p[120:]))
}

// clearMaxAt is loadMaxAt for a struct without that part.
func (s *Stats) clearMaxAt() {
	s.CPUDelay.MaxAt = time.Time{}
	s.BlkIODelay.MaxAt = time.Time{}
	s.SwapInDelay.MaxAt = time.Time{}
	s.FreePagesDelay.MaxAt = time.Time{}
	s.ThrashingDelay.MaxAt = time.Time{}
	s.CompactDelay.MaxAt = time.Time{}
	s.WPCopyDelay.MaxAt = time.Time{}
	s.IRQDelay.MaxAt = time.Time{}
}

// maxTime is the time of a timespec; the zero time for 0, and for what is no
// time after 1970.
func maxTime(sec, nsec uint64) time.Time {
	if sec|nsec == 0 || sec > math.MaxInt64 || nsec > 999_999_999 {
		return time.Time{}
	}
	return time.Unix(int64(sec), int64(nsec))
}

// beginTime is the time of ac_btime64, or of ac_btime where that is not given.
func beginTime(btime uint32, btime64 uint64) time.Time {
	sec := int64(btime64)
	if sec <= 0 {
		sec = int64(btime)
	}
	if sec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, 0)
}

// maxMicros is the longest Duration in microseconds, 292,000 years.
const maxMicros = uint64(math.MaxInt64 / time.Microsecond)

func micros(us uint64) time.Duration {
	return time.Duration(min(us, maxMicros)) * time.Microsecond
}

// AppendBinary appends s to b as the struct that a kernel of s.Version sends, and
// the Tail behind it. It is for tests, and for whoever plays the kernel. Fields
// that the version does not have are left out; of times in microseconds and
// sizes in KiB the fraction is. A version newer than this package knows is laid
// out as the newest that it does.
func (s *Stats) AppendBinary(b []byte) ([]byte, error) {
	if s.Version < 1 || s.Version > math.MaxUint16 {
		return b, fmt.Errorf("taskstats: no struct has version %d", s.Version)
	}
	if len(s.Comm) > commLen || strings.IndexByte(s.Comm, 0) >= 0 {
		return b, fmt.Errorf("taskstats: Comm %q does not fit: it may have %d bytes and no NUL", s.Comm, commLen)
	}
	var whole [full]byte
	s.store(&whole)

	known := min(s.Version, newest)
	size := sizes[known]
	if s.short != 0 {
		size = min(size, s.short) // as it came
	}
	start := len(b)
	b = append(b, make([]byte, size)...)
	for _, m := range moves(known) {
		if m.old < size {
			copy(b[start+m.old:start+min(m.old+m.n, size)], whole[m.new:])
		}
	}
	return append(b, s.Tail...), nil
}

// store lays s out as the newest version, the reverse of load.
func (s *Stats) store(p *[full]byte) {
	binary.NativeEndian.PutUint16(p[0:], uint16(s.Version))
	put32(p[4:], uint32(s.ExitCode))
	p[8] = uint8(s.Flags)
	p[9] = uint8(s.Nice)
	put64(p[64:], uint64(s.CPURealTime))
	put64(p[72:], uint64(s.CPUVirtualTime))
	copy(p[80:80+commLen], s.Comm)
	p[112] = uint8(s.SchedPolicy)
	put32(p[120:], s.UID)
	put32(p[124:], s.GID)
	put32(p[128:], uint32(s.PID))
	put32(p[132:], uint32(s.ParentPID))
	if !s.BeginTime.IsZero() {
		sec := max(s.BeginTime.Unix(), 0)
		put32(p[136:], uint32(min(sec, math.MaxUint32))) // as the kernel does, good until 2106
		put64(p[344:], uint64(sec))
	}
	put64(p[144:], uint64(s.ElapsedTime.Microseconds()))
	put64(p[152:], uint64(s.UserTime.Microseconds()))
	put64(p[160:], uint64(s.SystemTime.Microseconds()))
	put64(p[168:], s.MinorFaults)
	put64(p[176:], s.MajorFaults)
	put64(p[184:], s.RSSIntegral)
	put64(p[192:], s.VMIntegral)
	put64(p[200:], s.PeakRSS>>10)
	put64(p[208:], s.PeakVM>>10)
	put64(p[216:], s.ReadChars)
	put64(p[224:], s.WriteChars)
	put64(p[232:], s.ReadCalls)
	put64(p[240:], s.WriteCalls)
	put64(p[248:], s.ReadBytes)
	put64(p[256:], s.WriteBytes)
	put64(p[264:], s.CancelledWriteBytes)
	put64(p[272:], s.VoluntarySwitches)
	put64(p[280:], s.InvoluntarySwitches)
	put64(p[288:], uint64(s.ScaledUserTime.Microseconds()))
	put64(p[296:], uint64(s.ScaledSystemTime.Microseconds()))
	put64(p[304:], uint64(s.ScaledCPURealTime))
	put32(p[368:], uint32(s.TGID))
	put64(p[376:], uint64(s.GroupElapsedTime.Microseconds()))
	put64(p[384:], s.ExeDevice)
	put64(p[392:], s.ExeInode)

	for i, d := range []struct {
		Delay
		off int
	}{
		{s.CPUDelay, 16}, {s.BlkIODelay, 32}, {s.SwapInDelay, 48}, {s.FreePagesDelay, 312},
		{s.ThrashingDelay, 328}, {s.CompactDelay, 352}, {s.WPCopyDelay, 400}, {s.IRQDelay, 416},
	} {
		put64(p[d.off:], d.Count)
		put64(p[d.off+8:], uint64(d.Total))
		put64(p[size14+16*i:], uint64(d.Max))
		put64(p[size14+16*i+8:], uint64(d.Min))
		if !d.MaxAt.IsZero() {
			put64(p[size16+16*i:], uint64(d.MaxAt.Unix()))
			put64(p[size16+16*i+8:], uint64(d.MaxAt.Nanosecond()))
		}
	}
}

// The machine's byte order. Functions of the package, not variables, so that
// they are inlined.
func u32(b []byte) uint32      { return binary.NativeEndian.Uint32(b) }
func u64(b []byte) uint64      { return binary.NativeEndian.Uint64(b) }
func put32(b []byte, v uint32) { binary.NativeEndian.PutUint32(b, v) }
func put64(b []byte, v uint64) { binary.NativeEndian.PutUint64(b, v) }
