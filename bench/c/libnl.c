/* The worker "libnl": every row with libnl-3 and libnl-genl-3. Acks that nobody needs are off, which is not the default. */
#include <arpa/inet.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <linux/mptcp.h>
#include <linux/taskstats.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec.h"
#include "kernel.h"
#include "worker.h"

static uint32_t get_u32(struct nlattr *attr)
{
	return attr ? nla_get_u32(attr) : 0;
}

static uint64_t get_u64(struct nlattr *attr)
{
	return attr ? nla_get_u64(attr) : 0;
}

static int get_name(struct nlattr *attr, char name[16])
{
	if (!attr)
		return -NLE_MISSING_ATTR;
	nla_strlcpy(name, attr, 16);
	return 0;
}

/* Families */

static struct nla_policy family_policy[CTRL_ATTR_MCAST_GROUPS + 1] = {
	[CTRL_ATTR_FAMILY_ID] = {.type = NLA_U16},    [CTRL_ATTR_FAMILY_NAME] = {.type = NLA_STRING, .maxlen = 16},
	[CTRL_ATTR_VERSION] = {.type = NLA_U32},      [CTRL_ATTR_HDRSIZE] = {.type = NLA_U32},
	[CTRL_ATTR_MAXATTR] = {.type = NLA_U32},      [CTRL_ATTR_OPS] = {.type = NLA_NESTED},
	[CTRL_ATTR_MCAST_GROUPS] = {.type = NLA_NESTED},
};

static struct nla_policy op_policy[CTRL_ATTR_OP_MAX + 1] = {
	[CTRL_ATTR_OP_ID] = {.type = NLA_U32},
	[CTRL_ATTR_OP_FLAGS] = {.type = NLA_U32},
};

static struct nla_policy group_policy[CTRL_ATTR_MCAST_GRP_MAX + 1] = {
	[CTRL_ATTR_MCAST_GRP_NAME] = {.type = NLA_STRING},
	[CTRL_ATTR_MCAST_GRP_ID] = {.type = NLA_U32},
};

static int parse_family(struct nlmsghdr *nlh, struct family *f)
{
	struct nlattr *tb[CTRL_ATTR_MCAST_GROUPS + 1], *inner[4], *attr;
	int rem;

	if (nlmsg_parse(nlh, GENL_HDRLEN, tb, CTRL_ATTR_MCAST_GROUPS, family_policy) < 0 || !tb[CTRL_ATTR_FAMILY_ID] ||
	    get_name(tb[CTRL_ATTR_FAMILY_NAME], f->name) < 0)
		return -NLE_PARSE_ERR;
	f->id = nla_get_u16(tb[CTRL_ATTR_FAMILY_ID]);
	f->version = get_u32(tb[CTRL_ATTR_VERSION]);
	f->hdrsize = get_u32(tb[CTRL_ATTR_HDRSIZE]);
	f->maxattr = get_u32(tb[CTRL_ATTR_MAXATTR]);
	f->nops = f->ngroups = 0;
	if (tb[CTRL_ATTR_OPS])
		nla_for_each_nested(attr, tb[CTRL_ATTR_OPS], rem) {
			if (f->nops == sizeof f->ops / sizeof *f->ops ||
			    nla_parse_nested(inner, CTRL_ATTR_OP_MAX, attr, op_policy) < 0)
				return -NLE_PARSE_ERR;
			f->ops[f->nops++] = (struct op){get_u32(inner[CTRL_ATTR_OP_ID]), get_u32(inner[CTRL_ATTR_OP_FLAGS])};
		}
	if (tb[CTRL_ATTR_MCAST_GROUPS])
		nla_for_each_nested(attr, tb[CTRL_ATTR_MCAST_GROUPS], rem) {
			struct group *g = &f->groups[f->ngroups];

			if (f->ngroups == sizeof f->groups / sizeof *f->groups ||
			    nla_parse_nested(inner, CTRL_ATTR_MCAST_GRP_MAX, attr, group_policy) < 0 ||
			    get_name(inner[CTRL_ATTR_MCAST_GRP_NAME], g->name) < 0)
				return -NLE_PARSE_ERR;
			f->ngroups++;
			g->id = get_u32(inner[CTRL_ATTR_MCAST_GRP_ID]);
		}
	return 0;
}

static int family_cb(struct nl_msg *msg, void *arg)
{
	return parse_family(nlmsg_hdr(msg), arg) < 0 ? -NLE_PARSE_ERR : NL_OK;
}

