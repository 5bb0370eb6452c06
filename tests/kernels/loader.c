/* SPDX-License-Identifier: Apache-2.0 */
/* Loads generations that cases.py described, on whatever kernel this runs, and says what the verifier processed.
 * Static, so that an emulated guest needs nothing else. A line: object program constants label map=entries ..., where a
 * map of no entries is left out. Constants: offset, size, bytes; and so on. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define LIMIT 500000             /* verified instructions: half of what Linux processes for one program */

static char verifier[1 << 24];

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

static int write_constants(struct bpf_object *object, const char *file)
{
	FILE *f = fopen(file, "r");
	unsigned int record[2];
	struct bpf_map *map;
	size_t size = 0;
	char *memory = NULL;

	bpf_object__for_each_map(map, object) {
		const char *name = bpf_map__name(map);
		size_t length = strlen(name);

		if (length > 7 && !strcmp(name + length - 7, ".rodata"))
			memory = (char *)bpf_map__initial_value(map, &size);
	}
	if (!f || !memory)
		return 1;
	while (fread(record, sizeof(record), 1, f) == 1)
		if (record[0] + record[1] > size || fread(memory + record[0], record[1], 1, f) != 1)
			return 1;
	return fclose(f);
}

static int load(char *line)
{
	char *rest, *path = strtok_r(line, " \n", &rest), *program = strtok_r(NULL, " \n", &rest);
	char *constants = strtok_r(NULL, " \n", &rest);
	char *label = strtok_r(NULL, " \n", &rest), *size, *said;
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *each, *wanted = NULL;
	int error, verified;

	if (!object)
		return 1;
	bpf_object__for_each_program(each, object) {
		int is_it = !strcmp(bpf_program__name(each), program);

		bpf_program__set_autoload(each, is_it);
		if (is_it)
			wanted = each;
	}
	while ((size = strtok_r(NULL, " \n", &rest))) {
		char *entries = strchr(size, '=');
		struct bpf_map *map;

		*entries++ = 0;
		map = bpf_object__find_map_by_name(object, size);
		if (atoi(entries) ? bpf_map__set_max_entries(map, atoi(entries)) : bpf_map__set_autocreate(map, false))
			return 1;
	}
	if (strcmp(constants, "-") && write_constants(object, constants))
		return 1;
	verifier[0] = 0;
	bpf_program__set_log_buf(wanted, verifier, sizeof(verifier));
	bpf_program__set_log_level(wanted, 4);           /* statistics only */
	error = bpf_object__load(object);
	said = strstr(verifier, "processed ");
	verified = said ? atoi(said + strlen("processed ")) : 0;
	printf("%-13s %-18s %s %7d\n", program, label, error ? "REFUSED" : verified < LIMIT ? "loads" : "TOO LARGE", verified);
	if (error)
		printf("%.2000s\n", verifier);
	bpf_object__close(object);
	return error || verified >= LIMIT;
}

int main(int count, char **words)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	FILE *cases = count > 1 ? fopen(words[1], "r") : NULL;
	int all = 0, refused = 0;
	char line[4096];

	if (!cases)
		return 2;
	setrlimit(RLIMIT_MEMLOCK, &unlimited);           /* kernels before 5.11 account maps to it */
	libbpf_set_print(quiet);
	while (fgets(line, sizeof(line), cases)) {
		all++;
		refused += load(line);
	}
	printf("%d programs, %d refused\n", all, refused);
	return refused != 0;
}
