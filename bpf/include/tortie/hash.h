/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Hash functions of the address tables: the one source for the programs and for extensions/tables.c that fills them. */
#ifndef TORTIE_HASH_H
#define TORTIE_HASH_H

static inline __attribute__((always_inline)) unsigned int hash4_first(unsigned int address)
{
	return address * 0x9e3779b1u;            /* 2^32 / golden ratio: Fibonacci hashing, the upper bits are used */
}

static inline __attribute__((always_inline)) unsigned int hash4_second(unsigned int address)
{
	return (address ^ address >> 15) * 0x85ebca6bu;
}

/* Anybody can choose IPv6 addresses that collide for one seed; extensions/address.c then takes the next one. */
static inline __attribute__((always_inline)) unsigned long long
hash6(unsigned long long high, unsigned long long low, unsigned int length, unsigned int seed)
{
	unsigned long long t = (high ^ length ^ (unsigned long long)seed << 8) * 0x9e3779b97f4a7c15ull;

	t ^= t >> 32;
	t = (t ^ low) * 0xc2b2ae3d27d4eb4full;
	return t ^ t >> 29;
}

static inline __attribute__((always_inline)) unsigned long long hash6_second(unsigned long long hash)
{
	return (hash ^ hash >> 33) * 0x165667b19e3779f9ull;
}

#endif
