/* The worker "libmnl": every row with libmnl, in the manner of the examples that come with it. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <linux/mptcp.h>
#include <linux/taskstats.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec.h"
#include "kernel.h"
#include "worker.h"

/* table takes the attributes of a nest by type, each checked to be what types says. */
struct table {
	const enum mnl_attr_data_type *types;
	int max;
	const struct nlattr *tb[16];
};

#define TABLE(t) (struct table){.types = t, .max = sizeof t / sizeof *t - 1}

static int store(const struct nlattr *attr, void *data)
{
	struct table *t = data;
	int type = mnl_attr_get_type(attr);

	if (mnl_attr_type_valid(attr, t->max) < 0)
		return MNL_CB_OK;
	if (mnl_attr_validate(attr, t->types[type]) < 0)
		return MNL_CB_ERROR;
	t->tb[type] = attr;
	return MNL_CB_OK;
}

static uint32_t get_u32(const struct nlattr *attr)
{
	return attr ? mnl_attr_get_u32(attr) : 0;
}

static int get_name(const struct nlattr *attr, char name[16])
{
	if (!attr || mnl_attr_get_payload_len(attr) > 16)
		return -1;
	strcpy(name, mnl_attr_get_str(attr));
	return 0;
}

/* Families */

static const enum mnl_attr_data_type family_types[] = {
	[CTRL_ATTR_FAMILY_ID] = MNL_TYPE_U16,   [CTRL_ATTR_FAMILY_NAME] = MNL_TYPE_NUL_STRING,
	[CTRL_ATTR_VERSION] = MNL_TYPE_U32,     [CTRL_ATTR_HDRSIZE] = MNL_TYPE_U32,
	[CTRL_ATTR_MAXATTR] = MNL_TYPE_U32,     [CTRL_ATTR_OPS] = MNL_TYPE_NESTED,
	[CTRL_ATTR_MCAST_GROUPS] = MNL_TYPE_NESTED,
};

static const enum mnl_attr_data_type op_types[] = {
	[CTRL_ATTR_OP_ID] = MNL_TYPE_U32,
	[CTRL_ATTR_OP_FLAGS] = MNL_TYPE_U32,
};

static const enum mnl_attr_data_type group_types[] = {
	[CTRL_ATTR_MCAST_GRP_NAME] = MNL_TYPE_NUL_STRING,
	[CTRL_ATTR_MCAST_GRP_ID] = MNL_TYPE_U32,
};

static int parse_ops(const struct nlattr *nest, struct family *f)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) {
		struct table t = TABLE(op_types);

		if (f->nops == sizeof f->ops / sizeof *f->ops || mnl_attr_parse_nested(attr, store, &t) < 0)
			return MNL_CB_ERROR;
		f->ops[f->nops++] = (struct op){get_u32(t.tb[CTRL_ATTR_OP_ID]), get_u32(t.tb[CTRL_ATTR_OP_FLAGS])};
	}
	return MNL_CB_OK;
}

