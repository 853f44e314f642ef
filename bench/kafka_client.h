/* kafka_client.h: one client on librdkafka, the same for every broker it is pointed at: produce, consume, be timed. */
#ifndef KAFKA_CLIENT_H
#define KAFKA_CLIENT_H

#include "bench.h"

struct kafka_target {
    const char *key;   /* in figures' names */
    const char *label;
    unsigned port;
    pid_t pid;
    const char *topic_config[2]; /* a setting of the topics that are made: name and value, or NULL */
};

/* A topic; false: says why. */
bool kafka_make_topic(const struct kafka_target *target, const char *topic, unsigned partitions);
bool kafka_delete_topic(const struct kafka_target *target, const char *topic);
/* `count` topics of one partition, named "<prefix><number>", 1,000 in a call. */
bool kafka_make_topics(const struct kafka_target *target, const char *prefix, unsigned count);
/* Is somebody there who answers? */
bool kafka_answers(unsigned port);

/* Produce records of `size` bytes with the client's defaults (acks=all) for `seconds`, to the partitions in turn, and wait until
 * all are acknowledged. ret: appends are records. False: some were not. */
bool kafka_produce(const struct kafka_target *target, const char *topic, unsigned partitions, size_t size, double seconds,
                   struct sample *ret);
/* `count` producers beside each other, each of which waits for a record to be acknowledged before it produces the next. */
bool kafka_produce_each(const struct kafka_target *target, const char *topic, unsigned count, size_t size, double seconds,
                        struct sample *ret);
/* Read `count` records from the first ones on. */
bool kafka_consume(const struct kafka_target *target, const char *topic, unsigned partitions, uint64_t count, struct sample *ret);
/* A producer (linger 0) at `rate` a second and a consumer beside it, both here: from the call that produces a record to the call
 * that returns it. */
bool kafka_latency(const struct kafka_target *target, const char *topic, double rate, double seconds, struct sample *ret);

/* Calls about many topics and groups, in ms. */
bool kafka_metadata_ms(const struct kafka_target *target, double *ret);
bool kafka_make_groups(const struct kafka_target *target, const char *topic_prefix, unsigned count);
bool kafka_list_groups_ms(const struct kafka_target *target, double *ret);
/* What a group has committed and how far its partitions reach: the two calls that a lag is made of. */
bool kafka_lag_ms(const struct kafka_target *target, const char *topic, const char *group, double *ret);

#endif
