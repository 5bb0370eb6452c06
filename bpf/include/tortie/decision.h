/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the programs and the compiler of their tables (extensions/) both have to know of decisions: included by both. */
#ifndef TORTIE_DECISION_H
#define TORTIE_DECISION_H

#include "reasons.h"

/* How a combination of classes becomes a decision; extensions/decision.c chooses. */
enum backend { BACKEND_CELLS, BACKEND_FOLDED, BACKEND_BITS };

enum action { ACTION_ALLOW = 1, ACTION_DENY, ACTION_PASS, ACTION_LOG };

/* REJECT is a Deny of which the sender is told. */
enum verdict { VERDICT_CONTINUE, VERDICT_ALLOW, VERDICT_DENY, VERDICT_REJECT };

/* Decision word: id << 3 | log << 2 | verdict. The id is what gets counted: a reason, or REASON_BASE plus a result (cells:
 * one distinct list of rules met) or a rule (bit vectors). */
#define WORD(id, verdict) ((unsigned int)(id) << 3 | (verdict))
#define WORD_LOG 4

/* Tables of ports: words of 16 bits from a table's beginning. First come the numbers of blocks, which programs read in
 * struct config (config.h), as they do the first block of a trie. */
enum port_tables {
	SERVICES_PROTOCOLS = 1280,   /* 5 rows of 256 blocks are before it */
	SERVICES_FRAGMENTS = 1536,
	SERVICES_BLOCKS = 1792,
	SPORTS_BLOCKS = 256,
	FAILSAFE_BLOCKS = 1536       /* 6 rows */
};

/* Most steps of the bit vector walk: a policy that may need more is refused. */
#define MAX_STEPS 1024

#endif