static int parse_groups(const struct nlattr *nest, struct family *f)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) {
		struct table t = TABLE(group_types);
		struct group *g = &f->groups[f->ngroups];

		if (f->ngroups == sizeof f->groups / sizeof *f->groups || mnl_attr_parse_nested(attr, store, &t) < 0)
			return MNL_CB_ERROR;
		f->ngroups++;
		g->id = get_u32(t.tb[CTRL_ATTR_MCAST_GRP_ID]);
		if (get_name(t.tb[CTRL_ATTR_MCAST_GRP_NAME], g->name) < 0)
			return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

static int family_cb(const struct nlmsghdr *nlh, void *data)
{
	struct family *f = data;
	struct table t = TABLE(family_types);

	if (mnl_attr_parse(nlh, sizeof(struct genlmsghdr), store, &t) < 0 || !t.tb[CTRL_ATTR_FAMILY_ID] ||
	    get_name(t.tb[CTRL_ATTR_FAMILY_NAME], f->name) < 0)
		return MNL_CB_ERROR;
	f->id = mnl_attr_get_u16(t.tb[CTRL_ATTR_FAMILY_ID]);
	f->version = get_u32(t.tb[CTRL_ATTR_VERSION]);
	f->hdrsize = get_u32(t.tb[CTRL_ATTR_HDRSIZE]);
	f->maxattr = get_u32(t.tb[CTRL_ATTR_MAXATTR]);
	f->nops = f->ngroups = 0;
	if (t.tb[CTRL_ATTR_OPS] && parse_ops(t.tb[CTRL_ATTR_OPS], f) < 0)
		return MNL_CB_ERROR;
	if (t.tb[CTRL_ATTR_MCAST_GROUPS] && parse_groups(t.tb[CTRL_ATTR_MCAST_GROUPS], f) < 0)
		return MNL_CB_ERROR;
	return MNL_CB_OK;
}

static int families_cb(const struct nlmsghdr *nlh, void *data)
{
	struct families *f = data;

	if (f->n == sizeof f->list / sizeof *f->list)
		return MNL_CB_ERROR;
	return family_cb(nlh, &f->list[f->n++]);
}

/* Policies */

static const enum mnl_attr_data_type policy_types[] = {
	[CTRL_ATTR_POLICY] = MNL_TYPE_NESTED,
	[CTRL_ATTR_OP_POLICY] = MNL_TYPE_NESTED,
};

static const enum mnl_attr_data_type op_policy_types[] = {
	[CTRL_ATTR_POLICY_DO] = MNL_TYPE_U32,
	[CTRL_ATTR_POLICY_DUMP] = MNL_TYPE_U32,
};

static const enum mnl_attr_data_type limit_types[] = {
	[NL_POLICY_TYPE_ATTR_TYPE] = MNL_TYPE_U32,         [NL_POLICY_TYPE_ATTR_MIN_VALUE_S] = MNL_TYPE_U64,
	[NL_POLICY_TYPE_ATTR_MAX_VALUE_S] = MNL_TYPE_U64,  [NL_POLICY_TYPE_ATTR_MIN_VALUE_U] = MNL_TYPE_U64,
	[NL_POLICY_TYPE_ATTR_MAX_VALUE_U] = MNL_TYPE_U64,  [NL_POLICY_TYPE_ATTR_MIN_LENGTH] = MNL_TYPE_U32,
	[NL_POLICY_TYPE_ATTR_MAX_LENGTH] = MNL_TYPE_U32,   [NL_POLICY_TYPE_ATTR_POLICY_IDX] = MNL_TYPE_U32,
	[NL_POLICY_TYPE_ATTR_POLICY_MAXTYPE] = MNL_TYPE_U32, [NL_POLICY_TYPE_ATTR_BITFIELD32_MASK] = MNL_TYPE_U32,
	[NL_POLICY_TYPE_ATTR_PAD] = MNL_TYPE_UNSPEC,       [NL_POLICY_TYPE_ATTR_MASK] = MNL_TYPE_U64,
};

static uint64_t get_u64(const struct nlattr *attr)
{
	return attr ? mnl_attr_get_u64(attr) : 0;
}

static int parse_limits(const struct nlattr *nest, struct attr_policy *ap)
{
	struct table t = TABLE(limit_types);

	if (mnl_attr_parse_nested(nest, store, &t) < 0)
		return MNL_CB_ERROR;
	for (int i = 1; i <= t.max; i++)
		if (t.tb[i])
			ap->present |= 1u << i;
	ap->type = get_u32(t.tb[NL_POLICY_TYPE_ATTR_TYPE]);
	ap->min = get_u64(t.tb[NL_POLICY_TYPE_ATTR_MIN_VALUE_S]) | get_u64(t.tb[NL_POLICY_TYPE_ATTR_MIN_VALUE_U]);
	ap->max = get_u64(t.tb[NL_POLICY_TYPE_ATTR_MAX_VALUE_S]) | get_u64(t.tb[NL_POLICY_TYPE_ATTR_MAX_VALUE_U]);
	ap->min_length = get_u32(t.tb[NL_POLICY_TYPE_ATTR_MIN_LENGTH]);
	ap->max_length = get_u32(t.tb[NL_POLICY_TYPE_ATTR_MAX_LENGTH]);
	ap->nested_policy = get_u32(t.tb[NL_POLICY_TYPE_ATTR_POLICY_IDX]);
	ap->nested_maxattr = get_u32(t.tb[NL_POLICY_TYPE_ATTR_POLICY_MAXTYPE]);
	ap->bitfield32_mask = get_u32(t.tb[NL_POLICY_TYPE_ATTR_BITFIELD32_MASK]);
	ap->mask = get_u64(t.tb[NL_POLICY_TYPE_ATTR_MASK]);
	return MNL_CB_OK;
}

static int policy_cb(const struct nlmsghdr *nlh, void *data)
{
	struct policy *p = data;
	struct table t = TABLE(policy_types);
	const struct nlattr *outer, *inner;

	if (mnl_attr_parse(nlh, sizeof(struct genlmsghdr), store, &t) < 0)
		return MNL_CB_ERROR;
	if (t.tb[CTRL_ATTR_POLICY])
		mnl_attr_for_each_nested(outer, t.tb[CTRL_ATTR_POLICY])
			mnl_attr_for_each_nested(inner, outer) {
				struct attr_policy *ap = &p->attrs[p->nattrs];

				if (p->nattrs == sizeof p->attrs / sizeof *p->attrs)
					return MNL_CB_ERROR;
				p->nattrs++;
				*ap = (struct attr_policy){.policy = mnl_attr_get_type(outer), .attr = mnl_attr_get_type(inner)};
				if (parse_limits(inner, ap) < 0)
					return MNL_CB_ERROR;
			}
	if (t.tb[CTRL_ATTR_OP_POLICY])
		mnl_attr_for_each_nested(outer, t.tb[CTRL_ATTR_OP_POLICY]) {
			struct table o = TABLE(op_policy_types);

			if (p->nops == sizeof p->ops / sizeof *p->ops || mnl_attr_parse_nested(outer, store, &o) < 0)
				return MNL_CB_ERROR;
			p->ops[p->nops++] = (struct op_policy){
				mnl_attr_get_type(outer),
				o.tb[CTRL_ATTR_POLICY_DO] ? mnl_attr_get_u32(o.tb[CTRL_ATTR_POLICY_DO]) : NO_POLICY,
				o.tb[CTRL_ATTR_POLICY_DUMP] ? mnl_attr_get_u32(o.tb[CTRL_ATTR_POLICY_DUMP]) : NO_POLICY,
			};
		}
	return MNL_CB_OK;
}

/* Devices */

static const enum mnl_attr_data_type features_types[] = {
	[ETHTOOL_A_FEATURES_HEADER] = MNL_TYPE_NESTED, [ETHTOOL_A_FEATURES_HW] = MNL_TYPE_NESTED,
	[ETHTOOL_A_FEATURES_WANTED] = MNL_TYPE_NESTED, [ETHTOOL_A_FEATURES_ACTIVE] = MNL_TYPE_NESTED,
	[ETHTOOL_A_FEATURES_NOCHANGE] = MNL_TYPE_NESTED,
};

static const enum mnl_attr_data_type header_types[] = {
	[ETHTOOL_A_HEADER_DEV_INDEX] = MNL_TYPE_U32,
	[ETHTOOL_A_HEADER_DEV_NAME] = MNL_TYPE_NUL_STRING,
};

static const enum mnl_attr_data_type bitset_types[] = {
	[ETHTOOL_A_BITSET_NOMASK] = MNL_TYPE_FLAG,  [ETHTOOL_A_BITSET_SIZE] = MNL_TYPE_U32,
	[ETHTOOL_A_BITSET_BITS] = MNL_TYPE_NESTED,  [ETHTOOL_A_BITSET_VALUE] = MNL_TYPE_BINARY,
	[ETHTOOL_A_BITSET_MASK] = MNL_TYPE_BINARY,
};

static int get_words(const struct nlattr *attr, uint32_t words[8], uint32_t *n)
{
	size_t len = attr ? mnl_attr_get_payload_len(attr) : 0;

	if (len > 32)
		return MNL_CB_ERROR;
	if (attr)
		memcpy(words, mnl_attr_get_payload(attr), len);
	*n = len / 4;
	return MNL_CB_OK;
}

static int parse_bitset(const struct nlattr *nest, struct bitset *b)
{
	struct table t = TABLE(bitset_types);
	uint32_t n;

	if (!nest || mnl_attr_parse_nested(nest, store, &t) < 0)
		return MNL_CB_ERROR;
	b->nomask = t.tb[ETHTOOL_A_BITSET_NOMASK] != NULL;
	b->size = get_u32(t.tb[ETHTOOL_A_BITSET_SIZE]);
	if (get_words(t.tb[ETHTOOL_A_BITSET_VALUE], b->value, &b->words) < 0)
		return MNL_CB_ERROR;
	return get_words(t.tb[ETHTOOL_A_BITSET_MASK], b->mask, &n);
}

static int device_cb(const struct nlmsghdr *nlh, void *data)
{
	struct devices *d = data;
	struct table t = TABLE(features_types), h = TABLE(header_types);
	struct features *f = &d->list[d->n];

	if (d->n == DEVICES_MAX || mnl_attr_parse(nlh, sizeof(struct genlmsghdr), store, &t) < 0 ||
	    !t.tb[ETHTOOL_A_FEATURES_HEADER] || mnl_attr_parse_nested(t.tb[ETHTOOL_A_FEATURES_HEADER], store, &h) < 0)
		return MNL_CB_ERROR;
	d->n++;
	f->ifindex = get_u32(h.tb[ETHTOOL_A_HEADER_DEV_INDEX]);
	if (get_name(h.tb[ETHTOOL_A_HEADER_DEV_NAME], f->name) < 0)
		return MNL_CB_ERROR;
	if (d->bitsets && (parse_bitset(t.tb[ETHTOOL_A_FEATURES_HW], &f->hw) < 0 ||
			   parse_bitset(t.tb[ETHTOOL_A_FEATURES_WANTED], &f->wanted) < 0 ||
			   parse_bitset(t.tb[ETHTOOL_A_FEATURES_ACTIVE], &f->active) < 0 ||
			   parse_bitset(t.tb[ETHTOOL_A_FEATURES_NOCHANGE], &f->nochange) < 0))
		return MNL_CB_ERROR;
	return MNL_CB_OK;
}

/* Taskstats */

static const enum mnl_attr_data_type reply_types[] = {
	[TASKSTATS_TYPE_AGGR_PID] = MNL_TYPE_NESTED,
};

static const enum mnl_attr_data_type aggr_types[] = {
	[TASKSTATS_TYPE_PID] = MNL_TYPE_U32,
	[TASKSTATS_TYPE_STATS] = MNL_TYPE_BINARY,
};

static int taskstats_cb(const struct nlmsghdr *nlh, void *data)
{
	struct taskstats *ts = data;
	struct table t = TABLE(reply_types), aggr = TABLE(aggr_types);
	const struct nlattr *stats;
	size_t len;

	/* The nest's type is higher than what is in it. */
	if (mnl_attr_parse(nlh, sizeof(struct genlmsghdr), store, &t) < 0 || !t.tb[TASKSTATS_TYPE_AGGR_PID] ||
	    mnl_attr_parse_nested(t.tb[TASKSTATS_TYPE_AGGR_PID], store, &aggr) < 0 ||
	    !(stats = aggr.tb[TASKSTATS_TYPE_STATS]))
		return MNL_CB_ERROR;
	len = mnl_attr_get_payload_len(stats);
	memcpy(ts, mnl_attr_get_payload(stats), len < sizeof *ts ? len : sizeof *ts);
	return MNL_CB_OK;
}

/* Rows */

struct state {
	struct mnl_socket *nl;
	unsigned portid, seq;
	uint16_t family;
	char request[2 * BATCH * 64]; /* half of it for a batch, half for the message that no longer fits */
	char reply[RECEIVE_BUFFER];
};

static void *new_state(const char *family)
{
	struct state *s = calloc(1, sizeof *s);

	if (!s || (family && resolve(family, &s->family, NULL, NULL) < 0))
		return NULL;
	s->nl = mnl_socket_open(NETLINK_GENERIC);
	if (!s->nl || mnl_socket_bind(s->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		fail("opening a socket: %s", strerror(errno));
		return NULL;
	}
	s->portid = mnl_socket_get_portid(s->nl);
	return s;
}

static struct nlmsghdr *begin(struct state *s, void *buf, uint16_t type, uint16_t flags, uint8_t command, uint8_t version)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++s->seq;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof *genl);
	genl->cmd = command;
	genl->version = version;
	return nlh;
}

