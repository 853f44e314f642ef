/* batch/batch.h: record batches, as Kafka's clients send and receive them, and as the log keeps them.
 *
 * A batch is one or more records behind a head of 61 bytes (format v2, "magic 2"; KIP-98), its records perhaps compressed as
 * a whole. Cairn stores it as it came and serves it as it was stored; only the base offset (which lies outside the
 * checksum) is filled in. Integers of the head are big-endian, those of records are zigzag varints.
 *
 *    0 i64 base offset   8 i32 length of what follows   12 i32 leader epoch   16 i8 magic (2)
 *   17 u32 CRC32C of everything from 21 on
 *   21 i16 attributes: bits 0-2 codec, 3 log-append-time, 4 transactional, 5 control
 *   23 i32 last offset delta   27 i64 base timestamp (ms)   35 i64 largest timestamp (ms)
 *   43 i64 producer id   51 i16 producer epoch   53 i32 base sequence   57 i32 number of records   61 records
 *
 * Pure functions: no I/O, no locks; whoever owns the memory says so at each call. Everything from outside is checked
 * before it is used: lengths and counts before memory is taken, and what decompresses is bounded. */
#ifndef BATCH_BATCH_H
#define BATCH_BATCH_H

#include <base/arena.h>
#include <base/bytes.h>

#define BATCH_HEAD_SIZE 61u
#define BATCH_RECORDS_MAX 1000000u        /* records of one batch */
#define BATCH_UNPACKED_MAX (128u << 20)   /* bytes of records once decompressed */
#define BATCH_HEADERS_MAX 1000u           /* of one record */

enum batch_codec { BATCH_PLAIN = 0, BATCH_GZIP = 1, BATCH_SNAPPY = 2, BATCH_LZ4 = 3, BATCH_ZSTD = 4 };
#define BATCH_CODECS 5
const char *batch_codec_name(enum batch_codec codec); /* "none", "gzip" … */

#define BATCH_CODEC_BITS 0x07
#define BATCH_LOG_APPEND_TIME 0x08
#define BATCH_TRANSACTIONAL 0x10
#define BATCH_CONTROL 0x20

struct batch_head {
    int64_t base_offset;
    uint32_t size;           /* of the whole batch, head and records */
    int32_t leader_epoch;
    uint32_t crc;
    uint16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp_ms, max_timestamp_ms;
    int64_t producer_id;     /* -1: none */
    int16_t producer_epoch;
    int32_t base_sequence;
    uint32_t count;          /* of records; compaction leaves fewer than last_offset_delta + 1 */
};

/* What is wrong is a sentence that lives for good: its beginning is part of no interface, but these two may be compared by
 * address. The first: `bytes` end before the batch does (a fetch may end so; a file must not). */
extern const char batch_cut_short[];
extern const char batch_no_memory[];

/* Read the head at the beginning of `bytes`, which may hold more than this batch. NULL, or what is wrong with it. Sizes, magic,
 * codec and counts are checked, the checksum is not. A batch may have no records (compaction leaves such). */
const char *batch_head_read(cairn_str bytes, struct batch_head *ret);
/* The checksum of a batch whose head has been read holds; what follows the batch does not matter. */
bool batch_crc_holds(cairn_str batch);
/* crc32c(crc, batch), of which only what its own checksum does not cover is read; that has to hold. */
uint32_t batch_crc_on(uint32_t crc, cairn_str batch);
/* A producer's sequence so many records on: 2^31 - 1 is followed by 0. */
int32_t batch_sequence_after(int32_t sequence, uint32_t records);
/* What a broker fills in, in place: base offset and leader epoch (outside the checksum). */
void batch_place(uint8_t *batch, int64_t base_offset, int32_t leader_epoch);
/* Log-append-time: attributes, largest timestamp, and the checksum again. */
void batch_stamp(uint8_t *batch, int64_t timestamp_ms);

/* The other way: all of the head, and the checksum, before records that stand behind it already. crc is not looked at. */
void batch_head_write(uint8_t *batch, const struct batch_head *head);

