/* The codecs of record batches: gzip by zlib, snappy (raw, and in the framing of xerial's Java library), lz4 frames, zstd.
 *
 * What decompresses comes from outside. Output grows in steps and never beyond `max`; a codec that announces its size is
 * believed only as far as the input could be so much. Several members or frames in a row are one text: some clients write
 * them so. No state outlives a call but memory: a thread keeps its context of zstd, whose making takes ten times as long as a
 * small batch. */
#include <base/hash.h>
#include <batch/batch.h>

#include <lz4frame.h>
#include <pthread.h>
#include <snappy-c.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

static const char too_large[] = "the batch is too large once decompressed";
static const char damaged[] = "the batch does not decompress";
static const char ends_early[] = "the compressed records end too early";

#define STEP_MIN ((size_t)16 << 10)

/* Room for some more output, at least a byte; NULL, or what is wrong. `first` is where this output began. */
static const char *
more_room(struct buf *to, size_t first, size_t max)
{
    size_t used = to->size - first, room = max - used;
    if (room == 0)
        return too_large;
    if (to->capacity - to->size > 0)
        return NULL;
    size_t step = used < STEP_MIN ? STEP_MIN : used;
    return buf_reserve(to, step < room ? step : room) ? NULL : batch_no_memory;
}

/* How much may be written now. */
static size_t
room_for(const struct buf *to, size_t first, size_t max)
{
    size_t room = to->capacity - to->size, left = max - (to->size - first);
    return room < left ? room : left;
}

/* ---- gzip */

static const char *
unpack_gzip(cairn_str bytes, size_t max, struct buf *to)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes.data, .avail_in = (uInt)bytes.size};
    size_t first = to->size;
    const char *fault = NULL;
    if (inflateInit2(&stream, 15 + 32) != Z_OK) /* +32: a gzip or a zlib head */
        return batch_no_memory;
    for (;;) {
        /* At the bound a byte more is tried, to tell a whole text from one that is too large. */
        uint8_t beyond;
        bool full = to->size - first == max;
        if (!full && (fault = more_room(to, first, max)))
            break;
        size_t room = full ? 1 : room_for(to, first, max);
        stream.next_out = full ? &beyond : (Bytef *)to->data + to->size;
        stream.avail_out = (uInt)room;
        int answer = inflate(&stream, Z_NO_FLUSH);
        size_t made = room - stream.avail_out;
        if (full && made > 0) {
            fault = too_large;
            break;
        }
        to->size += full ? 0 : made;
        if (answer == Z_STREAM_END) {
            if (stream.avail_in == 0)
                break;
            if (inflateReset(&stream) != Z_OK) {
                fault = damaged;
                break;
            }
        } else if (answer != Z_OK && answer != Z_BUF_ERROR) {
            fault = answer == Z_MEM_ERROR ? batch_no_memory : damaged;
            break;
        } else if (stream.avail_in == 0 && stream.avail_out > 0) {
            fault = ends_early;
            break;
        } else if (answer == Z_BUF_ERROR && made == 0 && stream.avail_out > 0) {
            fault = damaged;
            break;
        }
    }
    inflateEnd(&stream);
    return fault;
}

static bool
pack_gzip(cairn_str bytes, struct buf *to)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes.data, .avail_in = (uInt)bytes.size};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    size_t bound = deflateBound(&stream, (uLong)bytes.size);
    bool done = buf_reserve(to, bound);
    if (done) {
        stream.next_out = (Bytef *)to->data + to->size;
        stream.avail_out = (uInt)bound;
        done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
        to->size += bound - stream.avail_out;
    }
    deflateEnd(&stream);
    return done;
}

/* ---- snappy */

/* xerial's framing: 0x82 "SNAPPY" 0, i32 version, i32 oldest version that can read it, then blocks: i32 size ‖ raw snappy.
 * A head may come again between blocks, where texts were joined. Integers are big-endian. */
