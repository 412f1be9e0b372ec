#include "codec.h"

#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <linux/netlink.h>
#include <string.h>

int put(struct buffer *b, uint16_t type, const void *data, size_t len)
{
	size_t total = NLA_HDRLEN + len, aligned = NLA_ALIGN(total);
	struct nlattr h = {.nla_len = total, .nla_type = type};
	char *p = b->data + b->len;

	if (total > UINT16_MAX || aligned > b->cap - b->len)
		return -1;
	memcpy(p, &h, sizeof h);
	memcpy(p + NLA_HDRLEN, data, len);
	memset(p + total, 0, aligned - total);
	b->len += aligned;
	return 0;
}

int put_u8(struct buffer *b, uint16_t type, uint8_t v)
{
	return put(b, type, &v, sizeof v);
}

int put_u16(struct buffer *b, uint16_t type, uint16_t v)
{
	return put(b, type, &v, sizeof v);
}

int put_u32(struct buffer *b, uint16_t type, uint32_t v)
{
	return put(b, type, &v, sizeof v);
}

long nest_start(struct buffer *b, uint16_t type)
{
	long start = b->len;

	if (put(b, type | NLA_F_NESTED, "", 0) < 0)
		return -1;
	return start;
}

void nest_end(struct buffer *b, long start)
{
	uint16_t len = b->len - start;

	memcpy(b->data + start, &len, sizeof len);
}

const struct newdest newdest = {
	.service_af = 2,
	.protocol = 6,
	.service_port = 80,
	.service_addr = {1, 1, 1, 1},
	.af = 2,
	.addr = {2, 2, 2, 36},
	.port = 80,
	.fwd = 2,
	.weight = 1,
	.tun_type = 1,
};

int encode_newdest(struct buffer *b, const struct newdest *d)
{
	int err = 0;
	long nest = nest_start(b, IPVS_CMD_ATTR_SERVICE);

	if (nest < 0)
		return -1;
	err |= put_u16(b, IPVS_SVC_ATTR_AF, d->service_af);
	err |= put_u16(b, IPVS_SVC_ATTR_PROTOCOL, d->protocol);
	err |= put(b, IPVS_SVC_ATTR_ADDR, d->service_addr, sizeof d->service_addr);
	err |= put_u16(b, IPVS_SVC_ATTR_PORT, htons(d->service_port));
	nest_end(b, nest);

	nest = nest_start(b, IPVS_CMD_ATTR_DEST);
	if (nest < 0)
		return -1;
	err |= put_u16(b, IPVS_DEST_ATTR_ADDR_FAMILY, d->af);
	err |= put(b, IPVS_DEST_ATTR_ADDR, d->addr, sizeof d->addr);
	err |= put_u16(b, IPVS_DEST_ATTR_PORT, htons(d->port));
	err |= put_u32(b, IPVS_DEST_ATTR_FWD_METHOD, d->fwd);
	err |= put_u32(b, IPVS_DEST_ATTR_WEIGHT, d->weight);
	err |= put_u32(b, IPVS_DEST_ATTR_U_THRESH, d->upper);
	err |= put_u32(b, IPVS_DEST_ATTR_L_THRESH, d->lower);
	err |= put_u8(b, IPVS_DEST_ATTR_TUN_TYPE, d->tun_type);
	nest_end(b, nest);
	return err;
}

/*
 * EACH walks the attributes of rem bytes at a, as the kernel's own nla_for_each_attr does: rem ends above 0 where the
 * next one is malformed, and below 0 where the last one is not padded, which is allowed.
 */
#define EACH(a, rem) \
	for (; rem >= NLA_HDRLEN && a->nla_len >= NLA_HDRLEN && a->nla_len <= rem; \
	     rem -= NLA_ALIGN(a->nla_len), a = (const struct nlattr *)((const char *)a + NLA_ALIGN(a->nla_len)))

static inline int type(const struct nlattr *a)
{
	return a->nla_type & NLA_TYPE_MASK;
}

static inline const void *data(const struct nlattr *a)
{
	return (const char *)a + NLA_HDRLEN;
}

