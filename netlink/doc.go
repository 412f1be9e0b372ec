// Package netlink is one AF_NETLINK socket: messages, requests with all their
// answers, the kernel's errors, multicast groups, network namespaces.
//
// It knows nothing of any family. Package gnl, which does, is what most
// programs want; this one is for other netlink protocols, and for those who
// build their own client.
//
// A [Conn] is dialled, sends messages made by [AppendMessage], and receives
// messages with [Conn.Receive]. [Conn.Do] and [Exchange] receive all answers to
// one request: the kernel may answer with any number of messages, in several
// datagrams, and only an ack, an error or the end of the dump with the
// request's sequence number ends them.
//
// When a socket's receive buffer overran ([ErrOverrun]) the kernel drops all that
// it would send there, without another word, until what is queued has been
// received. So drain it before the next request.
//
// The wire format and the facts that this package rests on are in
// include/uapi/linux/netlink.h and net/netlink/af_netlink.c of Linux.
package netlink
