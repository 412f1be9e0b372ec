/*
 * The worker "raw": the bare system calls, the measure of the live rows. A request made beforehand goes out with sendto,
 * and recvfrom takes the answer, of which nothing is decoded. In the batch rows it sends its requests one by one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel.h"
#include "worker.h"

struct state {
	int fd;
	struct request request;
	char reply[RECEIVE_BUFFER];
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
	return s;
}

static int send_request(struct state *s)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	if (sendto(s->fd, s->request.data, s->request.len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
		return fail("sendto: %s", strerror(errno));
	return 0;
}

static ssize_t receive(struct state *s)
{
	ssize_t n = recvfrom(s->fd, s->reply, sizeof s->reply, 0, NULL, NULL);

	if (n < NLMSG_HDRLEN)
		return fail("recvfrom: %s", strerror(errno));
	return n;
}

static int run_do(void *state, long n)
{
	struct state *s = state;

	while (n--)
		if (send_request(s) < 0 || receive(s) < 0)
			return -1;
	const struct nlmsghdr *h = (const struct nlmsghdr *)s->reply;
	if (h->nlmsg_type == NLMSG_ERROR && *(int *)NLMSG_DATA(h) != 0)
		return fail("the kernel refuses: %s", strerror(-*(int *)NLMSG_DATA(h)));
	return 0;
}

/* A dump is over when its last datagram ends in NLMSG_DONE: its last 20 bytes tell, and need no walk over the messages. */
static int done(const struct state *s, ssize_t n)
{
	const struct nlmsghdr *last = (const struct nlmsghdr *)(s->reply + n - NLMSG_LENGTH(sizeof(int)));

	return n >= (ssize_t)NLMSG_LENGTH(sizeof(int)) && last->nlmsg_type == NLMSG_DONE &&
	       last->nlmsg_len == NLMSG_LENGTH(sizeof(int));
}

static int run_dump(void *state, long n)
{
	struct state *s = state;

	while (n--) {
		ssize_t len;

		if (send_request(s) < 0)
			return -1;
		do {
			len = receive(s);
			if (len < 0)
				return -1;
			if (((struct nlmsghdr *)s->reply)->nlmsg_type == NLMSG_ERROR)
				return fail("the kernel refuses the dump");
		} while (!done(s, len));
	}
	return 0;
}

static void *open_getfamily(void)
{
	struct state *s = new_state();

	if (s)
		request_getfamily(&s->request, 0, "ethtool");
	return s;
}

static void *open_families(void)
{
	struct state *s = new_state();

	if (s)
		request_getfamily(&s->request, NLM_F_DUMP, NULL);
	return s;
}

static void *open_taskstats(void)
{
	struct state *s;
	uint16_t id;

	if (resolve("TASKSTATS", &id, NULL, NULL) < 0 || !(s = new_state()))
		return NULL;
	request_taskstats(&s->request, id, getpid());
	return s;
}

static void *open_policy(void)
{
	struct state *s;
	uint16_t id;

	if (resolve("ethtool", &id, NULL, NULL) < 0 || !(s = new_state()))
		return NULL;
	request_getpolicy(&s->request, id);
	return s;
}

static void *open_devices(void)
{
	struct state *s;
	uint16_t id;

	if (resolve("ethtool", &id, NULL, NULL) < 0 || !(s = new_state()))
		return NULL;
	request_features(&s->request, id);
	return s;
}

static void *open_setlimits(void)
{
	struct state *s;
	uint16_t id;

	if (resolve("mptcp_pm", &id, NULL, NULL) < 0 || !(s = new_state()))
		return NULL;
	request_setlimits(&s->request, id);
	return s;
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

	while (n--)
		if (receive(s) < 0)
			return -1;
	return 0;
}

static const struct row rows[] = {
	{.name = "getfamily", .open = open_getfamily, .run = run_do},
	{.name = "getfamily-fresh", .open = open_getfamily, .run = run_do},
	{.name = "families", .open = open_families, .run = run_dump},
	{.name = "taskstats", .open = open_taskstats, .run = run_do},
	{.name = "policy", .open = open_policy, .run = run_dump},
	{.name = "devices", .open = open_devices, .run = run_dump},
	{.name = "devices-bitsets", .open = open_devices, .run = run_dump},
	{.name = "parallel64", .open = open_getfamily, .run = run_do, .threads = 64},
	{.name = "events", .open = open_events, .run = run_events, .prepare = prepare_events, .chunk = EVENTS},
	{.name = "batch-taskstats", .open = open_taskstats, .run = run_do},
	{.name = "batch-setlimits", .open = open_setlimits, .run = run_do},
};

int main(int argc, char **argv)
{
	return worker(argc, argv, rows, sizeof rows / sizeof *rows);
}
