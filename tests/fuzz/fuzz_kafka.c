/* Kafka's messages from any bytes. The first two bytes choose message and version, the third the side and whether a header comes
 * before. Reading stays within the bytes and within the arena's bound; what was read can be written, and reads the same again. */
#include "test.h"

#include <proto/kafka/codec.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_BYTES ((size_t)1 << 20)

static const struct kafka_message *
choose(uint8_t byte)
{
    int16_t key = byte % KAFKA_KEYS;
    while (!kafka_message_of(key))
        key = (int16_t)((key + 1) % KAFKA_KEYS);
    return kafka_message_of(key);
}

/* Written again and read again, it must come to the same bytes: nothing that counts was lost. */
static void
write_again(const struct kafka_struct *table, int16_t version, bool flexible, const void *read)
{
    struct kafka_out first = {0}, second = {0};
    struct arena arena = {0};
    struct kafka_fault fault;
    void *again = malloc(table->size);
    if (kafka_write(&first, table, version, flexible, read) != CAIRN_OK)
        abort();
    /* Pieces are in one, at their place. */
    struct buf flat = {0};
    const struct kafka_gap *gaps = (const struct kafka_gap *)(void *)first.gaps.data;
    size_t at = 0;
    for (size_t i = 0; i < kafka_out_gaps(&first); i++) {
        buf_put(&flat, first.bytes.data + at, gaps[i].at - at);
        buf_put_str(&flat, gaps[i].piece.bytes);
        at = gaps[i].at;
    }
    buf_put(&flat, first.bytes.data + at, first.bytes.size - at);
    size_t used;
    if (kafka_read(buf_str(&flat), table, version, flexible, &arena, again, &used, &fault) != CAIRN_OK || used != flat.size)
        abort();
    if (kafka_write(&second, table, version, flexible, again) != CAIRN_OK || second.bytes.size != first.bytes.size ||
        (first.bytes.size && memcmp(second.bytes.data, first.bytes.data, first.bytes.size) != 0))
        abort();
    buf_free(&flat);
    kafka_out_free(&first);
    kafka_out_free(&second);
    arena_free(&arena);
    free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    const struct kafka_message *message = choose(data[0]);
    int16_t version = (int16_t)(message->first + data[1] % (message->last - message->first + 1));
    bool request = data[2] & 1, with_header = data[2] & 2;
    cairn_str bytes = {(const char *)data + 3, size - 3};
    struct kafka_header header;
    struct kafka_fault fault = {NULL, ""};
    if (with_header) {
        enum kafka_header_result result = kafka_read_header(bytes, &header, &fault);
        if (result == KAFKA_HEADER_MALFORMED && !fault.what)
            abort();
        if (result != KAFKA_HEADER_FINE)
            return 0;
        message = kafka_message_of(header.key);
        version = header.version;
        request = true;
        bytes = (cairn_str){bytes.data + header.size, bytes.size - header.size};
    }
    const struct kafka_struct *table = request ? message->request : message->response;
    bool flexible = kafka_is_flexible(message, version);
    struct arena arena = {.size_max = ARENA_BYTES};
    size_t used = 0;
    void *to = malloc(table->size);
    cairn_err err = kafka_read(bytes, table, version, flexible, &arena, to, &used, &fault);
    if (used > bytes.size || arena.used_bytes > ARENA_BYTES || (err == CAIRN_E_INVALID && !fault.what))
        abort();
    if (err == CAIRN_OK)
        write_again(table, version, flexible, to);
    free(to);
    arena_free(&arena);
    return 0;
}