/* finish sends the request and runs the callback on the answer; a dump's answer ends where the callbacks say stop. */
static int finish(struct state *s, const struct nlmsghdr *request, mnl_cb_t cb, void *data)
{
	int more, dump = request->nlmsg_flags & NLM_F_DUMP;

	if (mnl_socket_sendto(s->nl, request, request->nlmsg_len) < 0)
		return fail("sending: %s", strerror(errno));
	do {
		ssize_t n = mnl_socket_recvfrom(s->nl, s->reply, sizeof s->reply);

		if (n < 0)
			return fail("receiving: %s", strerror(errno));
		more = mnl_cb_run(s->reply, n, request->nlmsg_seq, s->portid, cb, data);
		if (more < 0)
			return fail("the answer: %s", strerror(errno));
	} while (dump && more > MNL_CB_STOP);
	return 0;
}

static void *open_ctrl(void)
{
	return new_state(NULL);
}

static void *open_taskstats(void)
{
	return new_state("TASKSTATS");
}

static void *open_ethtool(void)
{
	return new_state("ethtool");
}

static void *open_mptcp(void)
{
	return new_state("mptcp_pm");
}

static int run_getfamily(void *state, long n)
{
	struct state *s = state;
	struct family f;

	while (n--) {
		struct nlmsghdr *nlh = begin(s, s->request, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, 1);

		mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, "ethtool");
		if (finish(s, nlh, family_cb, &f) < 0)
			return -1;
	}
	return check_family(&f);
}

