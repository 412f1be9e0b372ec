#include "worker.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char why[256] = "no reason given";
static const char *testdata;

int fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof why, format, args);
	va_end(args);
	return -1;
}

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

#define MAX_ROWS 32
#define MAX_THREADS 64

static void *states[MAX_ROWS][MAX_THREADS];

struct thread {
	pthread_t id;
	const struct row *row;
	void *state;
	long n;
	int result;
	pthread_barrier_t *start, *end;
};

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	pthread_barrier_wait(t->start);
	t->result = t->row->run(t->state, t->n);
	pthread_barrier_wait(t->end);
	return NULL;
}

/* run_threads shares n operations out to the row's threads, and times from the common start to the last one's end. */
static long long run_threads(const struct row *row, void **state, long n)
{
	struct thread threads[MAX_THREADS] = {0};
	pthread_barrier_t start, end;
	pthread_attr_t small;
	long long begun, ended;
	int bad = 0;

	pthread_barrier_init(&start, NULL, row->threads + 1);
	pthread_barrier_init(&end, NULL, row->threads + 1);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 256 << 10);
	for (int i = 0; i < row->threads; i++) {
		threads[i] = (struct thread){.row = row, .state = state[i], .n = n / row->threads, .start = &start, .end = &end};
		if (pthread_create(&threads[i].id, &small, thread_main, &threads[i]) != 0)
			abort(); /* the others wait at the barrier for ever */
	}
	begun = now();
	pthread_barrier_wait(&start);
	pthread_barrier_wait(&end);
	ended = now();
	for (int i = 0; i < row->threads; i++) {
		pthread_join(threads[i].id, NULL);
		bad |= threads[i].result;
	}
	pthread_barrier_destroy(&start);
	pthread_barrier_destroy(&end);
	pthread_attr_destroy(&small);
	return bad ? -1 : ended - begun;
}

/* burst does n operations of a row and returns the nanoseconds, -1 after fail(). */
static long long burst(const struct row *row, void **state, long n)
{
	long long total = 0, begun;
	int threads = row->threads ? row->threads : 1;

	for (int i = 0; i < threads; i++)
		if (!state[i] && !(state[i] = row->open()))
			return -1;
	if (row->threads)
		return run_threads(row, state, n);
	while (n > 0) {
		long chunk = row->chunk && row->chunk < n ? row->chunk : n;

		if (row->prepare && row->prepare(state[0]) < 0)
			return -1;
		begun = now();
		if (row->run(state[0], chunk) < 0)
			return -1;
		total += now() - begun;
		n -= chunk;
	}
	return total;
}

static void *sleep_forever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

int worker(int argc, char **argv, const struct row *rows, size_t nrows)
{
	char line[256], name[64];
	pthread_t id;
	long n;

	if (argc != 2 && !(argc == 3 && strcmp(argv[2], "threaded") == 0)) {
		fprintf(stderr, "usage: %s TESTDATA [threaded]\n", argv[0]);
		return 2;
	}
	testdata = argv[1];
	if (argc == 3 && pthread_create(&id, NULL, sleep_forever, NULL) != 0)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof line, stdin)) {
		size_t i = 0;
		long long ns;

		if (sscanf(line, "%63s %ld", name, &n) != 2 || n < 1) {
			printf("FAIL not a request: %s", line);
			continue;
		}
		while (i < nrows && strcmp(rows[i].name, name) != 0)
			i++;
		if (i == nrows) {
			printf("UNSUPPORTED no such row\n");
			continue;
		}
		ns = burst(&rows[i], states[i], n);
		if (ns < 0)
			printf("FAIL %s\n", why);
		else
			printf("OK %lld -1\n", ns);
	}
	return 0;
}

struct recording *recorded(const char *name)
{
	static char data[32 << 10] __attribute__((aligned(4)));
	static size_t used;
	struct recording *r = calloc(1, sizeof *r);
	char path[4096], *p = data + used;
	size_t len;
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", testdata, name);
	f = fopen(path, "rb");
	if (!f || !r) {
		fail("cannot open %s", path);
		return NULL;
	}
	len = fread(p, 1, sizeof data - used, f);
	fclose(f);
	used += NLMSG_ALIGN(len);
	for (size_t off = 0; off + NLMSG_HDRLEN + GENL_HDRLEN <= len;) {
		struct nlmsghdr *h = (struct nlmsghdr *)(p + off);

		if (h->nlmsg_type == NLMSG_DONE)
			break;
		if (h->nlmsg_len < NLMSG_HDRLEN + GENL_HDRLEN || h->nlmsg_len > len - off || r->n == 512) {
			fail("%s is not a recording", path);
			return NULL;
		}
		r->attrs[r->n].data = p + off + NLMSG_HDRLEN + GENL_HDRLEN;
		r->attrs[r->n].len = h->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN;
		r->attrs[r->n++].message = h;
		off += NLMSG_ALIGN(h->nlmsg_len);
	}
	if (r->n == 0) {
		fail("%s is empty", path);
		return NULL;
	}
	return r;
}

void *open_newdest(void)
{
	return recorded("newdest.bin");
}

int check_family(const struct family *f)
{
	if (f->id < GENL_MIN_ID || strcmp(f->name, "ethtool") != 0 || f->version != 1 || f->nops < 30 || f->ops[0].id != 1 ||
	    f->ops[0].flags == 0 || f->ngroups < 1 || strcmp(f->groups[0].name, "monitor") != 0)
		return fail("wrong family: %u %s, %u commands, %u groups", f->id, f->name, f->nops, f->ngroups);
	return 0;
}

int check_families(const struct families *f)
{
	for (unsigned i = 0; i < f->n; i++)
		if (strcmp(f->list[i].name, "ethtool") == 0)
			return check_family(&f->list[i]);
	return fail("no ethtool among %u families", f->n);
}

int check_policy(const struct policy *p)
{
	/* ETHTOOL_MSG_STRSET_GET, its do and dump policy; then the header's nest of that policy. */
	if (p->nops < 30 || p->nattrs < 100 || p->ops[0].op != 1 || p->ops[0].do_index != 0 || p->ops[0].dump_index != 0 ||
	    p->attrs[0].attr != 1 || p->attrs[0].type != NL_ATTR_TYPE_NESTED || p->attrs[0].nested_policy != 1)
		return fail("wrong policy: %u commands, %u attributes", p->nops, p->nattrs);
	return 0;
}

int check_devices(const struct devices *d, int bitsets)
{
	const struct features *lo = &d->list[0];

	if (d->n != 2001 || lo->ifindex != 1 || strcmp(lo->name, "lo") != 0)
		return fail("wrong devices: %u, the first is %u %s", d->n, lo->ifindex, lo->name);
	if (bitsets &&
	    (lo->active.size < 32 || lo->active.words != (lo->active.size + 31) / 32 || lo->active.value[0] == 0))
		return fail("wrong features: %u in %u words", lo->active.size, lo->active.words);
	return 0;
}

int check_newdest(const struct recording *want, const char *attrs, size_t len)
{
	const char *w = want->attrs[0].data;

	/* The request was recorded with plain nests; today they are flagged, in the second byte of the nest's type. */
	if (len != want->attrs[0].len)
		return fail("destination of %zu bytes, not %zu", len, want->attrs[0].len);
	for (size_t i = 0; i < len; i++)
		if (attrs[i] != w[i] && (attrs[i] & 0x7f) != w[i])
			return fail("byte %zu of the destination differs", i);
	return 0;
}
