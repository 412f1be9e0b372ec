// Package gnltest is a generic netlink kernel in the process, for tests of
// programs that use package gnl: families are declared in the test, and served
// to real clients over real sockets.
//
//	k := gnltest.NewKernel(t)
//	k.Register(gnltest.Family{
//		Name: "thermometer",
//		Commands: []gnltest.Command{{
//			ID: 1,
//			Do: gnltest.DoFunc(1, func(q sensorRequest) (sensor, error) {
//				return sensor{ID: q.ID, MilliCelsius: 36_600}, nil
//			}),
//		}},
//	})
//	s, err := get.Do(ctx, k.Client(), sensorRequest{ID: 7})
//
// Nothing is replaced in the client: system calls, poller, deadlines and the
// decoding of bytes are those that a real kernel meets. No privilege is needed,
// but for multicast groups (see below).
//
// # What it does by itself
//
// A [Kernel] does what the core of generic netlink does, to the byte. It
// answers nlctrl's questions about families and policies. It checks requests
// against declared policies, and refuses with the words, offsets and policies
// of lib/nlattr.c. Handlers return nil or an error, and the Kernel makes an ack,
// a refusal with extended ack, or the end of a dump of it. Requests that come in
// one datagram, as those of a gnl.Batch do, are carried out in order, each with
// an answer of its own. A second dump on a socket is EBUSY. Events of nlctrl's
// group "notify" tell of families that come and go: a family that is
// unregistered and registered again has another id, as after its module was
// loaded anew.
//
// [FamilyOf] declares a family as another kernel, such as the one that the test
// runs on, reports it.
//
// # What it does on command
//
// All that a real kernel does only now and then is there to be asked for, and
// some that it never does:
//
//   - errors: return an errno or a [netlink.Error] with message, offset,
//     cookie, policy, missing attribute; without an errno it is a warning
//   - the form of acks: [Request.Send] of [Request.Error],
//     [Request.UncappedError], [Request.Ack], once, twice or late
//   - dumps: [Request.Interrupt], [Request.Done] with an errno or made shorter,
//     parts without NLM_F_MULTI by changing the flags of [Request.Answer]
//   - loss: [Request.Overrun] and [Kernel.Overrun] (ENOBUFS), messages of type
//     NLMSG_OVERRUN, datagrams larger than the receiver takes
//   - framing: several messages in one [Request.Send], odd lengths, missing
//     padding, NLMSG_NOOP, and garbage with [Request.SendBytes]
//   - what nobody asked for: [Kernel.Event] and [Kernel.Unicast], with any
//     sequence number and port id, at any moment
//   - time: a handler may sleep, or wait; [SkipEnd] is silence
//
// A handler that answers by itself returns SkipEnd:
//
//	Do: func(r *gnltest.Request) error {
//		event := k.Event("thermometer", 2, nil)
//		r.Send(r.Answer(1, sensor{ID: 7}))
//		r.Send(event) // comes between the reply and its ack
//		r.Send(r.Ack())
//		return gnltest.SkipEnd
//	}
//
// [Kernel.Intercept] does such things to requests of any family, nlctrl
// included.
//
// What a handler did before it answered has happened when the client has the
// answer, for the race detector too: a test may read what its handlers wrote
// without a lock, once they have answered.
//
// # How it differs from a real kernel
//
// A real kernel answers before the system call that asks has returned. The fake
// answers from a goroutine of its own, most often a little later, so that the
// client has to wait in Go's poller. Both paths are worth a test; this one a
// real kernel rarely takes.
//
// Permissions are not checked: that a command needs CAP_NET_ADMIN is reported,
// and a handler may return EPERM. A dump goes on as soon as its parts fit the
// socket's receive buffer, where a real kernel waits until half of it is free.
// The module of an unknown family is not loaded. Padding for 64-bit attributes,
// which only few architectures have, is never added.
//
// # Multicast groups and privilege
//
// The sockets are of protocol NETLINK_USERSOCK, on which any two processes can
// talk, and the client's is connected to the fake's port where it would else be
// connected to the kernel. Sending to groups is free to all, but joining one
// needs CAP_NET_ADMIN over the network namespace, and so do [Kernel.Overrun] and
// losses by full receive buffers. Tests of events begin with
//
//	if err := gnltest.GroupsPermitted(); err != nil {
//		t.Skip(err)
//	}
//
// and run as root, or by anybody as
//
//	unshare --map-root-user --net go test ./...
//
// The protocol has 32 groups in a network namespace. Kernels, also those of other
// processes, keep out of each other's way while there are enough, and share them
// then: events still reach the subscribers of their own Kernel only. Groups of one
// Kernel beyond that number are reported but cannot be joined.
package gnltest