static int families_cb(struct nl_msg *msg, void *arg)
{
	struct families *f = arg;

	if (f->n == sizeof f->list / sizeof *f->list)
		return -NLE_NOMEM;
	return family_cb(msg, &f->list[f->n++]);
}

/* Policies */

static struct nla_policy policy_policy[CTRL_ATTR_MAX + 1] = {
	[CTRL_ATTR_POLICY] = {.type = NLA_NESTED},
	[CTRL_ATTR_OP_POLICY] = {.type = NLA_NESTED},
};

static struct nla_policy op_policy_policy[CTRL_ATTR_POLICY_DUMP_MAX + 1] = {
	[CTRL_ATTR_POLICY_DO] = {.type = NLA_U32},
	[CTRL_ATTR_POLICY_DUMP] = {.type = NLA_U32},
};

static struct nla_policy limit_policy[NL_POLICY_TYPE_ATTR_MAX + 1] = {
	[NL_POLICY_TYPE_ATTR_TYPE] = {.type = NLA_U32},           [NL_POLICY_TYPE_ATTR_MIN_VALUE_S] = {.type = NLA_U64},
	[NL_POLICY_TYPE_ATTR_MAX_VALUE_S] = {.type = NLA_U64},    [NL_POLICY_TYPE_ATTR_MIN_VALUE_U] = {.type = NLA_U64},
	[NL_POLICY_TYPE_ATTR_MAX_VALUE_U] = {.type = NLA_U64},    [NL_POLICY_TYPE_ATTR_MIN_LENGTH] = {.type = NLA_U32},
	[NL_POLICY_TYPE_ATTR_MAX_LENGTH] = {.type = NLA_U32},     [NL_POLICY_TYPE_ATTR_POLICY_IDX] = {.type = NLA_U32},
	[NL_POLICY_TYPE_ATTR_POLICY_MAXTYPE] = {.type = NLA_U32}, [NL_POLICY_TYPE_ATTR_BITFIELD32_MASK] = {.type = NLA_U32},
	[NL_POLICY_TYPE_ATTR_MASK] = {.type = NLA_U64},
};

static int parse_limits(struct nlattr *nest, struct attr_policy *ap)
{
	struct nlattr *tb[NL_POLICY_TYPE_ATTR_MAX + 1];

	if (nla_parse_nested(tb, NL_POLICY_TYPE_ATTR_MAX, nest, limit_policy) < 0)
		return -NLE_PARSE_ERR;
	for (int i = 1; i <= NL_POLICY_TYPE_ATTR_MAX; i++)
		if (tb[i])
			ap->present |= 1u << i;
	ap->type = get_u32(tb[NL_POLICY_TYPE_ATTR_TYPE]);
	ap->min = get_u64(tb[NL_POLICY_TYPE_ATTR_MIN_VALUE_S]) | get_u64(tb[NL_POLICY_TYPE_ATTR_MIN_VALUE_U]);
	ap->max = get_u64(tb[NL_POLICY_TYPE_ATTR_MAX_VALUE_S]) | get_u64(tb[NL_POLICY_TYPE_ATTR_MAX_VALUE_U]);
	ap->min_length = get_u32(tb[NL_POLICY_TYPE_ATTR_MIN_LENGTH]);
	ap->max_length = get_u32(tb[NL_POLICY_TYPE_ATTR_MAX_LENGTH]);
	ap->nested_policy = get_u32(tb[NL_POLICY_TYPE_ATTR_POLICY_IDX]);
	ap->nested_maxattr = get_u32(tb[NL_POLICY_TYPE_ATTR_POLICY_MAXTYPE]);
	ap->bitfield32_mask = get_u32(tb[NL_POLICY_TYPE_ATTR_BITFIELD32_MASK]);
	ap->mask = get_u64(tb[NL_POLICY_TYPE_ATTR_MASK]);
	return 0;
}

