int tortie_bpf_version(void) { return 1; }
