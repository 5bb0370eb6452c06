// SPDX-License-Identifier: Apache-2.0
/* extensions/nets.c outside of Python, under sanitizers: texts on standard input, each with its length in a line before it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "../../extensions/nets.h"

int main(void)
{
	size_t bytes, lines;

	while (scanf("%zu %zu", &bytes, &lines) == 2 && getchar() == '\n') {
		char *text = malloc(bytes ? bytes : 1);         /* nothing behind it: a step too far is seen */
		uint64_t *keys = malloc(lines * sizeof(*keys));

		if (fread(text, 1, bytes, stdin) != bytes)
			return 1;
		printf("%ld\n", nets_parse4(text, bytes, keys));
		free(text);
		free(keys);
	}
	return 0;
}
