int tortie_tables_version(void) { return 1; }