static int parse_policy(struct nlmsghdr *nlh, struct policy *p)
{
	struct nlattr *tb[CTRL_ATTR_MAX + 1], *op[CTRL_ATTR_POLICY_DUMP_MAX + 1], *outer, *inner;
	int rem, rest;

	if (nlmsg_parse(nlh, GENL_HDRLEN, tb, CTRL_ATTR_MAX, policy_policy) < 0)
		return -NLE_PARSE_ERR;
	if (tb[CTRL_ATTR_POLICY])
		nla_for_each_nested(outer, tb[CTRL_ATTR_POLICY], rem)
			nla_for_each_nested(inner, outer, rest) {
				struct attr_policy *ap = &p->attrs[p->nattrs];

				if (p->nattrs == sizeof p->attrs / sizeof *p->attrs)
					return -NLE_NOMEM;
				p->nattrs++;
				*ap = (struct attr_policy){.policy = nla_type(outer), .attr = nla_type(inner)};
				if (parse_limits(inner, ap) < 0)
					return -NLE_PARSE_ERR;
			}
	if (tb[CTRL_ATTR_OP_POLICY])
		nla_for_each_nested(outer, tb[CTRL_ATTR_OP_POLICY], rem) {
			if (p->nops == sizeof p->ops / sizeof *p->ops ||
			    nla_parse_nested(op, CTRL_ATTR_POLICY_DUMP_MAX, outer, op_policy_policy) < 0)
				return -NLE_PARSE_ERR;
			p->ops[p->nops++] = (struct op_policy){
				nla_type(outer),
				op[CTRL_ATTR_POLICY_DO] ? nla_get_u32(op[CTRL_ATTR_POLICY_DO]) : NO_POLICY,
				op[CTRL_ATTR_POLICY_DUMP] ? nla_get_u32(op[CTRL_ATTR_POLICY_DUMP]) : NO_POLICY,
			};
		}
	return 0;
}

static int policy_cb(struct nl_msg *msg, void *arg)
{
	return parse_policy(nlmsg_hdr(msg), arg) < 0 ? -NLE_PARSE_ERR : NL_OK;
}

/* Devices */

static struct nla_policy features_policy[ETHTOOL_A_FEATURES_MAX + 1] = {
	[ETHTOOL_A_FEATURES_HEADER] = {.type = NLA_NESTED}, [ETHTOOL_A_FEATURES_HW] = {.type = NLA_NESTED},
	[ETHTOOL_A_FEATURES_WANTED] = {.type = NLA_NESTED}, [ETHTOOL_A_FEATURES_ACTIVE] = {.type = NLA_NESTED},
	[ETHTOOL_A_FEATURES_NOCHANGE] = {.type = NLA_NESTED},
};

static struct nla_policy header_policy[ETHTOOL_A_HEADER_MAX + 1] = {
	[ETHTOOL_A_HEADER_DEV_INDEX] = {.type = NLA_U32},
	[ETHTOOL_A_HEADER_DEV_NAME] = {.type = NLA_STRING},
};

static struct nla_policy bitset_policy[ETHTOOL_A_BITSET_MAX + 1] = {
	[ETHTOOL_A_BITSET_NOMASK] = {.type = NLA_FLAG},
	[ETHTOOL_A_BITSET_SIZE] = {.type = NLA_U32},
	[ETHTOOL_A_BITSET_VALUE] = {.maxlen = 32},
	[ETHTOOL_A_BITSET_MASK] = {.maxlen = 32},
};

static int parse_bitset(struct nlattr *nest, struct bitset *b)
{
	struct nlattr *tb[ETHTOOL_A_BITSET_MAX + 1];

	if (!nest || nla_parse_nested(tb, ETHTOOL_A_BITSET_MAX, nest, bitset_policy) < 0)
		return -NLE_PARSE_ERR;
	b->nomask = nla_get_flag(tb[ETHTOOL_A_BITSET_NOMASK]);
	b->size = get_u32(tb[ETHTOOL_A_BITSET_SIZE]);
	b->words = nla_memcpy(b->value, tb[ETHTOOL_A_BITSET_VALUE], sizeof b->value) / 4;
	nla_memcpy(b->mask, tb[ETHTOOL_A_BITSET_MASK], sizeof b->mask);
	return 0;
}

static int device_cb(struct nl_msg *msg, void *arg)
{
	struct devices *d = arg;
	struct nlattr *tb[ETHTOOL_A_FEATURES_MAX + 1], *header[ETHTOOL_A_HEADER_MAX + 1];
	struct features *f = &d->list[d->n];

	if (d->n == DEVICES_MAX ||
	    nlmsg_parse(nlmsg_hdr(msg), GENL_HDRLEN, tb, ETHTOOL_A_FEATURES_MAX, features_policy) < 0 ||
	    !tb[ETHTOOL_A_FEATURES_HEADER] ||
	    nla_parse_nested(header, ETHTOOL_A_HEADER_MAX, tb[ETHTOOL_A_FEATURES_HEADER], header_policy) < 0)
		return -NLE_PARSE_ERR;
	d->n++;
	f->ifindex = get_u32(header[ETHTOOL_A_HEADER_DEV_INDEX]);
	if (get_name(header[ETHTOOL_A_HEADER_DEV_NAME], f->name) < 0)
		return -NLE_PARSE_ERR;
	if (d->bitsets && (parse_bitset(tb[ETHTOOL_A_FEATURES_HW], &f->hw) < 0 ||
			   parse_bitset(tb[ETHTOOL_A_FEATURES_WANTED], &f->wanted) < 0 ||
			   parse_bitset(tb[ETHTOOL_A_FEATURES_ACTIVE], &f->active) < 0 ||
			   parse_bitset(tb[ETHTOOL_A_FEATURES_NOCHANGE], &f->nochange) < 0))
		return -NLE_PARSE_ERR;
	return NL_OK;
}

