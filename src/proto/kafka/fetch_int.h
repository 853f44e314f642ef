/* proto/kafka/fetch_int.h: a fetch under way, between calls_fetch.c (reading) and calls_wait.c (waiting, memory of all). */
#ifndef PROTO_KAFKA_FETCH_INT_H
#define PROTO_KAFKA_FETCH_INT_H

#include <batch/batch.h>
#include <proto/kafka/calls_int.h>

struct fetching;

/* A partition that is asked for, and its place in the table of those that are waited for. */
struct fetch_part {
    struct fetching *fetching;
    cairn_uuid topic_id;
    uint32_t partition;
    uint64_t offset, end;   /* from where; what the end was when it was last looked at */
    int32_t max_bytes;
    bool bad;               /* answered with an error */
    size_t size;            /* its bytes */
    size_t first_piece, piece_count;
    struct kafka_fetch_response_partition *to;
    struct fetch_part *next, **link; /* in the table's slot */
};

struct fetching {
    struct kafka_call *call;
    struct calls *calls;
    struct kafka_fetch_response out;
    struct fetch_part *parts;
    size_t part_count;
    int64_t deadline_ms;
    uint64_t max_bytes, min_bytes;
    bool must_answer;       /* at once: a partition has an error, or more than fits */
    bool here, elsewhere;   /* it is being read on the loop; which has turned out to take too long */
    struct buf data;        /* batches of all partitions, one after the other, but for those in files */
    struct buf pieces;      /* of struct kafka_piece; in memory: file -1, and file_at is the place in data until it is answered */
    uint64_t size;          /* of all pieces */
    unsigned files;
    struct batch_maker maker;
    struct arena scratch;
    uint64_t reserved;      /* of the memory of all */
    enum { FETCH_READING, FETCH_WAITING, FETCH_WOKEN } state; /* the table's lock */
    struct fetching *next, **link; /* of those that wait */
};

/* Memory: as much of `want` as there is, at least `least`, or false. */
bool fetches_reserve(struct fetches *fetches, struct fetching *fetching, uint64_t want, uint64_t least);
void fetches_settle(struct fetches *fetches, struct fetching *fetching, uint64_t used);

/* Room for batches that are copied, kept for the next fetch: new memory costs as much as copying. The buffer stays without where
 * there is no memory; it is empty afterwards. */
void fetches_buffer(struct fetches *fetches, size_t size, struct buf *to);
void fetches_keep_buffer(struct fetches *fetches, struct buf *buffer);

/* Readers of partitions, kept for the next fetch. NULL: no memory, or no such partition. */
cairn_partition_reader *fetches_reader(struct fetches *fetches, const cairn_uuid *topic_id, uint32_t partition, uint64_t from,
                                       cairn_err *ret);
void fetches_give_back(struct fetches *fetches, cairn_partition_reader *reader, const cairn_uuid *topic_id, uint32_t partition);

/* Wait until a partition moves: then fetch_again() is run on the loop. On the loop's thread. False: one has moved already. */
bool fetches_wait(struct fetches *fetches, struct fetching *fetching);
/* No longer. False: it has been woken, and fetch_again() is on its way. */
bool fetches_leave(struct fetches *fetches, struct fetching *fetching);
void fetch_again(struct kafka_call *call);

#endif
