/*
 * The worker "bulk": the limit of the rows in which many messages go together. C, decoding nothing, with the system calls
 * that a careful library would make: one send for a batch, and its answers in bulk; and events in bulk, together with
 * their senders' addresses, since on a group others than the kernel may write.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel.h"
#include "worker.h"

/* Datagrams taken at once, and the cache line that keeps their buffers from being a power of two apart. */
#define AT_ONCE 16
#define CACHE_LINE 64

struct state {
	int fd;
	struct request requests[BATCH];
	char batch[BATCH * sizeof(struct request)];
	size_t len;
	long answers; /* of one send */
	struct mmsghdr headers[AT_ONCE];
	struct iovec iovecs[AT_ONCE];
	struct sockaddr_nl senders[AT_ONCE];
	char buffers[AT_ONCE][RECEIVE_BUFFER + CACHE_LINE];
};

static struct state *new_state(void)
{
	struct state *s = calloc(1, sizeof *s);

	if (!s) {
		fail("out of memory");
		return NULL;
	}
	s->fd = netlink_open();
	if (s->fd < 0) {
		free(s);
		return NULL;
	}
	for (int i = 0; i < AT_ONCE; i++) {
		s->iovecs[i] = (struct iovec){.iov_base = s->buffers[i], .iov_len = RECEIVE_BUFFER};
		s->headers[i].msg_hdr = (struct msghdr){.msg_iov = &s->iovecs[i], .msg_iovlen = 1};
	}
	return s;
}

/* join_requests makes one message of BATCH requests; with ack_last only the last asks for an ack. */
static void join_requests(struct state *s, const struct request *r, int ack_last)
{
	for (int i = 0; i < BATCH; i++) {
		struct nlmsghdr *h = (struct nlmsghdr *)(s->batch + s->len);

		memcpy(h, r->data, r->len);
		h->nlmsg_seq = i + 1;
		if (ack_last)
			h->nlmsg_flags = NLM_F_REQUEST | (i == BATCH - 1 ? NLM_F_ACK : 0);
		s->len += NLMSG_ALIGN(r->len);
	}
	s->answers = ack_last ? 1 : BATCH;
}

static void *open_taskstats(void)
{
	struct request r;
	struct state *s;
	uint16_t id;

	if (resolve("TASKSTATS", &id, NULL, NULL) < 0 || !(s = new_state()))
		return NULL;
	request_taskstats(&r, id, getpid());
	join_requests(s, &r, 0);
	return s;
}

static void *open_setlimits(void)
{
	struct request r;
	struct state *s;
	uint16_t id;

	if (resolve("mptcp_pm", &id, NULL, NULL) < 0 || !(s = new_state()))
		return NULL;
	request_setlimits(&r, id);
	join_requests(s, &r, 1);
	return s;
}

static int run_batch(void *state, long n)
{
	struct state *s = state;
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	for (; n > 0; n -= BATCH) {
		if (sendto(s->fd, s->batch, s->len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
			return fail("sendto: %s", strerror(errno));
		for (long i = 0; i < s->answers;) {
			int got = recvmmsg(s->fd, s->headers, AT_ONCE, MSG_DONTWAIT, NULL);

			if (got <= 0)
				return fail("recvmmsg: %s", strerror(errno));
			i += got;
		}
	}
	const struct nlmsghdr *h = (const struct nlmsghdr *)s->buffers[0];
	if (h->nlmsg_type == NLMSG_ERROR && *(int *)NLMSG_DATA(h) != 0)
		return fail("the kernel refuses: %s", strerror(-*(int *)NLMSG_DATA(h)));
	return 0;
}

static void *open_events(void)
{
	struct state *s;
	uint32_t group;

	if (resolve("ethtool", NULL, "monitor", &group) < 0 || !(s = new_state()) || receive_much(s->fd) < 0)
		return NULL;
	if (setsockopt(s->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
		fail("joining a group: %s", strerror(errno));
		return NULL;
	}
	for (int i = 0; i < AT_ONCE; i++)
		s->headers[i].msg_hdr.msg_name = &s->senders[i];
	return s;
}

static int prepare_events(void *state)
{
	(void)state;
	return produce();
}

static int run_events(void *state, long n)
{
	struct state *s = state;

	while (n > 0) {
		for (int i = 0; i < AT_ONCE; i++)
			s->headers[i].msg_hdr.msg_namelen = sizeof s->senders[i];
		int got = recvmmsg(s->fd, s->headers, AT_ONCE, MSG_DONTWAIT, NULL);

		if (got <= 0)
			return fail("recvmmsg: %s", strerror(errno));
		for (int i = 0; i < got; i++)
			if (s->senders[i].nl_pid != 0)
				return fail("an event of port %u", s->senders[i].nl_pid);
		n -= got;
	}
	return 0;
}

static const struct row rows[] = {
	{.name = "events", .open = open_events, .run = run_events, .prepare = prepare_events, .chunk = EVENTS},
	{.name = "batch-taskstats", .open = open_taskstats, .run = run_batch},
	{.name = "batch-setlimits", .open = open_setlimits, .run = run_batch},
};

int main(int argc, char **argv)
{
	return worker(argc, argv, rows, sizeof rows / sizeof *rows);
}