/* Taskstats */

static struct nla_policy reply_policy[TASKSTATS_TYPE_MAX + 1] = {
	[TASKSTATS_TYPE_PID] = {.type = NLA_U32},
	[TASKSTATS_TYPE_AGGR_PID] = {.type = NLA_NESTED},
};

static int taskstats_cb(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[TASKSTATS_TYPE_MAX + 1], *aggr[TASKSTATS_TYPE_MAX + 1];

	if (nlmsg_parse(nlmsg_hdr(msg), GENL_HDRLEN, tb, TASKSTATS_TYPE_MAX, reply_policy) < 0 ||
	    !tb[TASKSTATS_TYPE_AGGR_PID] ||
	    nla_parse_nested(aggr, TASKSTATS_TYPE_MAX, tb[TASKSTATS_TYPE_AGGR_PID], reply_policy) < 0 ||
	    !aggr[TASKSTATS_TYPE_STATS])
		return -NLE_PARSE_ERR;
	nla_memcpy(arg, aggr[TASKSTATS_TYPE_STATS], sizeof(struct taskstats));
	return NL_OK;
}

/* Rows */

struct state {
	struct nl_sock *sk;
	uint16_t family;
};

static struct state *new_state(const char *family)
{
	struct state *s = calloc(1, sizeof *s);

	if (!s || (family && resolve(family, &s->family, NULL, NULL) < 0))
		return NULL;
	s->sk = nl_socket_alloc();
	if (!s->sk || genl_connect(s->sk) < 0) {
		fail("cannot open a socket");
		return NULL;
	}
	nl_socket_disable_auto_ack(s->sk);
	return s;
}

static void *open_state(const char *family, nl_recvmsg_msg_cb_t cb, void *arg)
{
	struct state *s = new_state(family);

	if (s)
		nl_socket_modify_cb(s->sk, NL_CB_VALID, NL_CB_CUSTOM, cb, arg);
	return s;
}

static struct nl_msg *begin(struct state *s, uint16_t type, uint16_t flags, uint8_t command, uint8_t version)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (!msg || !genlmsg_put(msg, NL_AUTO_PORT, nl_socket_use_seq(s->sk), type, 0, flags, command, version)) {
		nlmsg_free(msg);
		fail("out of memory");
		return NULL;
	}
	return msg;
}

/* finish sends and frees the request, and has the socket's callback called with the answer. */
static int finish(struct state *s, struct nl_msg *msg)
{
	int err = nl_send_auto(s->sk, msg);

	nlmsg_free(msg);
	if (err >= 0)
		err = nl_recvmsgs_default(s->sk);
	return err < 0 ? fail("%s", nl_geterror(err)) : 0;
}

static struct family one_family;
static struct families all_families;
static struct policy one_policy;
static struct devices all_devices;
static struct taskstats one_task;

static void *open_getfamily(void)
{
	return open_state(NULL, family_cb, &one_family);
}

/* Every thread has a socket of its own and decodes into memory of its own. */
static void *open_parallel(void)
{
	return open_state(NULL, family_cb, calloc(1, sizeof(struct family)));
}

static int ask_getfamily(struct state *s)
{
	struct nl_msg *msg = begin(s, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, 1);

	if (!msg)
		return -1;
	NLA_PUT_STRING(msg, CTRL_ATTR_FAMILY_NAME, "ethtool");
	return finish(s, msg);

nla_put_failure:
	nlmsg_free(msg);
	return fail("message too small");
}

static int run_parallel(void *state, long n)
{
	while (n--)
		if (ask_getfamily(state) < 0)
			return -1;
	return 0;
}

static int run_getfamily(void *state, long n)
{
	return run_parallel(state, n) < 0 ? -1 : check_family(&one_family);
}

