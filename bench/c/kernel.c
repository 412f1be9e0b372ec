#include "kernel.h"

#include <errno.h>
#include <linux/ethtool_netlink.h>
#include <linux/mptcp.h>
#include <linux/taskstats.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec.h"
#include "worker.h"

/* The requests below are far smaller than struct request: put and nest_start cannot fail in them. */

static struct buffer begin(struct request *r, uint16_t family, uint16_t flags, uint8_t command, uint8_t version)
{
	struct nlmsghdr h = {.nlmsg_type = family, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = 1};
	struct genlmsghdr g = {.cmd = command, .version = version};

	memcpy(r->data, &h, sizeof h);
	memcpy(r->data + NLMSG_HDRLEN, &g, sizeof g);
	return (struct buffer){.data = r->data, .len = NLMSG_HDRLEN + GENL_HDRLEN, .cap = sizeof r->data};
}

static void end(struct request *r, const struct buffer *b)
{
	uint32_t len = b->len;

	memcpy(r->data, &len, sizeof len);
	r->len = len;
}

void request_getfamily(struct request *r, uint16_t flags, const char *name)
{
	struct buffer b = begin(r, GENL_ID_CTRL, flags, CTRL_CMD_GETFAMILY, 1);

	if (name)
		put(&b, CTRL_ATTR_FAMILY_NAME, name, strlen(name) + 1);
	end(r, &b);
}

void request_getpolicy(struct request *r, uint16_t family)
{
	struct buffer b = begin(r, GENL_ID_CTRL, NLM_F_DUMP, CTRL_CMD_GETPOLICY, 1);

	put_u16(&b, CTRL_ATTR_FAMILY_ID, family);
	end(r, &b);
}

void request_taskstats(struct request *r, uint16_t family, uint32_t pid)
{
	struct buffer b = begin(r, family, 0, TASKSTATS_CMD_GET, TASKSTATS_GENL_VERSION);

	put_u32(&b, TASKSTATS_CMD_ATTR_PID, pid);
	end(r, &b);
}

void request_features(struct request *r, uint16_t family)
{
	struct buffer b = begin(r, family, NLM_F_DUMP, ETHTOOL_MSG_FEATURES_GET, ETHTOOL_GENL_VERSION);
	long header = nest_start(&b, ETHTOOL_A_FEATURES_HEADER);

	put_u32(&b, ETHTOOL_A_HEADER_FLAGS, ETHTOOL_FLAG_COMPACT_BITSETS);
	nest_end(&b, header);
	end(r, &b);
}

void request_setlimits(struct request *r, uint16_t family)
{
	struct buffer b = begin(r, family, NLM_F_ACK, MPTCP_PM_CMD_SET_LIMITS, MPTCP_PM_VER);

	put_u32(&b, MPTCP_PM_ATTR_RCV_ADD_ADDRS, 2);
	put_u32(&b, MPTCP_PM_ATTR_SUBFLOWS, 2);
	end(r, &b);
}

int netlink_open(void)
{
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	if (fd < 0)
		return fail("socket: %s", strerror(errno));
	if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
		close(fd);
		return fail("bind: %s", strerror(errno));
	}
	return fd;
}

/* exchange sends a request and receives one datagram; its length, or -1 after fail(). */
static long exchange(int fd, const struct request *r, char *reply, size_t cap)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct nlmsghdr *h = (struct nlmsghdr *)reply;
	long n;

	if (sendto(fd, r->data, r->len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
		return fail("sendto: %s", strerror(errno));
	n = recv(fd, reply, cap, 0);
	if (n < (long)(NLMSG_HDRLEN + GENL_HDRLEN))
		return fail("recv: %s", strerror(errno));
	if (h->nlmsg_type == NLMSG_ERROR)
		return fail("the kernel refuses: %s", strerror(-*(int *)NLMSG_DATA(h)));
	return n;
}

int resolve(const char *name, uint16_t *id, const char *group, uint32_t *group_id)
{
	static struct family f;
	char reply[RECEIVE_BUFFER] __attribute__((aligned(4)));
	struct request r;
	int fd = netlink_open();
	long n;

	if (fd < 0)
		return -1;
	request_getfamily(&r, 0, name);
	n = exchange(fd, &r, reply, sizeof reply);
	close(fd);
	if (n < 0)
		return -1;
	if (decode_family(reply + NLMSG_HDRLEN + GENL_HDRLEN, n - NLMSG_HDRLEN - GENL_HDRLEN, &f) < 0)
		return fail("malformed family %s", name);
	if (id)
		*id = f.id;
	if (!group)
		return 0;
	for (unsigned i = 0; i < f.ngroups; i++)
		if (strcmp(f.groups[i].name, group) == 0) {
			*group_id = f.groups[i].id;
			return 0;
		}
	return fail("%s has no group %s", name, group);
}

int receive_much(int fd)
{
	int size = 8 << 20;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
		return fail("SO_RCVBUFFORCE: %s", strerror(errno));
	return 0;
}

/*
 * The cheapest notification there is: receive offload of lo, off and on again and again. All the requests go out in one
 * send. No ack is asked for, so an answer is an error.
 */
int produce(void)
{
	static char requests[EVENTS * 128] __attribute__((aligned(4)));
	static size_t len;
	static int fd = -1;
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	char error[256] __attribute__((aligned(4)));

	if (fd < 0) {
		uint16_t family;
		struct request r;

		if (resolve("ethtool", &family, NULL, NULL) < 0)
			return -1;
		for (int i = 0; i < EVENTS; i++) {
			struct buffer b = begin(&r, family, 0, ETHTOOL_MSG_FEATURES_SET, ETHTOOL_GENL_VERSION);
			long header, wanted, bits, bit;

			header = nest_start(&b, ETHTOOL_A_FEATURES_HEADER);
			put_u32(&b, ETHTOOL_A_HEADER_DEV_INDEX, 1);
			put_u32(&b, ETHTOOL_A_HEADER_FLAGS, ETHTOOL_FLAG_COMPACT_BITSETS | ETHTOOL_FLAG_OMIT_REPLY);
			nest_end(&b, header);
			wanted = nest_start(&b, ETHTOOL_A_FEATURES_WANTED);
			bits = nest_start(&b, ETHTOOL_A_BITSET_BITS);
			bit = nest_start(&b, ETHTOOL_A_BITSET_BITS_BIT);
			put(&b, ETHTOOL_A_BITSET_BIT_NAME, "rx-gro", sizeof "rx-gro");
			if (i % 2)
				put(&b, ETHTOOL_A_BITSET_BIT_VALUE, "", 0);
			nest_end(&b, bit);
			nest_end(&b, bits);
			nest_end(&b, wanted);
			end(&r, &b);
			memcpy(requests + len, r.data, r.len);
			len += r.len;
		}
		fd = netlink_open();
		if (fd < 0)
			return -1;
	}
	if (sendto(fd, requests, len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
		return fail("sendto: %s", strerror(errno));
	if (recv(fd, error, sizeof error, MSG_DONTWAIT) > 0)
		return fail("setting a feature: %s", strerror(-*(int *)NLMSG_DATA((struct nlmsghdr *)error)));
	return 0;
}