static int run_families(void *state, long n)
{
	static struct families out;
	struct state *s = state;

	while (n--) {
		out.n = 0;
		if (finish(s, begin(s, s->request, GENL_ID_CTRL, NLM_F_DUMP, CTRL_CMD_GETFAMILY, 1), families_cb, &out) < 0)
			return -1;
	}
	return check_families(&out);
}

static struct nlmsghdr *ask_taskstats(struct state *s, void *buf, uint32_t pid)
{
	struct nlmsghdr *nlh = begin(s, buf, s->family, 0, TASKSTATS_CMD_GET, TASKSTATS_GENL_VERSION);

	mnl_attr_put_u32(nlh, TASKSTATS_CMD_ATTR_PID, pid);
	return nlh;
}

static int run_taskstats(void *state, long n)
{
	struct state *s = state;
	struct taskstats ts;
	uint32_t pid = getpid();

	while (n--)
		if (finish(s, ask_taskstats(s, s->request, pid), taskstats_cb, &ts) < 0)
			return -1;
	return ts.ac_pid == pid ? 0 : fail("statistics of %u", ts.ac_pid);
}

static int run_policy(void *state, long n)
{
	static struct policy out;
	struct state *s = state;

	while (n--) {
		struct nlmsghdr *nlh = begin(s, s->request, GENL_ID_CTRL, NLM_F_DUMP, CTRL_CMD_GETPOLICY, 1);

		mnl_attr_put_u16(nlh, CTRL_ATTR_FAMILY_ID, s->family);
		out.nops = out.nattrs = 0;
		if (finish(s, nlh, policy_cb, &out) < 0)
			return -1;
	}
	return check_policy(&out);
}