static void *open_families(void)
{
	return open_state(NULL, families_cb, &all_families);
}

static int run_families(void *state, long n)
{
	struct state *s = state;

	while (n--) {
		struct nl_msg *msg = begin(s, GENL_ID_CTRL, NLM_F_DUMP, CTRL_CMD_GETFAMILY, 1);

		all_families.n = 0;
		if (!msg || finish(s, msg) < 0)
			return -1;
	}
	return check_families(&all_families);
}

static void *open_taskstats(void)
{
	return open_state("TASKSTATS", taskstats_cb, &one_task);
}

static int ask_taskstats(struct state *s, uint32_t pid)
{
	struct nl_msg *msg = begin(s, s->family, 0, TASKSTATS_CMD_GET, TASKSTATS_GENL_VERSION);

	if (!msg)
		return -1;
	NLA_PUT_U32(msg, TASKSTATS_CMD_ATTR_PID, pid);
	return finish(s, msg);

nla_put_failure:
	nlmsg_free(msg);
	return fail("message too small");
}

static int run_taskstats(void *state, long n)
{
	uint32_t pid = getpid();

	while (n--)
		if (ask_taskstats(state, pid) < 0)
			return -1;
	return one_task.ac_pid == pid ? 0 : fail("statistics of %u", one_task.ac_pid);
}

static void *open_policy(void)
{
	return open_state("ethtool", policy_cb, &one_policy);
}

static int ask_policy(struct state *s)
{
	struct nl_msg *msg = begin(s, GENL_ID_CTRL, NLM_F_DUMP, CTRL_CMD_GETPOLICY, 1);

	if (!msg)
		return -1;
	NLA_PUT_U16(msg, CTRL_ATTR_FAMILY_ID, s->family);
	return finish(s, msg);

nla_put_failure:
	nlmsg_free(msg);
	return fail("message too small");
}

static int run_policy(void *state, long n)
{
	while (n--) {
		one_policy.nops = one_policy.nattrs = 0;
		if (ask_policy(state) < 0)
			return -1;
	}
	return check_policy(&one_policy);
}

static void *open_devices(void)
{
	return open_state("ethtool", device_cb, &all_devices);
}

static int ask_devices(struct state *s)
{
	struct nl_msg *msg = begin(s, s->family, NLM_F_DUMP, ETHTOOL_MSG_FEATURES_GET, ETHTOOL_GENL_VERSION);
	struct nlattr *header;

	if (!msg)
		return -1;
	header = nla_nest_start(msg, ETHTOOL_A_FEATURES_HEADER);
	if (!header)
		goto nla_put_failure;
	NLA_PUT_U32(msg, ETHTOOL_A_HEADER_FLAGS, ETHTOOL_FLAG_COMPACT_BITSETS);
	nla_nest_end(msg, header);
	return finish(s, msg);

nla_put_failure:
	nlmsg_free(msg);
	return fail("message too small");
}

static int dump_devices(struct state *s, long n, int bitsets)
{
	all_devices.bitsets = bitsets;
	while (n--) {
		all_devices.n = 0;
		if (ask_devices(s) < 0)
			return -1;
	}
	return check_devices(&all_devices, bitsets);
}

static int run_devices(void *state, long n)
{
	return dump_devices(state, n, 0);
}

static int run_devices_bitsets(void *state, long n)
{
	return dump_devices(state, n, 1);
}

static long events;

static int event_cb(struct nl_msg *msg, void *arg)
{
	struct genlmsghdr *genl = genlmsg_hdr(nlmsg_hdr(msg));

	(void)arg;
	events += genl->cmd == ETHTOOL_MSG_FEATURES_NTF && genlmsg_attrlen(genl, 0) > 0;
	return NL_OK;
}

