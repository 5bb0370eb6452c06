/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that goes with the tables, so that a failure half way frees everything. */
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <sys/mman.h>
#include "tables.h"

#define HUGE_PAGE (2ul << 20)

struct arena { struct arena *next, *previous; };

void fail(struct tables *t, enum failure why)
{
	longjmp(t->failed, why);
}

/* Large tables are written once from end to end: in pages of 4 KiB most of the time would go into page faults. Where the
 * kernel has no huge pages to give, nothing is lost. */
static void prefer_huge_pages(void *memory, size_t bytes)
{
	uintptr_t first = ((uintptr_t)memory + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	uintptr_t end = ((uintptr_t)memory + bytes) & ~(HUGE_PAGE - 1);

	if (first < end)
		madvise((void *)first, end - first, MADV_HUGEPAGE);
}

void *arena_alloc(struct tables *t, size_t bytes)
{
	struct arena *a = calloc(1, sizeof(*a) + bytes);

	if (!a)
		fail(t, FAILED_MEMORY);
	prefer_huge_pages(a, bytes);
	a->next = t->arena;
	if (t->arena)
		t->arena->previous = a;
	t->arena = a;
	return a + 1;
}

void arena_drop(struct tables *t, void *block)
{
	struct arena *a = block;

	if (!block)
		return;
	a--;
	if (a->next)
		a->next->previous = a->previous;
	if (a->previous)
		a->previous->next = a->next;
	else
		t->arena = a->next;
	free(a);
}

void *arena_grow(struct tables *t, void *old, size_t old_bytes, size_t new_bytes)
{
	void *new = arena_alloc(t, new_bytes);

	if (old) {
		memcpy(new, old, old_bytes);
		arena_drop(t, old);
	}
	return new;
}

void arena_free(struct tables *t)
{
	while (t->arena) {
		struct arena *next = t->arena->next;

		free(t->arena);
		t->arena = next;
	}
}
