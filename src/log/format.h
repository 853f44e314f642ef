/* log/format.h: the bytes on disk. docs/format.md says the same in prose; change both together, and
 * raise LOG_FORMAT_VERSION.
 *
 *   DIR/LOCK                      who owns the folder
 *   DIR/cairn.log                 the manifest: identity of the log, written once
 *   DIR/segments/00000001.seg     header ‖ frame ‖ frame ‖ … ‖ zeros, or ‖ footer when sealed
 *   DIR/index/                    the series index (log/series.h), derived
 *
 * Everything is little-endian. Checksums are CRC32C. In a segment every frame and record checksum
 * begins with the segment's id, so that bytes of another segment never check here. */
#ifndef LOG_FORMAT_H
#define LOG_FORMAT_H

#include <base/bytes.h>
#include <base/hash.h>

#define LOG_FORMAT_VERSION 1

/* cairn.log, 128 bytes:
 *   0 "CAIRNLOG"  8 u32 version  12 u32 crc of the rest (16..128)  16 log id (16)  32 i64 created (µs)
 *   40 seed of the key secret (64)  104 lineage: the id that all its segments carry, which is that of the
 *   log it once branched from, or its own (16)  120 zeros */
#define MANIFEST_SIZE 128
#define MANIFEST_MAGIC "CAIRNLOG"

/* Segment header, 64 bytes:
 *   0 "CAIRNSEG"  8 u32 version  12 u32 crc of 16..64  16 lineage (16)  32 u64 segment number (from 1)
 *   40 u64 segment id (random)  48 u64 first position  56 i64 created (µs) */
#define SEGMENT_HEADER_SIZE 64
#define SEGMENT_MAGIC "CAIRNSEG"

/* Frame: one append.
 *   0 u32 magic  4 u32 crc  8 u32 size (header, records and padding to 8)  12 u32 count (of records)
 *   16 u64 first position  32 i64 time (µs)
 *   24 u64 durable: all below was durable when this was written. The first frame of a batch (of frames written and
 *   synced together) says so of all before it; the others may say less
 * then `count` records in a row, then zeros up to a multiple of 8. The crc covers the segment id, bytes 8..40
 * and the head crc of every record in order; each head crc covers its record's body crc. So one
 * check covers the whole append, while one record can also be checked alone. A frame of no records says
 * only that everything before it was durable (clean stop, idle log). */
#define FRAME_HEADER_SIZE 40
#define FRAME_MAGIC 0x4d524643u /* "CFRM" */

/* Record head, 40 bytes:
 *   0 u32 head crc: segment id, then bytes 4..40  4 u32 size (head and body)  8 u32 body crc
 *   12 u32 kind  16 u64 position  24 u64 revision  32 i64 time (µs, the frame's) */
#define RECORD_HEAD_SIZE 40
enum record_kind { RECORD_EVENT = 1, RECORD_REMOVED = 2, RECORD_BATCH = 3, RECORD_THINNED = 4 };

/* Body of an event:
 *   0 u32 scope  4 u32 schema id  8 u32 data size  12 u32 meta size  16 id (16)
 *   32 u16 stream size  34 u16 type size  36 u16 content type size  38 u16 correlation size
 *   40 u16 number of tags  42 u16 zero
 *   44 stream ‖ type ‖ content type ‖ correlation ‖ (u16 size ‖ tag)… ‖ meta ‖ data
 * Body of a removed event, left by scavenging:
 *   0 leaf hash (32)  32 u32 scope  36 u16 stream size  38 u16 zero  40 stream */
#define BODY_FIXED_SIZE 44
#define REMOVED_FIXED_SIZE 40

/* A batch: one stored record that holds n positions, each of them an event. The head's position is that of the first, its
 * revision field the first one's offset in the partition. What only the sequencer knows stands before the body:
 *   40 u32 size of the placed part (8 or 8 n)  44 u32 crc of it  48 placed part: u64 revisions, one for each position,
 *   or a single one: all are in one stream, and count on from it
 * and the head's crc covers bytes 4..48. Body of a batch:
 *   0 u32 scope  4 u32 positions n  8 topic id (16)  24 u32 partition  28 u16 category size  30 u16 zero
 *   32 category ‖ record batch (Kafka's format v2)
 * Body of a thinned batch, left by scavenging; the placed part stays as it was:
 *   0 leaf hash (32)  32 u32 scope  36 u32 positions n  40 topic id (16)  56 u32 partition  60 u16 category size  62 u16 zero
 *   64 u32 size of the record batch, 0: nothing is left of it  68 u32 number of streams
 *   72 category ‖ (u32 index in the batch ‖ u16 size ‖ stream)… ‖ record batch
 * Its record batch has the records that are left, their bytes as they were; the streams, in the order of the index, are those
 * whose last record in the batch is gone, so that no revision is ever given twice. */
#define BATCH_RECORD_HEAD_SIZE 48
#define BATCH_BODY_FIXED_SIZE 32
#define THINNED_FIXED_SIZE 72

/* Merkle leaf of an event: SHA-256(0x00 ‖ position ‖ revision ‖ time ‖ event body), 8 bytes each; that of a batch:
 * SHA-256(0x00 ‖ position ‖ first offset ‖ time ‖ placed part ‖ body), one for all of its positions; inner node:
 * SHA-256(0x01 ‖ left ‖ right), split as RFC 9162 §2.1.1; chain of a segment: SHA-256(0x02 ‖ chain
 * of the one before (zeros for the first) ‖ root ‖ first position ‖ count). */

/* Footer of a sealed segment, right after its last frame:
 *   0 u32 magic  4 u32 crc: segment id, then bytes 8..size  8 u64 size of the footer
 *   16 u64 first position  24 u64 count (positions)  32 i64 first time  40 i64 last time  48 root (32)  80 chain (32)
 *   112 u64 removed events  120 u32 entries of the time index  124 u32 zero
 *   128 u32 offset in the file of each position's record … padded to 8 with zeros
 *       i64 time of every TIME_STEP-th position …
 *   last 16 bytes: u64 offset of the footer in the file, u32 its crc again, u32 magic */
#define FOOTER_FIXED_SIZE 128
#define FOOTER_TRAILER_SIZE 16
#define FOOTER_MAGIC 0x52544643u /* "CFTR" */
#define TIME_STEP 1024

/* The smallest record there can be bounds how many fit a segment, but for batches, which are denser. */
#define RECORD_SIZE_MIN (RECORD_HEAD_SIZE + REMOVED_FIXED_SIZE)

static inline uint32_t
segment_seed(uint64_t segment_id)
{
    return crc32c(0, &segment_id, 8);
}

static inline size_t
pad8(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

#endif
