/* SPDX-License-Identifier: Apache-2.0 */
/* See nets.h. Because: a set of a hundred thousand is read whenever one of its members changes, and reading and sorting them
 * as Python's numbers took ten times as long as compiling them. What is written in an unusual way, or wrong, is read in
 * Python (model/address.py), which says what is wrong. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "nets.h"

/* A decimal number of at most three digits without leading zeros, not above `most`. NULL: there is none. */
static const char *number(const char *at, const char *end, uint32_t most, uint32_t *value)
{
	const char *first = at;

	*value = 0;
	while (at < end && at < first + 3 && *at >= '0' && *at <= '9')
		*value = *value * 10 + (uint32_t)(*at++ - '0');
	if (at == first || *value > most || (*first == '0' && at > first + 1))
		return NULL;
	return at;
}

/* One address or network; `at` is behind it then. False: it is none. */
static int line(const char **at, const char *end, uint64_t *key)
{
	uint32_t address = 0, part, length = 32;

	for (int i = 0; i < 4; i++) {
		if (i && (*at == end || *(*at)++ != '.'))
			return 0;
		*at = number(*at, end, 255, &part);
		if (!*at)
			return 0;
		address = address << 8 | part;
	}
	if (*at < end && **at == '/') {
		*at = number(*at + 1, end, 32, &length);
		if (!*at)
			return 0;
	}
	address &= length ? ~0u << (32 - length) : 0;
	*key = (uint64_t)address << 8 | length;
	return 1;
}

/* Sorted by eleven bits at a time, of which keys have 40. False: no memory. */
static int sort(uint64_t *keys, size_t count)
{
	uint64_t *other = malloc((count + 1) * sizeof(*other)), *from = keys, *to = other;

	if (!other)
		return 0;
	for (int shift = 0; shift < 44; shift += 11) {
		size_t ends[2048] = {0}, sum = 0;

		for (size_t i = 0; i < count; i++)
			ends[from[i] >> shift & 2047]++;
		for (int digit = 0; digit < 2048; digit++) {
			size_t n = ends[digit];

			ends[digit] = sum;
			sum += n;
		}
		for (size_t i = 0; i < count; i++)
			to[ends[from[i] >> shift & 2047]++] = from[i];
		uint64_t *swapped = from;

		from = to;
		to = swapped;
	}
	free(other);             /* after an even number of passes the keys are where they were */
	return 1;
}

long nets_parse4(const char *text, size_t bytes, uint64_t *room)
{
	const char *at = text, *end = text + bytes;
	size_t count = 0, kept = 0;

	while (at < end) {
		if (!line(&at, end, &room[count++]))
			return -1;
		if (at < end && *at++ != '\n')
			return -1;
		if (at == end && end[-1] == '\n')
			return -1;
	}
	if (!sort(room, count))
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!kept || room[kept - 1] != room[i])
			room[kept++] = room[i];
	return (long)kept;
}