/* ---- records ------------------------------------------------------------------------------------------------------------ */

struct batch_record {
    int64_t offset_delta;  /* from the batch's base offset; counts up without gaps in what producers send */
    int64_t timestamp_ms;
    bool has_key, has_value; /* Kafka's null is neither empty nor absent */
    cairn_str key, value;
    uint32_t header_count;
    cairn_str headers;     /* packed: batch_next_header() */
};

/* Walk the records of one batch. Zero it once; batch_open() may be called again and again, and keeps the memory that
 * decompression took (up to 16 MiB); batch_close() gives it back. Records point into the batch (plain) or into that memory. */
struct batch_cursor {
    struct batch_head head;
    const uint8_t *at, *end;
    uint32_t left;
    int64_t last_delta;      /* of the record before; -1: none */
    struct buf unpacked;
    const char *fault;       /* why next returned false; NULL: the end, rightly */
    const uint8_t *records;  /* where the first begins */
    struct buf starts;       /* u32 each: where the record of that index begins; made by the first batch_record_at() */
};
/* Ready to read the first record. NULL, or what is wrong. The checksum is the caller's to ask for. Bytes after the batch are not
 * looked at. */
const char *batch_open(struct batch_cursor *cursor, cairn_str batch);
/* The next record; false at the end or at a fault. At the end everything was consumed and the count was right. Offset deltas are
 * known to ascend and not to pass the head's last one: where last_offset_delta + 1 == count they are 0, 1, 2 … Headers are
 * well-formed. */
bool batch_next(struct batch_cursor *cursor, struct batch_record *ret);
/* The record of that index (the first is 0), wherever batch_next() stands, which goes on undisturbed. False: a fault. The first call
 * on a batch goes over it once. */
bool batch_record_at(struct batch_cursor *cursor, uint32_t index, struct batch_record *ret);
void batch_close(struct batch_cursor *cursor);
/* Take one header off the front; false at the end. has_value false: null. */
bool batch_next_header(cairn_str *headers, cairn_str *ret_name, bool *ret_has_value, cairn_str *ret_value);

/* ---- making a batch ----------------------------------------------------------------------------------------------------------- */

struct batch_header_field {
    cairn_str name, value;
    bool null;
};
struct batch_maker {
    struct buf out;  /* head and records; the whole batch after batch_make_end() */
    int64_t base_offset, base_timestamp_ms, max_timestamp_ms;
    int64_t last_offset;
    uint32_t count;
    bool full;       /* the last record was not added because of a bound */
    struct buf packed;
};
/* Zero it once; begin again and again. Records come with ascending offsets, which may have gaps. */
void batch_make_begin(struct batch_maker *maker);
/* key, value: NULL is Kafka's null. False, and nothing was added: the batch would be over BATCH_RECORDS_MAX or BATCH_UNPACKED_MAX, the
 * record over BATCH_HEADERS_MAX, or the offsets 2^31 apart (maker->full); or out of memory. */
CAIRN_MUST_CHECK bool batch_make_add(struct batch_maker *maker, int64_t offset, int64_t timestamp_ms, const cairn_str *key,
                                     const cairn_str *value, const struct batch_header_field *headers, size_t header_count);
/* Head, checksum, compression; `attributes` without the codec. The batch is maker->out until the next begin. last_offset: what
 * the last offset delta says, at least that of the last record. Producer fields -1. False: out of memory. */
CAIRN_MUST_CHECK bool batch_make_end(struct batch_maker *maker, enum batch_codec codec, uint16_t attributes, int64_t last_offset);
void batch_make_free(struct batch_maker *maker);

/* ---- codecs (codec.c): zlib, snappy (raw and xerial's framing), lz4 frames, zstd ------------------------------------------------ */

/* Append to `to`, at most `max` bytes. NULL, or what is wrong: then what was appended may be anything. */
const char *codec_unpack(enum batch_codec codec, cairn_str bytes, size_t max, struct buf *to);
CAIRN_MUST_CHECK bool codec_pack(enum batch_codec codec, cairn_str bytes, struct buf *to);

#endif