static inline int length(const struct nlattr *a)
{
	return a->nla_len - NLA_HDRLEN;
}

static inline int get_u16(const struct nlattr *a, uint16_t *v)
{
	if (length(a) < (int)sizeof *v)
		return -1;
	memcpy(v, data(a), sizeof *v);
	return 0;
}

static inline int get_u32(const struct nlattr *a, uint32_t *v)
{
	if (length(a) < (int)sizeof *v)
		return -1;
	memcpy(v, data(a), sizeof *v);
	return 0;
}

static inline int get_u64(const struct nlattr *a, uint64_t *v)
{
	if (length(a) < (int)sizeof *v)
		return -1;
	memcpy(v, data(a), sizeof *v);
	return 0;
}

static inline int get_name(const struct nlattr *a, char name[16])
{
	size_t len = strnlen(data(a), length(a));

	if (len >= 16)
		return -1;
	memcpy(name, data(a), len);
	name[len] = 0;
	return 0;
}

static int decode_op(const struct nlattr *nest, struct op *op)
{
	const struct nlattr *a = data(nest);
	int rem = length(nest), err = 0;

	*op = (struct op){0};
	EACH(a, rem)
		switch (type(a)) {
		case CTRL_ATTR_OP_ID:
			err |= get_u32(a, &op->id);
			break;
		case CTRL_ATTR_OP_FLAGS:
			err |= get_u32(a, &op->flags);
			break;
		}
	return rem > 0 ? -1 : err;
}

static int decode_ops(const struct nlattr *nest, struct family *f)
{
	const struct nlattr *a = data(nest);
	int rem = length(nest), err = 0;

	EACH(a, rem) {
		if (f->nops == sizeof f->ops / sizeof *f->ops)
			return -1;
		err |= decode_op(a, &f->ops[f->nops++]);
	}
	return rem > 0 ? -1 : err;
}

static int decode_group(const struct nlattr *nest, struct group *g)
{
	const struct nlattr *a = data(nest);
	int rem = length(nest), err = 0;

	*g = (struct group){0};
	EACH(a, rem)
		switch (type(a)) {
		case CTRL_ATTR_MCAST_GRP_ID:
			err |= get_u32(a, &g->id);
			break;
		case CTRL_ATTR_MCAST_GRP_NAME:
			err |= get_name(a, g->name);
			break;
		}
	return rem > 0 ? -1 : err;
}

static int decode_groups(const struct nlattr *nest, struct family *f)
{
	const struct nlattr *a = data(nest);
	int rem = length(nest), err = 0;

	EACH(a, rem) {
		if (f->ngroups == sizeof f->groups / sizeof *f->groups)
			return -1;
		err |= decode_group(a, &f->groups[f->ngroups++]);
	}
	return rem > 0 ? -1 : err;
}

int decode_family(const char *attrs, size_t len, struct family *f)
{
	const struct nlattr *a = (const struct nlattr *)attrs;
	int rem = len, err = 0;

	f->id = 0;
	f->name[0] = 0;
	f->version = f->hdrsize = f->maxattr = 0;
	f->nops = f->ngroups = 0;
	EACH(a, rem)
		switch (type(a)) {
		case CTRL_ATTR_FAMILY_ID:
			err |= get_u16(a, &f->id);
			break;
		case CTRL_ATTR_FAMILY_NAME:
			err |= get_name(a, f->name);
			break;
		case CTRL_ATTR_VERSION:
			err |= get_u32(a, &f->version);
			break;
		case CTRL_ATTR_HDRSIZE:
			err |= get_u32(a, &f->hdrsize);
			break;
		case CTRL_ATTR_MAXATTR:
			err |= get_u32(a, &f->maxattr);
			break;
		case CTRL_ATTR_OPS:
			err |= decode_ops(a, f);
			break;
		case CTRL_ATTR_MCAST_GROUPS:
			err |= decode_groups(a, f);
			break;
		}
	return rem > 0 ? -1 : err;
}

