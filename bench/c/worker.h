/*
 * A worker answers the driver's line protocol on its standard streams:
 *
 *	ROW N PARKED    →    OK nanoseconds allocations | UNSUPPORTED why | FAIL why
 *
 * It does N operations of ROW and times them. PARKED is for the workers in Go, and C does not count allocations (-1).
 */
#ifndef WORKER_H
#define WORKER_H

#include <stddef.h>

#include "types.h"

struct row {
	const char *name;
	/* open makes a state, once and not timed; NULL after fail(). */
	void *(*open)(void);
	/* run does n operations, timed; -1 after fail(). */
	int (*run)(void *state, long n);
	/* prepare, if there is one, goes before every chunk operations, not timed; -1 after fail(). */
	int (*prepare)(void *state);
	long chunk;
	/* With threads, each has a state of its own, and they share the operations. */
	int threads;
};

/*
 * worker is the main program of every worker. Its argument is the folder of recorded messages. With a second one,
 * "threaded", the process has another thread, which sleeps.
 */
int worker(int argc, char **argv, const struct row *rows, size_t n);

/* fail notes why, for the driver, and returns -1. */
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Recorded messages, taken apart beforehand: what the codec rows work on. */
struct recording {
	size_t n;
	struct {
		const char *data; /* the attributes */
		size_t len;
		const struct nlmsghdr *message;
	} attrs[512];
};

/* recorded loads a file of recorded messages; NULL after fail(). */
struct recording *recorded(const char *name);
void *open_newdest(void);

/* The checks see whether the last operation of a burst had the right result; -1 after fail(). */
int check_family(const struct family *f);
int check_families(const struct families *f);
int check_policy(const struct policy *p);
int check_devices(const struct devices *d, int bitsets);
int check_newdest(const struct recording *want, const char *attrs, size_t len);

#endif