static int dump_devices(struct state *s, long n, int bitsets)
{
	static struct devices out;

	out.bitsets = bitsets;
	while (n--) {
		struct nlmsghdr *nlh = begin(s, s->request, s->family, NLM_F_DUMP, ETHTOOL_MSG_FEATURES_GET, ETHTOOL_GENL_VERSION);
		struct nlattr *header = mnl_attr_nest_start(nlh, ETHTOOL_A_FEATURES_HEADER);

		mnl_attr_put_u32(nlh, ETHTOOL_A_HEADER_FLAGS, ETHTOOL_FLAG_COMPACT_BITSETS);
		mnl_attr_nest_end(nlh, header);
		out.n = 0;
		if (finish(s, nlh, device_cb, &out) < 0)
			return -1;
	}
	return check_devices(&out, bitsets);
}

static int run_devices(void *state, long n)
{
	return dump_devices(state, n, 0);
}

static int run_devices_bitsets(void *state, long n)
{
	return dump_devices(state, n, 1);
}

static void *open_events(void)
{
	struct state *s = new_state(NULL);
	uint32_t group;

	if (!s || resolve("ethtool", NULL, "monitor", &group) < 0 || receive_much(mnl_socket_get_fd(s->nl)) < 0)
		return NULL;
	if (mnl_socket_setsockopt(s->nl, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
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

static int event_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);

	*(long *)data += genl->cmd == ETHTOOL_MSG_FEATURES_NTF && mnl_nlmsg_get_payload_len(nlh) > GENL_HDRLEN;
	return MNL_CB_OK;
}

static int run_events(void *state, long n)
{
	struct state *s = state;
	long seen = 0;

	for (long i = 0; i < n; i++) {
		ssize_t len = mnl_socket_recvfrom(s->nl, s->reply, sizeof s->reply);

		if (len < 0 || mnl_cb_run(s->reply, len, 0, 0, event_cb, &seen) < 0)
			return fail("receiving: %s", strerror(errno));
	}
	return seen == n ? 0 : fail("%ld of %ld notifications", seen, n);
}

/* batch sends BATCH requests at once. */
static int batch(struct state *s, struct nlmsghdr *(*ask)(struct state *, void *, uint32_t), uint32_t arg)
{
	struct mnl_nlmsg_batch *b = mnl_nlmsg_batch_start(s->request, sizeof s->request / 2);
	ssize_t n;

	if (!b)
		return fail("out of memory");
	for (int i = 0; i < BATCH; i++) {
		ask(s, mnl_nlmsg_batch_current(b), arg);
		if (!mnl_nlmsg_batch_next(b)) {
			mnl_nlmsg_batch_stop(b);
			return fail("the batch is full after %d", i);
		}
	}
	n = mnl_socket_sendto(s->nl, mnl_nlmsg_batch_head(b), mnl_nlmsg_batch_size(b));
	mnl_nlmsg_batch_stop(b);
	return n < 0 ? fail("sending: %s", strerror(errno)) : 0;
}

static int run_batch_taskstats(void *state, long n)
{
	struct state *s = state;
	struct taskstats ts;
	uint32_t pid = getpid();

	for (; n > 0; n -= BATCH) {
		unsigned first = s->seq + 1;

		if (batch(s, ask_taskstats, pid) < 0)
			return -1;
		for (int i = 0; i < BATCH; i++) {
			ssize_t len = mnl_socket_recvfrom(s->nl, s->reply, sizeof s->reply);

			if (len < 0 || mnl_cb_run(s->reply, len, first + i, s->portid, taskstats_cb, &ts) < 0)
				return fail("receiving: %s", strerror(errno));
		}
	}
	return ts.ac_pid == pid ? 0 : fail("statistics of %u", ts.ac_pid);
}

/* The kernel works off the requests in order and reports each failure unasked, so the last one's ack is enough. */
static struct nlmsghdr *ask_setlimits(struct state *s, void *buf, uint32_t last)
{
	struct nlmsghdr *nlh = begin(s, buf, s->family, 0, MPTCP_PM_CMD_SET_LIMITS, MPTCP_PM_VER);

	mnl_attr_put_u32(nlh, MPTCP_PM_ATTR_RCV_ADD_ADDRS, 2);
	mnl_attr_put_u32(nlh, MPTCP_PM_ATTR_SUBFLOWS, 2);
	if (s->seq == last)
		nlh->nlmsg_flags |= NLM_F_ACK;
	return nlh;
}

static int run_batch_setlimits(void *state, long n)
{
	struct state *s = state;

	for (; n > 0; n -= BATCH) {
		ssize_t len;

		if (batch(s, ask_setlimits, s->seq + BATCH) < 0)
			return -1;
		len = mnl_socket_recvfrom(s->nl, s->reply, sizeof s->reply);
		if (len < 0 || mnl_cb_run(s->reply, len, s->seq, s->portid, NULL, NULL) < 0)
			return fail("setting limits: %s", strerror(errno));
	}
	return 0;
}

static void *open_recorded_families(void)
{
	return recorded("families.bin");
}

static int run_decode_families(void *state, long n)
{
	static struct families out;
	const struct recording *r = state;

	while (n--) {
		out.n = 0;
		for (size_t i = 0; i < r->n; i++)
			if (families_cb(r->attrs[i].message, &out) < 0)
				return fail("malformed family");
	}
	return check_families(&out);
}

static void *open_recorded_policy(void)
{
	return recorded("policy-ethtool.bin");
}

static int run_decode_policy(void *state, long n)
{
	static struct policy out;
	const struct recording *r = state;

	while (n--) {
		out.nops = out.nattrs = 0;
		for (size_t i = 0; i < r->n; i++)
			if (policy_cb(r->attrs[i].message, &out) < 0)
				return fail("malformed policy");
	}
	return check_policy(&out);
}

static int run_encode_newdest(void *state, long n)
{
	static char buf[512] __attribute__((aligned(4)));
	const struct newdest *d = &newdest;
	struct nlmsghdr *nlh = NULL;

	while (n--) {
		struct nlattr *nest;
		bool ok = true;

		nlh = mnl_nlmsg_put_header(buf);
		nest = mnl_attr_nest_start_check(nlh, sizeof buf, IPVS_CMD_ATTR_SERVICE);
		if (!nest)
			return fail("buffer too small");
		ok &= mnl_attr_put_u16_check(nlh, sizeof buf, IPVS_SVC_ATTR_AF, d->service_af);
		ok &= mnl_attr_put_u16_check(nlh, sizeof buf, IPVS_SVC_ATTR_PROTOCOL, d->protocol);
		ok &= mnl_attr_put_check(nlh, sizeof buf, IPVS_SVC_ATTR_ADDR, sizeof d->service_addr, d->service_addr);
		ok &= mnl_attr_put_u16_check(nlh, sizeof buf, IPVS_SVC_ATTR_PORT, htons(d->service_port));
		mnl_attr_nest_end(nlh, nest);
		nest = mnl_attr_nest_start_check(nlh, sizeof buf, IPVS_CMD_ATTR_DEST);
		if (!nest)
			return fail("buffer too small");
		ok &= mnl_attr_put_u16_check(nlh, sizeof buf, IPVS_DEST_ATTR_ADDR_FAMILY, d->af);
		ok &= mnl_attr_put_check(nlh, sizeof buf, IPVS_DEST_ATTR_ADDR, sizeof d->addr, d->addr);
		ok &= mnl_attr_put_u16_check(nlh, sizeof buf, IPVS_DEST_ATTR_PORT, htons(d->port));
		ok &= mnl_attr_put_u32_check(nlh, sizeof buf, IPVS_DEST_ATTR_FWD_METHOD, d->fwd);
		ok &= mnl_attr_put_u32_check(nlh, sizeof buf, IPVS_DEST_ATTR_WEIGHT, d->weight);
		ok &= mnl_attr_put_u32_check(nlh, sizeof buf, IPVS_DEST_ATTR_U_THRESH, d->upper);
		ok &= mnl_attr_put_u32_check(nlh, sizeof buf, IPVS_DEST_ATTR_L_THRESH, d->lower);
		ok &= mnl_attr_put_u8_check(nlh, sizeof buf, IPVS_DEST_ATTR_TUN_TYPE, d->tun_type);
		mnl_attr_nest_end(nlh, nest);
		if (!ok)
			return fail("buffer too small");
	}
	return check_newdest(state, mnl_nlmsg_get_payload(nlh), mnl_nlmsg_get_payload_len(nlh));
}

static const struct row rows[] = {
	{.name = "getfamily", .open = open_ctrl, .run = run_getfamily},
	{.name = "families", .open = open_ctrl, .run = run_families},
	{.name = "taskstats", .open = open_taskstats, .run = run_taskstats},
	{.name = "policy", .open = open_ethtool, .run = run_policy},
	{.name = "devices", .open = open_ethtool, .run = run_devices},
	{.name = "devices-bitsets", .open = open_ethtool, .run = run_devices_bitsets},
	{.name = "parallel64", .open = open_ctrl, .run = run_getfamily, .threads = 64},
	{.name = "events", .open = open_events, .run = run_events, .prepare = prepare_events, .chunk = EVENTS},
	{.name = "batch-taskstats", .open = open_taskstats, .run = run_batch_taskstats},
	{.name = "batch-setlimits", .open = open_mptcp, .run = run_batch_setlimits},
	{.name = "decode-families", .open = open_recorded_families, .run = run_decode_families},
	{.name = "decode-policy", .open = open_recorded_policy, .run = run_decode_policy},
	{.name = "encode-newdest", .open = open_newdest, .run = run_encode_newdest},
};

int main(int argc, char **argv)
{
	return worker(argc, argv, rows, sizeof rows / sizeof *rows);
}
