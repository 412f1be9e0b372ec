// Package taskstats asks the Linux kernel for its statistics of tasks and
// cgroups, and is told of every task that ends: a client of the generic netlink
// family TASKSTATS.
//
//	client, err := gnl.Open(nil)
//	...
//	defer client.Close()
//	c := taskstats.New(client)
//	s, err := c.PID(ctx, 1)
//	fmt.Println(s.Comm, s.UserTime, s.SystemTime, s.CPUDelay.Total)
//
// # Tasks and thread groups
//
// To the kernel every thread is a task, with an id of its own, and a process is
// a group of tasks that is named by the id of its main thread. [Client.PID]
// gives the record of one task, and [Client.TGID] the sums over a process, which
// are fewer fields. [Client.Self] is that of the calling program, and
// [Client.Many] asks for any number of both with few system calls. [Processes]
// and [Threads] list what there is.
//
// The methods whose names end in Into use the caller's memory and allocate
// nothing.
//
// # What is measured
//
// [Stats] is one record, of any of the 17 versions that the kernel's struct has
// had; [Stats.Has] tells what a record has from what is zero. How long a task
// waited, for other things than a CPU, is only measured if delay accounting is
// on, which since Linux 5.14 it is not by default: see [DelayAccounting]. Memory
// and I/O need a kernel built with CONFIG_TASK_XACCT and
// CONFIG_TASK_IO_ACCOUNTING, as those of the distributions are; without these
// the fields are zero.
//
// # Exits
//
// [Client.Listen] makes the kernel send the last statistics of every task that
// ends, and [Listener.Exits] yields them. It is the only way to account for
// tasks that live too briefly to be asked about:
//
//	l, err := c.Listen(ctx, nil)
//	...
//	defer l.Close()
//	for exit, err := range l.Exits(ctx) {
//		if errors.Is(err, gnl.ErrOverrun) {
//			continue // some were lost
//		}
//		if err != nil {
//			return err
//		}
//		fmt.Println(exit.Task.PID, exit.Task.Comm, exit.Task.ExitCode)
//	}
//
// # Cgroups
//
// [Client.Cgroup] counts what the tasks of a cgroup are doing: running,
// sleeping, stopped. The kernel does so for cgroup v1 only.
//
// # Who may ask
//
// Statistics of tasks, one's own included, are for processes with CAP_NET_ADMIN
// in the initial user namespace: root outside of containers, or inside of those
// that have been given the capability and share the user namespace. Exits are
// besides only for the initial pid and network namespaces. Cgroups are for
// everybody. What is missing is in the error's text; errors.Is(err,
// os.ErrPermission) and the like tell the kinds apart: see [Error].
package taskstats