#define XERIAL_HEAD_SIZE 16
#define XERIAL_BLOCK (32u << 10)
static const char xerial_magic[8] = {(char)0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

/* No element of three bytes makes more than 64. */
#define SNAPPY_RATIO_MAX 22

static bool
is_xerial(cairn_str bytes)
{
    return bytes.size >= XERIAL_HEAD_SIZE && memcmp(bytes.data, xerial_magic, sizeof xerial_magic) == 0;
}

/* One raw text, of which `first` is where all the output began. */
static const char *
unpack_snappy_raw(cairn_str bytes, size_t first, size_t max, struct buf *to)
{
    size_t size;
    if (snappy_uncompressed_length(bytes.data, bytes.size, &size) != SNAPPY_OK || size / SNAPPY_RATIO_MAX > bytes.size)
        return damaged;
    if (size > max - (to->size - first))
        return too_large;
    if (!buf_reserve(to, size ? size : 1))
        return batch_no_memory;
    if (snappy_uncompress(bytes.data, bytes.size, to->data + to->size, &size) != SNAPPY_OK)
        return damaged;
    to->size += size;
    return NULL;
}

static const char *
unpack_snappy(cairn_str bytes, size_t max, struct buf *to)
{
    size_t first = to->size;
    if (!is_xerial(bytes))
        return unpack_snappy_raw(bytes, first, max, to);
    while (bytes.size > 0) {
        if (is_xerial(bytes)) {
            bytes = (cairn_str){bytes.data + XERIAL_HEAD_SIZE, bytes.size - XERIAL_HEAD_SIZE};
            continue;
        }
        if (bytes.size < 4)
            return ends_early;
        size_t size = __builtin_bswap32(load32(bytes.data));
        bytes = (cairn_str){bytes.data + 4, bytes.size - 4};
        if (size > bytes.size)
            return ends_early;
        const char *fault = unpack_snappy_raw((cairn_str){bytes.data, size}, first, max, to);
        if (fault)
            return fault;
        bytes = (cairn_str){bytes.data + size, bytes.size - size};
    }
    return NULL;
}

/* In xerial's framing, which every client reads, the oldest too. */
static bool
pack_snappy(cairn_str bytes, struct buf *to)
{
    static const uint8_t versions[8] = {0, 0, 0, 1, 0, 0, 0, 1};
    buf_put(to, xerial_magic, sizeof xerial_magic);
    buf_put(to, versions, sizeof versions);
    for (size_t at = 0; at < bytes.size;) {
        size_t size = bytes.size - at < XERIAL_BLOCK ? bytes.size - at : XERIAL_BLOCK;
        size_t packed = snappy_max_compressed_length(size);
        if (!buf_reserve(to, 4 + packed) ||
            snappy_compress(bytes.data + at, size, to->data + to->size + 4, &packed) != SNAPPY_OK)
            return false;
        store32(to->data + to->size, __builtin_bswap32((uint32_t)packed));
        to->size += 4 + packed;
        at += size;
    }
    return !to->failed;
}

/* ---- lz4 */

#define LZ4_MAGIC 0x184D2204u
#define LZ4_HEAD_MAX 19 /* magic, flags, block size, content size, dictionary, checksum */

/* The head of a frame whose checksum was taken over the magic as well, as the first Kafka clients did (KIP-57): with the
 * right one, in `to`. The size of the head, or 0: it is not such a one. */
static size_t
mend_lz4_head(cairn_str bytes, uint8_t to[LZ4_HEAD_MAX])
{
    if (bytes.size < 7 || load32(bytes.data) != LZ4_MAGIC)
        return 0;
    size_t size = 6 + (bytes.data[4] & 8 ? 8 : 0) + (bytes.data[4] & 1 ? 4 : 0);
    if (bytes.size <= size)
        return 0;
    memcpy(to, bytes.data, size + 1);
    uint8_t right = (uint8_t)(XXH32(to + 4, size - 4, 0) >> 8), wrong = (uint8_t)(XXH32(to, size, 0) >> 8);
    if (to[size] == right || to[size] != wrong)
        return 0;
    to[size] = right;
    return size + 1;
}

/* As much of `in` as there is, or as finishes a frame. *hint 0: the frame is whole. */
static const char *
lz4_step(LZ4F_dctx *context, cairn_str *in, size_t first, size_t max, struct buf *to, size_t *hint)
{
    uint8_t beyond;
    bool full = to->size - first == max;
    const char *fault = full ? NULL : more_room(to, first, max);
    if (fault)
        return fault;
    size_t made = full ? 1 : room_for(to, first, max), taken = in->size;
    *hint = LZ4F_decompress(context, full ? (char *)&beyond : to->data + to->size, &made, in->data, &taken, NULL);
    if (LZ4F_isError(*hint))
        return strcmp(LZ4F_getErrorName(*hint), "ERROR_allocation_failed") == 0 ? batch_no_memory : damaged;
    if (full && made > 0)
        return too_large;
    if (made == 0 && taken == 0 && *hint != 0)
        return in->size == 0 ? ends_early : damaged;
    to->size += full ? 0 : made;
    *in = (cairn_str){in->data + taken, in->size - taken};
    return NULL;
}

static const char *
unpack_lz4(cairn_str bytes, size_t max, struct buf *to)
{
    LZ4F_dctx *context;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
        return batch_no_memory;
    size_t first = to->size, hint = 0;
    const char *fault = NULL;
    do {
        uint8_t head[LZ4_HEAD_MAX];
        size_t mended = hint == 0 ? mend_lz4_head(bytes, head) : 0;
        cairn_str begin = {(const char *)head, mended};
        while (!fault && begin.size > 0)
            fault = lz4_step(context, &begin, first, max, to, &hint);
        bytes = (cairn_str){bytes.data + mended, bytes.size - mended};
        if (!fault)
            fault = lz4_step(context, &bytes, first, max, to, &hint);
    } while (!fault && (bytes.size > 0 || hint != 0));
    LZ4F_freeDecompressionContext(context);
    return fault;
}

/* Independent blocks of 64 KiB and no content size: Kafka's own reader knows nothing else. */
static bool
pack_lz4(cairn_str bytes, struct buf *to)
{
    LZ4F_preferences_t preferences = {.frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent}};
    size_t bound = LZ4F_compressFrameBound(bytes.size, &preferences);
    if (!buf_reserve(to, bound))
        return false;
    size_t size = LZ4F_compressFrame(to->data + to->size, bound, bytes.data, bytes.size, &preferences);
    if (LZ4F_isError(size))
        return false;
    to->size += size;
    return true;
}

