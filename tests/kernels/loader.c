/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the programs that cases.py named, on whatever kernel this runs, and says what that took: instructions that the
 * verifier processed, bytes of stack of the deepest calls, milliseconds. Static, so that an emulated guest needs nothing
 * else. A line of input: object, program, pages of the generations it is for, and "frags" (packets of several buffers) or "-". */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define FUNCTIONS 256            /* BPF_MAX_SUBPROGS */
#define DEEPEST 8                /* MAX_CALL_FRAMES */

static char verifier[1 << 24];

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

/* Descriptor of an array of such arrays of pages, as programs.py makes it; the first array can go. */
static int lanes_of(struct bpf_map *map, unsigned int pages)
{
	LIBBPF_OPTS(bpf_map_create_opts, array, .map_flags = BPF_F_MMAPABLE);
	unsigned int page = bpf_map__value_size(bpf_map__inner_map(map));
	int like = bpf_map_create(BPF_MAP_TYPE_ARRAY, "like", 4, page, pages, &array), made;
	LIBBPF_OPTS(bpf_map_create_opts, maps, .inner_map_fd = like);

	made = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "lanes", 4, 4, 64, &maps);
	close(like);
	return made;
}

/* The functions of a program: where each begins, and the bytes of stack it uses ("stack depth 48+0+112", in their order). */
struct functions {
	size_t count;
	unsigned int begin[FUNCTIONS + 1], stack[FUNCTIONS];
	const struct bpf_insn *code;
};

static int is_call(const struct bpf_insn *one)
{
	return one->code == (BPF_JMP | BPF_CALL) && one->src_reg == BPF_PSEUDO_CALL;
}

static int ascending(const void *a, const void *b)
{
	return *(const unsigned int *)a < *(const unsigned int *)b ? -1 : *(const unsigned int *)a > *(const unsigned int *)b;
}

static int functions_of(struct functions *f, const struct bpf_program *program)
{
	size_t length = bpf_program__insn_cnt(program), kept = 0;
	const char *said = strstr(verifier, "stack depth ");

	f->code = bpf_program__insns(program);
	f->begin[0] = 0;
	f->count = 1;
	for (size_t i = 0; i < length; i++) {
		unsigned int target = i + f->code[i].imm + 1;
		size_t known = 0;

		if (!is_call(&f->code[i]))
			continue;
		while (known < f->count && f->begin[known] != target)
			known++;
		if (known == FUNCTIONS)
			return -1;
		f->begin[known] = target;
		f->count += known == f->count;
	}
	qsort(f->begin, f->count, sizeof(*f->begin), ascending);
	f->begin[f->count] = length;
	for (said = said ? said + strlen("stack depth ") : ""; kept < f->count; kept++) {
		char *end;

		f->stack[kept] = strtoul(said, &end, 10);
		if (end == said)
			return -1;
		said = *end == '+' ? end + 1 : end;
	}
	return 0;
}

/* Bytes of stack that this function and the deepest calls behind it take: each frame in steps of 32, as check_max_stack_depth
 * counts where there is no JIT that knows better. 0 for what the verifier would refuse. */
static unsigned int deepest(const struct functions *f, size_t which, int frame)
{
	unsigned int own = ((f->stack[which] ? f->stack[which] : 1) + 31) & ~31u, below = 0;

	for (size_t i = f->begin[which]; frame < DEEPEST && i < f->begin[which + 1]; i++) {
		size_t to = 0;
		unsigned int depth;

		if (!is_call(&f->code[i]))
			continue;
		while (f->begin[to] != i + f->code[i].imm + 1)
			to++;
		depth = deepest(f, to, frame + 1);
		if (depth > below)
			below = depth;
	}
	return own + below;
}

/* Whether the kernel knows XDP programs for packets of several buffers (5.18). */
static int knows_frags(void)
{
	const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 2 }, { .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_XDP_HAS_FRAGS);
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "frags", "GPL", pass, 2, &options);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static int load(char *line)
{
	char *rest, *path = strtok_r(line, " \n", &rest), *program = strtok_r(NULL, " \n", &rest);
	unsigned int pages = atoi(strtok_r(NULL, " \n", &rest));
	int with_frags = !strcmp(strtok_r(NULL, " \n", &rest), "frags");
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *each, *wanted = NULL;
	int error, verified, lanes = -1;
	static struct functions found;
	struct bpf_map *map;
	unsigned int stack;
	double begun;
	char *said;

	if (!object)
		return 1;
	if (with_frags && !knows_frags()) {
		printf("lacks %s frags\n", program);
		bpf_object__close(object);
		return 0;
	}
	bpf_object__for_each_program(each, object) {
		int is_it = !strcmp(bpf_program__name(each), program);

		bpf_program__set_autoload(each, is_it);
		if (is_it)
			wanted = each;
	}
	map = bpf_object__find_map_by_name(object, "lanes");
	if (map && ((lanes = lanes_of(map, pages)) < 0 || bpf_map__reuse_fd(map, lanes)))
		return 1;
	if (with_frags)
		bpf_program__set_flags(wanted, BPF_F_XDP_HAS_FRAGS);
	verifier[0] = 0;
	bpf_program__set_log_buf(wanted, verifier, sizeof(verifier));
	bpf_program__set_log_level(wanted, 4);           /* statistics only */
	begun = now_ms();
	error = bpf_object__load(object);
	begun = now_ms() - begun;
	said = strstr(verifier, "processed ");
	verified = said ? atoi(said + strlen("processed ")) : 0;
	stack = !error && !functions_of(&found, wanted) ? deepest(&found, 0, 1) : 0;
	printf("%s %s %u %s %d %u %.0f\n", error ? "refused" : "loaded", program, pages, with_frags ? "frags" : "-", verified, stack, begun);
	if (error)
		printf("%.2000s\n", verifier);
	bpf_object__close(object);
	if (lanes >= 0)
		close(lanes);
	return !!error;
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
	printf("programs %d refused %d\n", all, refused);
	return refused != 0;
}