static void *open_events(void)
{
	struct state *s = open_state(NULL, event_cb, NULL);
	uint32_t group;

	if (!s || resolve("ethtool", NULL, "monitor", &group) < 0 || receive_much(nl_socket_get_fd(s->sk)) < 0)
		return NULL;
	nl_socket_disable_seq_check(s->sk);
	if (nl_socket_add_membership(s->sk, group) < 0) {
		fail("cannot join the group");
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

	events = 0;
	for (long i = 0; i < n; i++) {
		int err = nl_recvmsgs_default(s->sk);

		if (err < 0)
			return fail("%s", nl_geterror(err));
	}
	return events == n ? 0 : fail("%ld of %ld notifications", events, n);
}

static void *open_recorded_families(void)
{
	return recorded("families.bin");
}

static int run_decode_families(void *state, long n)
{
	const struct recording *r = state;

	while (n--) {
		all_families.n = 0;
		for (size_t i = 0; i < r->n; i++)
			if (parse_family((struct nlmsghdr *)r->attrs[i].message, &all_families.list[all_families.n++]) < 0)
				return fail("malformed family");
	}
	return check_families(&all_families);
}

static void *open_recorded_policy(void)
{
	return recorded("policy-ethtool.bin");
}

static int run_decode_policy(void *state, long n)
{
	const struct recording *r = state;

	while (n--) {
		one_policy.nops = one_policy.nattrs = 0;
		for (size_t i = 0; i < r->n; i++)
			if (parse_policy((struct nlmsghdr *)r->attrs[i].message, &one_policy) < 0)
				return fail("malformed policy");
	}
	return check_policy(&one_policy);
}

static int put_newdest(struct nl_msg *msg, const struct newdest *d)
{
	struct nlattr *nest = nla_nest_start(msg, IPVS_CMD_ATTR_SERVICE);

	if (!nest)
		goto nla_put_failure;
	NLA_PUT_U16(msg, IPVS_SVC_ATTR_AF, d->service_af);
	NLA_PUT_U16(msg, IPVS_SVC_ATTR_PROTOCOL, d->protocol);
	NLA_PUT(msg, IPVS_SVC_ATTR_ADDR, sizeof d->service_addr, d->service_addr);
	NLA_PUT_U16(msg, IPVS_SVC_ATTR_PORT, htons(d->service_port));
	nla_nest_end(msg, nest);
	nest = nla_nest_start(msg, IPVS_CMD_ATTR_DEST);
	if (!nest)
		goto nla_put_failure;
	NLA_PUT_U16(msg, IPVS_DEST_ATTR_ADDR_FAMILY, d->af);
	NLA_PUT(msg, IPVS_DEST_ATTR_ADDR, sizeof d->addr, d->addr);
	NLA_PUT_U16(msg, IPVS_DEST_ATTR_PORT, htons(d->port));
	NLA_PUT_U32(msg, IPVS_DEST_ATTR_FWD_METHOD, d->fwd);
	NLA_PUT_U32(msg, IPVS_DEST_ATTR_WEIGHT, d->weight);
	NLA_PUT_U32(msg, IPVS_DEST_ATTR_U_THRESH, d->upper);
	NLA_PUT_U32(msg, IPVS_DEST_ATTR_L_THRESH, d->lower);
	NLA_PUT_U8(msg, IPVS_DEST_ATTR_TUN_TYPE, d->tun_type);
	nla_nest_end(msg, nest);
	return 0;

nla_put_failure:
	return fail("message too small");
}

static int run_encode_newdest(void *state, long n)
{
	for (;;) {
		struct nl_msg *msg = nlmsg_alloc();

		if (!msg || !nlmsg_put(msg, NL_AUTO_PORT, 1, 0, 0, 0) || put_newdest(msg, &newdest) < 0) {
			nlmsg_free(msg);
			return -1;
		}
		if (--n == 0) {
			int err = check_newdest(state, nlmsg_data(nlmsg_hdr(msg)), nlmsg_datalen(nlmsg_hdr(msg)));

			nlmsg_free(msg);
			return err;
		}
		nlmsg_free(msg);
	}
}

static const struct row rows[] = {
	{.name = "getfamily", .open = open_getfamily, .run = run_getfamily},
	{.name = "families", .open = open_families, .run = run_families},
	{.name = "taskstats", .open = open_taskstats, .run = run_taskstats},
	{.name = "policy", .open = open_policy, .run = run_policy},
	{.name = "devices", .open = open_devices, .run = run_devices},
	{.name = "devices-bitsets", .open = open_devices, .run = run_devices_bitsets},
	{.name = "parallel64", .open = open_parallel, .run = run_parallel, .threads = 64},
	{.name = "events", .open = open_events, .run = run_events, .prepare = prepare_events, .chunk = EVENTS},
	{.name = "decode-families", .open = open_recorded_families, .run = run_decode_families},
	{.name = "decode-policy", .open = open_recorded_policy, .run = run_decode_policy},
	{.name = "encode-newdest", .open = open_newdest, .run = run_encode_newdest},
};

int main(int argc, char **argv)
{
	return worker(argc, argv, rows, sizeof rows / sizeof *rows);
}
