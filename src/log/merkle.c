/* Merkle trees over events: see merkle.h and format.h.
 *
 * Leaves come in order, so a stack of complete subtrees is enough: adding leaf n merges as many
 * pairs as n has trailing one bits, and the root folds what is left from the right. */
#include "log_int.h"

static void
hash_pair(const uint8_t left[32], const uint8_t right[32], uint8_t ret[32])
{
    uint8_t bytes[65];
    bytes[0] = 0x01;
    memcpy(bytes + 1, left, 32);
    memcpy(bytes + 33, right, 32);
    sha256(bytes, sizeof bytes, ret);
}

/* The stack holds one subtree for each one bit of count, largest first. */
void
merkle_add(struct merkle_tree *tree, const uint8_t leaf[32])
{
    uint8_t node[32];
    memcpy(node, leaf, 32);
    unsigned top = (unsigned)__builtin_popcountll(tree->count);
    for (uint64_t bits = tree->count; bits & 1; bits >>= 1)
        hash_pair(tree->stack[--top], node, node);
    memcpy(tree->stack[top], node, 32);
    tree->count++;
}

void
merkle_root(const struct merkle_tree *tree, uint8_t ret_root[32])
{
    unsigned top = (unsigned)__builtin_popcountll(tree->count);
    if (top == 0) {
        sha256("", 0, ret_root);
        return;
    }
    memcpy(ret_root, tree->stack[--top], 32);
    while (top > 0)
        hash_pair(tree->stack[--top], ret_root, ret_root);
}

cairn_err
merkle_segment_root(struct log *log, struct segment *segment, uint64_t count,
                    uint8_t ret_root[32], cairn_error *error)
{
    struct merkle_tree tree = {.count = 0};
    struct block *block = block_new();
    if (block == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to read a segment");
    cairn_err err = CAIRN_OK;
    for (uint64_t i = 0; err == CAIRN_OK && i < count;) {
        struct record record;
        err = block_record(log, block, segment, i, BLOCK_SCAN, &record, error);
        if (err == CAIRN_OK) {
            i += record.count;
            uint8_t leaf[32];
            record_leaf(&record, leaf);
            merkle_add(&tree, leaf);
        }
    }
    block_free(block);
    if (err == CAIRN_OK)
        merkle_root(&tree, ret_root);
    return err;
}

void
merkle_chain(const uint8_t before[32], const uint8_t root[32], uint64_t first_position,
             uint64_t count, uint8_t ret_chain[32])
{
    uint8_t bytes[81];
    bytes[0] = 0x02;
    memcpy(bytes + 1, before, 32);
    memcpy(bytes + 33, root, 32);
    store64(bytes + 65, first_position);
    store64(bytes + 73, count);
    sha256(bytes, sizeof bytes, ret_chain);
}
