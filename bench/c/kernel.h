/* What every C worker needs from the kernel before the clock starts, and the sockets of those without a library. */
#ifndef KERNEL_H
#define KERNEL_H

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

/* The largest datagram that the kernel sends in a dump: it goes by the largest buffer that it has seen. */
#define RECEIVE_BUFFER (32 << 10)

/* Requests that go out in one send in the batch rows, and notifications that are drained at once. */
#define BATCH 64
#define EVENTS 500

/* A request of one generic netlink message. */
struct request {
	char data[256] __attribute__((aligned(4)));
	size_t len;
};

void request_getfamily(struct request *r, uint16_t flags, const char *name);
void request_getpolicy(struct request *r, uint16_t family);
void request_taskstats(struct request *r, uint16_t family, uint32_t pid);
void request_features(struct request *r, uint16_t family);
void request_setlimits(struct request *r, uint16_t family);

/* netlink_open opens a generic netlink socket, bound by the kernel; -1 after fail(). */
int netlink_open(void);

/* resolve asks for a family's id, and a group's where one is named; -1 after fail(). */
int resolve(const char *family, uint16_t *id, const char *group, uint32_t *group_id);

/* receive_much raises a socket's receive buffer, so that EVENTS notifications fit; -1 after fail(). */
int receive_much(int fd);

/* produce makes the kernel send EVENTS notifications to ethtool's group "monitor"; -1 after fail(). */
int produce(void);

#endif
