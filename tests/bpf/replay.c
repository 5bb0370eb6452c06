// SPDX-License-Identifier: Apache-2.0
/* Replays what test_sanitizers.py recorded of calls into the classifier's compiler, with every input and output in memory
 * of exactly its size, so that the sanitizers see one byte too far. */
#include <stdio.h>
#include <stdlib.h>
#include "api.h"

enum operation { ADD_SET = 1, ADD_BLOCK, COMPILE, CHANGE, FREE };

#define TABLES (TERMS + 1)

static u32 number(FILE *in)
{
	u32 value;

	if (fread(&value, sizeof(value), 1, in) != 1)
		exit(2);
	return value;
}

static u64 wide(FILE *in)
{
	u64 low = number(in);

	return low | (u64)number(in) << 32;
}

static void *bytes(FILE *in, size_t size)
{
	void *memory = malloc(size);

	if (!memory || (size && fread(memory, size, 1, in) != 1))
		exit(2);
	return memory;
}

static void add_set(struct tables *t, FILE *in)
{
	u32 count4 = number(in), count6 = number(in);
	struct net4 *nets4 = bytes(in, count4 * sizeof(*nets4));
	struct net6 *nets6 = bytes(in, count6 * sizeof(*nets6));

	tables_add_set(t, nets4, count4, nets6, count6);
	free(nets4);
	free(nets6);
}

static void add_block(struct tables *t, FILE *in)
{
	u32 starts_tier = number(in), pool_count = number(in), set_count = number(in);
	struct block b = {.terms_count = number(in)};
	void *terms, *pool, *nets4, *nets6, *sets;

	b.nets4_count = number(in);
	b.nets6_count = number(in);
	b.net_atoms = number(in);
	b.rules_count = number(in);
	b.terms = terms = bytes(in, b.terms_count * sizeof(struct term));
	b.pool = pool = bytes(in, pool_count * sizeof(u32));
	b.nets4 = nets4 = bytes(in, b.nets4_count * sizeof(struct net4));
	b.nets6 = nets6 = bytes(in, b.nets6_count * sizeof(struct net6));
	sets = bytes(in, set_count * sizeof(u32));
	tables_add_block(t, &b, sets, starts_tier);
	free(terms);
	free(pool);
	free(nets4);
	free(nets6);
	free(sets);
}

/* Table by table into a buffer of its size; the buffers stay for the changes. */
static void compile(struct tables *t, FILE *in, void **memory)
{
	int backend = number(in), result = tables_compile(t, backend, number(in));
	struct tables_layout layout;
	struct tables_outcome outcome;
	u32 met = 0;

	if (result) {
		printf("refused %d\n", result);
		return;
	}
	tables_layout(t, &layout);
	for (int table = 0; table < TABLES; table++) {
		u64 size = tables_bytes(t, table);

		memory[table] = size ? malloc(size) : NULL;
		if (size)
			tables_fill(t, table, memory[table]);
	}
	tables_settle(t, layout.results + 8, 1);
	for (u32 i = 0; i <= layout.results; i++)
		if (tables_result(t, i, &outcome))
			for (u32 r = 0; r < outcome.count; r++)
				met += outcome.rules[r];
	printf("compiled %u %u\n", layout.backend, met);
}

int main(int count, char **arguments)
{
	struct tables *t = tables_new();
	void *memory[TABLES] = {};
	FILE *in = count == 2 ? fopen(arguments[1], "rb") : NULL;
	u32 operation;

	if (!in || !t)
		return 2;
	while (fread(&operation, sizeof(operation), 1, in) == 1) {
		switch ((enum operation)operation) {
		case ADD_SET:
			add_set(t, in);
			break;
		case ADD_BLOCK:
			add_block(t, in);
			break;
		case COMPILE:
			compile(t, in, memory);
			break;
		case CHANGE: {
			u32 version = number(in), atom = number(in), is_member = number(in);
			u64 high = wide(in), low = wide(in);

			for (int side = 0; side < 2; side++)
				printf("changed %d\n", tables_change_host(t, side, version, high, low, atom, is_member));
			break;
		}
		case FREE:
			tables_free(t);
			for (int table = 0; table < TABLES; table++) {
				free(memory[table]);
				memory[table] = NULL;
			}
			t = tables_new();
			break;
		}
	}
	tables_free(t);
	fclose(in);
	return 0;
}
