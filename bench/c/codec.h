/* Encoding and decoding of netlink attributes, written by hand. */
#ifndef CODEC_H
#define CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "types.h"

struct buffer {
	char *data;
	size_t len, cap;
};

/* put appends an attribute; -1 when it does not fit. */
int put(struct buffer *b, uint16_t type, const void *data, size_t len);
int put_u8(struct buffer *b, uint16_t type, uint8_t v);
int put_u16(struct buffer *b, uint16_t type, uint16_t v);
int put_u32(struct buffer *b, uint16_t type, uint32_t v);

/* nest_start begins a nest and returns its offset for nest_end; -1 when it does not fit. */
long nest_start(struct buffer *b, uint16_t type);
void nest_end(struct buffer *b, long start);

/* The decoders take the attributes behind the generic netlink header. They answer -1 to malformed input. */
int decode_family(const char *p, size_t len, struct family *f);
int decode_policy(const char *p, size_t len, struct policy *pol);

/* An IPVS destination and the service it belongs to, as NEW_DEST takes them. */
struct newdest {
	uint16_t service_af, protocol, service_port;
	uint8_t service_addr[16];
	uint16_t af, port;
	uint8_t addr[16];
	uint32_t fwd, weight, upper, lower;
	uint8_t tun_type;
};

/* The destination that testdata/newdest.bin holds encoded. */
extern const struct newdest newdest;

int encode_newdest(struct buffer *b, const struct newdest *d);

#endif