/* ---- zstd */

#define ZSTD_LEVEL 3
#define ZSTD_WINDOW_LOG_MAX 27 /* 128 MiB: what the highest levels ask for */
#define ZSTD_KEEP_MAX ((size_t)1 << 20)

static pthread_key_t zstd_key;
static pthread_once_t zstd_once = PTHREAD_ONCE_INIT;
static bool zstd_keeps;

static void
free_zstd(void *context)
{
    ZSTD_freeDCtx(context);
}

static void
make_zstd_key(void)
{
    zstd_keeps = pthread_key_create(&zstd_key, free_zstd) == 0;
}

/* NULL: out of memory. */
static ZSTD_DCtx *
take_zstd(void)
{
    pthread_once(&zstd_once, make_zstd_key);
    ZSTD_DCtx *context = zstd_keeps ? pthread_getspecific(zstd_key) : NULL;
    if (context) {
        ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
        return context;
    }
    context = ZSTD_createDCtx();
    if (!context || ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX)) ||
        (zstd_keeps && pthread_setspecific(zstd_key, context) != 0)) {
        ZSTD_freeDCtx(context);
        return NULL;
    }
    return context;
}

/* A window is not kept: it may be as large as the largest batch. */
static void
give_zstd(ZSTD_DCtx *context)
{
    if (zstd_keeps && ZSTD_sizeof_DCtx(context) <= ZSTD_KEEP_MAX)
        return;
    if (zstd_keeps && pthread_setspecific(zstd_key, NULL) != 0)
        return; /* it stays the thread's */
    ZSTD_freeDCtx(context);
}

static const char *
unpack_zstd(cairn_str bytes, size_t max, struct buf *to)
{
    ZSTD_DCtx *context = take_zstd();
    if (!context)
        return batch_no_memory;
    size_t first = to->size, hint = 1;
    const char *fault = NULL;
    ZSTD_inBuffer in = {bytes.data, bytes.size, 0};
    while (!fault && (in.pos < in.size || hint != 0)) {
        uint8_t beyond;
        bool full = to->size - first == max;
        if (!full && (fault = more_room(to, first, max)))
            break;
        ZSTD_outBuffer out = {full ? (char *)&beyond : to->data + to->size, full ? 1 : room_for(to, first, max), 0};
        size_t taken = in.pos;
        hint = ZSTD_decompressStream(context, &out, &in);
        if (ZSTD_isError(hint))
            fault = ZSTD_getErrorCode(hint) == ZSTD_error_memory_allocation ? batch_no_memory : damaged;
        else if (full && out.pos > 0)
            fault = too_large;
        else if (out.pos == 0 && in.pos == taken && hint != 0)
            fault = in.pos == in.size ? ends_early : damaged;
        else
            to->size += full ? 0 : out.pos;
    }
    give_zstd(context);
    return fault;
}

static bool
pack_zstd(cairn_str bytes, struct buf *to)
{
    size_t bound = ZSTD_compressBound(bytes.size);
    if (!buf_reserve(to, bound))
        return false;
    size_t size = ZSTD_compress(to->data + to->size, bound, bytes.data, bytes.size, ZSTD_LEVEL);
    if (ZSTD_isError(size))
        return false;
    to->size += size;
    return true;
}

/* ---- */

static const char *
unpack_plain(cairn_str bytes, size_t max, struct buf *to)
{
    if (bytes.size > max)
        return too_large;
    buf_put_str(to, bytes);
    return to->failed ? batch_no_memory : NULL;
}

static bool
pack_plain(cairn_str bytes, struct buf *to)
{
    buf_put_str(to, bytes);
    return !to->failed;
}

static const struct {
    const char *(*unpack)(cairn_str bytes, size_t max, struct buf *to);
    bool (*pack)(cairn_str bytes, struct buf *to);
} codecs[BATCH_CODECS] = {
    [BATCH_PLAIN] = {unpack_plain, pack_plain}, [BATCH_GZIP] = {unpack_gzip, pack_gzip},
    [BATCH_SNAPPY] = {unpack_snappy, pack_snappy}, [BATCH_LZ4] = {unpack_lz4, pack_lz4},
    [BATCH_ZSTD] = {unpack_zstd, pack_zstd},
};

const char *
codec_unpack(enum batch_codec codec, cairn_str bytes, size_t max, struct buf *to)
{
    if ((unsigned)codec >= BATCH_CODECS)
        return "the batch has an unknown codec";
    if (bytes.size == 0 && codec != BATCH_PLAIN)
        return ends_early;
    return codecs[codec].unpack(bytes, max, to);
}

bool
codec_pack(enum batch_codec codec, cairn_str bytes, struct buf *to)
{
    return (unsigned)codec < BATCH_CODECS && codecs[codec].pack(bytes, to);
}