static int decode_limits(const struct nlattr *nest, struct attr_policy *ap)
{
	const struct nlattr *a = data(nest);
	int rem = length(nest), err = 0;

	EACH(a, rem) {
		switch (type(a)) {
		case NL_POLICY_TYPE_ATTR_TYPE:
			err |= get_u32(a, &ap->type);
			break;
		case NL_POLICY_TYPE_ATTR_MIN_VALUE_S:
		case NL_POLICY_TYPE_ATTR_MIN_VALUE_U:
			err |= get_u64(a, &ap->min);
			break;
		case NL_POLICY_TYPE_ATTR_MAX_VALUE_S:
		case NL_POLICY_TYPE_ATTR_MAX_VALUE_U:
			err |= get_u64(a, &ap->max);
			break;
		case NL_POLICY_TYPE_ATTR_MIN_LENGTH:
			err |= get_u32(a, &ap->min_length);
			break;
		case NL_POLICY_TYPE_ATTR_MAX_LENGTH:
			err |= get_u32(a, &ap->max_length);
			break;
		case NL_POLICY_TYPE_ATTR_POLICY_IDX:
			err |= get_u32(a, &ap->nested_policy);
			break;
		case NL_POLICY_TYPE_ATTR_POLICY_MAXTYPE:
			err |= get_u32(a, &ap->nested_maxattr);
			break;
		case NL_POLICY_TYPE_ATTR_BITFIELD32_MASK:
			err |= get_u32(a, &ap->bitfield32_mask);
			break;
		case NL_POLICY_TYPE_ATTR_MASK:
			err |= get_u64(a, &ap->mask);
			break;
		default:
			continue;
		}
		ap->present |= 1u << type(a);
	}
	return rem > 0 ? -1 : err;
}

/* In CTRL_ATTR_POLICY an attribute's type is the policy's index; one nest further in, the attribute it is about. */
static int decode_attr_policies(const struct nlattr *nest, struct policy *pol)
{
	const struct nlattr *index = data(nest);
	int rem = length(nest), err = 0;

	EACH(index, rem) {
		const struct nlattr *a = data(index);
		int rest = length(index);

		EACH(a, rest) {
			struct attr_policy *ap = &pol->attrs[pol->nattrs];

			if (pol->nattrs == sizeof pol->attrs / sizeof *pol->attrs)
				return -1;
			pol->nattrs++;
			*ap = (struct attr_policy){.policy = type(index), .attr = type(a)};
			err |= decode_limits(a, ap);
		}
		if (rest > 0)
			return -1;
	}
	return rem > 0 ? -1 : err;
}

/* In CTRL_ATTR_OP_POLICY an attribute's type is the command. */
static int decode_op_policies(const struct nlattr *nest, struct policy *pol)
{
	const struct nlattr *op = data(nest);
	int rem = length(nest), err = 0;

	EACH(op, rem) {
		const struct nlattr *a = data(op);
		int rest = length(op);
		struct op_policy *o = &pol->ops[pol->nops];

		if (pol->nops == sizeof pol->ops / sizeof *pol->ops)
			return -1;
		pol->nops++;
		*o = (struct op_policy){type(op), NO_POLICY, NO_POLICY};
		EACH(a, rest)
			switch (type(a)) {
			case CTRL_ATTR_POLICY_DO:
				err |= get_u32(a, &o->do_index);
				break;
			case CTRL_ATTR_POLICY_DUMP:
				err |= get_u32(a, &o->dump_index);
				break;
			}
		if (rest > 0)
			return -1;
	}
	return rem > 0 ? -1 : err;
}

int decode_policy(const char *attrs, size_t len, struct policy *pol)
{
	const struct nlattr *a = (const struct nlattr *)attrs;
	int rem = len, err = 0;

	EACH(a, rem)
		switch (type(a)) {
		case CTRL_ATTR_POLICY:
			err |= decode_attr_policies(a, pol);
			break;
		case CTRL_ATTR_OP_POLICY:
			err |= decode_op_policies(a, pol);
			break;
		}
	return rem > 0 ? -1 : err;
}
