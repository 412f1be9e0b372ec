/* The worker "hand": the codec rows in C by hand, the measure of the other codecs. */
#include "codec.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

static void *open_families(void)
{
	return recorded("families.bin");
}

static int run_families(void *state, long n)
{
	static struct families out;
	const struct recording *r = state;

	while (n--) {
		out.n = 0;
		for (size_t i = 0; i < r->n; i++)
			if (decode_family(r->attrs[i].data, r->attrs[i].len, &out.list[out.n++]) < 0)
				return fail("malformed family");
	}
	return check_families(&out);
}

static void *open_policy(void)
{
	return recorded("policy-ethtool.bin");
}

static int run_policy(void *state, long n)
{
	static struct policy out;
	const struct recording *r = state;

	while (n--) {
		out.nops = out.nattrs = 0;
		for (size_t i = 0; i < r->n; i++)
			if (decode_policy(r->attrs[i].data, r->attrs[i].len, &out) < 0)
				return fail("malformed policy");
	}
	return check_policy(&out);
}

static int run_newdest(void *state, long n)
{
	static char data[512];
	struct buffer b = {.data = data, .cap = sizeof data};

	while (n--) {
		b.len = 0;
		if (encode_newdest(&b, &newdest) < 0)
			return fail("buffer too small");
	}
	return check_newdest(state, b.data, b.len);
}

static const struct row rows[] = {
	{.name = "decode-families", .open = open_families, .run = run_families},
	{.name = "decode-policy", .open = open_policy, .run = run_policy},
	{.name = "encode-newdest", .open = open_newdest, .run = run_newdest},
};

int main(int argc, char **argv)
{
	return worker(argc, argv, rows, sizeof rows / sizeof *rows);
}
