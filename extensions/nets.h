/* SPDX-License-Identifier: Apache-2.0 */
/* Networks as texts -> packed. What build_nets.py declares to Python. */

/* Reads IPv4 addresses and networks, one in a line, as model/nets.py packs them: address << 8 | length, without host bits, in
 * order and each once. `room` has a place for each line. How many there are then; -1: a line is written in another way. */
long nets_parse4(const char *text, size_t bytes, uint64_t *room);
