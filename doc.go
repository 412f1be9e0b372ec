// Package gnl calls, watches and describes generic netlink families: the
// kernel's interface to ethtool, WireGuard, IPVS, TASKSTATS, devlink, nl80211,
// thermal, MPTCP and some fifty others.
//
// # Requests
//
// A [Client] holds a pool of sockets; every request has one to itself until its
// answer is complete. A [Command] is a request and its reply as Go types:
//
//	type deviceRequest struct {
//		IfIndex uint32 `nl:"1,name=ifindex"`
//	}
//	type device struct {
//		IfIndex  uint32 `nl:"1"`
//		Features uint64 `nl:"3"`
//	}
//	var deviceGet = gnl.Command[deviceRequest, device]{Family: "netdev", ID: 1, Name: "dev-get"}
//
//	client, err := gnl.Open(nil)
//	...
//	lo, err := deviceGet.Do(ctx, client, deviceRequest{IfIndex: 1})
//
// [Command.Do] is for one reply, [Command.All] for several, [Command.Dump]
// for all there is, and [Command.AddTo] puts the command into a [Batch], which
// carries out many in one system call. The tags are explained in package attr.
// [Client.Do] and [Client.Dump] are the same in raw form, for families that are
// only known at run time.
//
// # Families and policies
//
// [Client.Families], [Client.Family] and [Client.FamilyByID] ask the kernel
// what families there are, with their commands and multicast groups;
// [Client.Policy] asks what attributes a family's requests may have.
//
// # Events
//
// [Client.Subscribe] receives what families tell the members of their multicast
// groups. A [Conn] is one pinned socket, for families that tie something to the
// port of the one who asked.
//
// # Errors
//
// What the kernel refuses is an [*Error]: it names the family, the command, the
// attribute that the kernel points at and what it accepts there, and wraps a
// [*netlink.Error] with the errno. So errors.Is(err, os.ErrNotExist) and
// errors.Is(err, syscall.EBUSY) work. Nothing is lost in silence: an interrupted
// dump is [ErrInterrupted], an overrun [ErrOverrun], a missing reply
// [ErrNoReply], and a warning on success goes to Config.Warn.
//
// # Contexts
//
// Every call takes a context, and ends within a millisecond of its end. The
// kernel answers nearly every request before the system call that makes it
// returns, so that cancelling does not undo a request: it only stops waiting.
//
// Off Linux everything compiles, and opening returns errors.ErrUnsupported.
package gnl
