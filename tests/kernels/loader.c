/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the programs that cases.py named, on whatever kernel this runs, and says what the verifier processed. Static, so
 * that an emulated guest needs nothing else. A line: object, program, pages of the generations it is for. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LIMIT 500000             /* verified instructions: half of what Linux processes for one program */

static char verifier[1 << 24];

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

/* Descriptor of an array of such arrays of pages, as programs.py makes it; the first array can go. */
static int lanes_of(unsigned int pages)
{
	LIBBPF_OPTS(bpf_map_create_opts, array, .map_flags = BPF_F_MMAPABLE);
	int like = bpf_map_create(BPF_MAP_TYPE_ARRAY, "like", 4, 4096, pages, &array), made;
	LIBBPF_OPTS(bpf_map_create_opts, maps, .inner_map_fd = like);

	made = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "lanes", 4, 4, 64, &maps);
	close(like);
	return made;
}

static int load(char *line)
{
	char *rest, *path = strtok_r(line, " \n", &rest), *program = strtok_r(NULL, " \n", &rest);
	unsigned int pages = atoi(strtok_r(NULL, " \n", &rest));
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *each, *wanted = NULL;
	int error, verified, lanes = -1;
	struct bpf_map *map;
	char *said;

	if (!object)
		return 1;
	bpf_object__for_each_program(each, object) {
		int is_it = !strcmp(bpf_program__name(each), program);

		bpf_program__set_autoload(each, is_it);
		if (is_it)
			wanted = each;
	}
	map = bpf_object__find_map_by_name(object, "lanes");
	if (map && ((lanes = lanes_of(pages)) < 0 || bpf_map__reuse_fd(map, lanes)))
		return 1;
	verifier[0] = 0;
	bpf_program__set_log_buf(wanted, verifier, sizeof(verifier));
	bpf_program__set_log_level(wanted, 4);           /* statistics only */
	error = bpf_object__load(object);
	said = strstr(verifier, "processed ");
	verified = said ? atoi(said + strlen("processed ")) : 0;
	printf("%-13s %6u pages %s %7d\n", program, pages, error ? "REFUSED" : verified < LIMIT ? "loads" : "TOO LARGE", verified);
	if (error)
		printf("%.2000s\n", verifier);
	bpf_object__close(object);
	if (lanes >= 0)
		close(lanes);
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
