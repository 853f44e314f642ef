/* A proof that an event, or the batch that holds it, is in the log: hashes that lead from it to the log's chained root, so that
 * somebody who keeps the root can check it without the log (RFC 9162 §2.1.3 within a segment, then the
 * chain of segments; format.h has the formulas). */
#include "log_int.h"
#include <base/json.h>

/* Root of leaves [0, count): the largest power of two below count goes left. */
static void
subtree(uint8_t (*leaves)[32], uint64_t count, uint8_t ret[32])
{
    struct merkle_tree tree = {.count = 0};
    for (uint64_t i = 0; i < count; i++)
        merkle_add(&tree, leaves[i]);
    merkle_root(&tree, ret);
}

static void
put_hash(struct buf *to, const uint8_t hash[32])
{
    char text[65];
    format_hex(hash, 32, text);
    json_put_string(to, (cairn_str){text, 64});
}

/* The audit path of leaf `index`, from the leaf up. */
static void
put_path(struct buf *to, uint8_t (*leaves)[32], uint64_t index, uint64_t count)
{
    if (count <= 1)
        return;
    uint64_t left = 1;
    while (left * 2 < count)
        left *= 2;
    uint8_t hash[32];
    if (index < left) {
        put_path(to, leaves, index, left);
        subtree(leaves + left, count - left, hash);
    } else {
        put_path(to, leaves + left, index - left, count - left);
        subtree(leaves, left, hash);
    }
    json_put_comma(to);
    put_hash(to, hash);
}

/* The leaves of `count` positions, fewer where there are batches, and which of them is that of position number `index`. */
static cairn_err
read_leaves(struct log *log, struct segment *segment, uint64_t count, uint64_t index, uint8_t (*leaves)[32],
            uint64_t *ret_leaves, uint64_t *ret_index, cairn_error *error)
{
    struct block *block = block_new();
    if (block == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the proof");
    cairn_err err = CAIRN_OK;
    for (uint64_t i = 0; err == CAIRN_OK && i < count;) {
        struct record record;
        err = block_record(log, block, segment, i, BLOCK_SCAN, &record, error);
        if (err != CAIRN_OK)
            break;
        record_leaf(&record, leaves[*ret_leaves]);
        if (index >= i)
            *ret_index = *ret_leaves;
        ++*ret_leaves;
        i += record.count;
    }
    block_free(block);
    return err;
}

/* Every segment's root, in order, so that the chain can be computed again. Ends with the chained root. */
static cairn_err
put_segments(struct log *log, struct buf *to, uint64_t end, cairn_error *error)
{
    uint8_t chain[32] = {0};
    uint32_t segments = atomic_load(&log->segment_count);
    json_put_name(to, "segments");
    buf_put_char(to, '[');
    for (uint32_t i = 0; i < segments; i++) {
        struct segment *segment = atomic_load(&log->slots[i]);
        uint64_t count = atomic_load(&segment->count);
        uint8_t root[32];
        if (segment->first_position > end)
            break;
        bool whole = segment->first_position + count <= end;
        if (!whole)
            count = end - segment->first_position;
        if (whole && atomic_load(&segment->sealed)) {
            memcpy(root, segment->root, 32);
        } else {
            cairn_err err = merkle_segment_root(log, segment, count, root, error);
            if (err != CAIRN_OK)
                return err;
        }
        merkle_chain(chain, root, segment->first_position, count, chain);
        json_put_comma(to);
        buf_put_char(to, '{');
        json_put_u64_member(to, "first_position", segment->first_position);
        json_put_u64_member(to, "count", count);
        json_put_name(to, "root");
        put_hash(to, root);
        buf_put_char(to, '}');
    }
    buf_put_char(to, ']');
    json_put_u64_member(to, "end", end);
    json_put_name(to, "root");
    put_hash(to, chain);
    return CAIRN_OK;
}

cairn_err
cairn_log_prove(struct log *log, uint64_t position, char **ret_proof, cairn_error *error)
{
    uint64_t end = cairn_log_end(log);
    if (position >= end)
        return error_set(error, CAIRN_E_NOTFOUND, "there is no event at position %llu; the log ends at %llu",
                         (unsigned long long)position, (unsigned long long)end);
    log_admin_begin(log); /* no segment is replaced meanwhile */
    struct segment *segment = log_segment_at(log, position);
    uint64_t count = atomic_load(&segment->count), leaf_count = 0, index = 0;
    if (segment->first_position + count > end)
        count = end - segment->first_position;
    uint8_t(*leaves)[32] = malloc(count * 32);
    cairn_err err = leaves ? read_leaves(log, segment, count, position - segment->first_position, leaves, &leaf_count, &index,
                                         error)
                           : error_set(error, CAIRN_E_NOMEM, "no memory for the proof");
    struct buf out = {0};
    if (err == CAIRN_OK) {
        buf_put_char(&out, '{');
        json_put_u64_member(&out, "position", position);
        json_put_name(&out, "leaf");
        put_hash(&out, leaves[index]);
        json_put_u64_member(&out, "index", index);
        json_put_u64_member(&out, "leaves", leaf_count);
        json_put_name(&out, "path");
        buf_put_char(&out, '[');
        put_path(&out, leaves, index, leaf_count);
        buf_put_char(&out, ']');
        err = put_segments(log, &out, end, error);
        buf_put(&out, "}", 2); /* with the NUL */
        if (err == CAIRN_OK && out.failed)
            err = error_set(error, CAIRN_E_NOMEM, "no memory for the proof");
    }
    log_admin_end(log);
    free(leaves);
    if (err != CAIRN_OK) {
        buf_free(&out);
        return err;
    }
    *ret_proof = out.data;
    return CAIRN_OK;
}
