/* log/merkle.h: tamper evidence: a Merkle root per segment, chained (format.h has the formulas). */
#ifndef LOG_MERKLE_H
#define LOG_MERKLE_H

#include <cairn/types.h>

struct log;
struct segment;

/* A tree that takes leaves one by one in O(log n) memory (RFC 9162 §2.1.1). */
struct merkle_tree {
    uint8_t stack[64][32];
    uint64_t count;
};
void merkle_add(struct merkle_tree *tree, const uint8_t leaf[32]);
/* SHA-256 of nothing for an empty tree. */
void merkle_root(const struct merkle_tree *tree, uint8_t ret_root[32]);

/* Read a segment's first `count` records and compute their root. */
CAIRN_MUST_CHECK cairn_err merkle_segment_root(struct log *log, struct segment *segment,
                                               uint64_t count, uint8_t ret_root[32],
                                               cairn_error *error);
void merkle_chain(const uint8_t before[32], const uint8_t root[32], uint64_t first_position,
                  uint64_t count, uint8_t ret_chain[32]);

#endif
