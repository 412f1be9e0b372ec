/* What the rows decode into: one set of structs for every C worker. */
#ifndef TYPES_H
#define TYPES_H

#include <stdint.h>

struct op {
	uint32_t id, flags;
};

struct group {
	uint32_t id;
	char name[16];
};

struct family {
	uint16_t id;
	char name[16];
	uint32_t version, hdrsize, maxattr;
	unsigned nops, ngroups;
	struct op ops[256];
	struct group groups[32];
};

struct families {
	unsigned n;
	struct family list[64];
};

/* NO_POLICY is the index of a policy that a command has not. */
#define NO_POLICY UINT32_MAX

struct op_policy {
	uint32_t op, do_index, dump_index;
};

/* A limit counts only where its bit, 1 << NL_POLICY_TYPE_ATTR_..., is set in present. */
struct attr_policy {
	uint32_t policy, attr;
	uint32_t present, type;
	uint64_t min, max, mask;
	uint32_t min_length, max_length;
	uint32_t nested_policy, nested_maxattr;
	uint32_t bitfield32_mask;
};

struct policy {
	unsigned nops, nattrs;
	struct op_policy ops[256];
	struct attr_policy attrs[2048];
};

struct bitset {
	int nomask;
	uint32_t size, words;
	uint32_t value[8], mask[8];
};

struct features {
	uint32_t ifindex;
	char name[16];
	struct bitset hw, wanted, active, nochange;
};

#define DEVICES_MAX 4096

struct devices {
	unsigned n;
	int bitsets; /* are they to be decoded too? */
	struct features list[DEVICES_MAX];
};

#endif
