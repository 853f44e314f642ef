/* tests/consumer_rig.h: KIP-848's groups on topics that the test plays, and clients that do as they are told. */
#ifndef TESTS_CONSUMER_RIG_H
#define TESTS_CONSUMER_RIG_H

#include <groups_rig.h>

#define PLAY_TOPICS 8
#define PLAY_PARTITIONS 64

/* Topics "t0" … "t7"; 0 partitions: it is not there. */
struct play {
    uint64_t changes;
    uint32_t partitions[PLAY_TOPICS];
    uint8_t life[PLAY_TOPICS]; /* how often it has been made: another id each time */
};

static inline cairn_uuid
play_id(const struct play *play, size_t topic)
{
    return (cairn_uuid){{(uint8_t)(topic + 1), play->life[topic]}};
}

static inline uint64_t play_changes(void *context) { return ((struct play *)context)->changes; }
static inline cairn_err
play_visit(void *context, cairn_topic_visit visit, void *visit_context)
{
    struct play *play = context;
    for (size_t i = 0; i < PLAY_TOPICS; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%zu", i);
        cairn_topic topic = {.id = play_id(play, i), .name = cairn_cstr(name), .partitions = play->partitions[i]};
        if (play->partitions[i] > 0 && !visit(visit_context, &topic, 0))
            break;
    }
    return CAIRN_OK;
}

static inline void
play_set(struct play *play, size_t topic, uint32_t partitions)
{
    if (play->partitions[topic] == 0)
        play->life[topic]++;
    play->partitions[topic] = partitions;
    play->changes++;
}

/* What a client has: of each topic a bit for each partition, and which life of the topic that is of. */
struct holds {
    uint64_t bits[PLAY_TOPICS];
    uint8_t life[PLAY_TOPICS];
};

struct client {
    const char *group, *instance, *assignor, *regex;
    char id[64];
    const char *topics[PLAY_TOPICS];
    size_t topic_count;
    int32_t epoch;
    struct holds owned, told;
    /* what was heard last */
    unsigned calls;
    enum kafka_err err;
    bool has_assignment;
    char message[128];
};

static inline void
on_beaten(void *context, const struct consumer_heartbeat_result *result)
{
    struct client *client = context;
    client->calls++;
    client->err = result->err;
    client->has_assignment = result->has_assignment;
    snprintf(client->message, sizeof client->message, "%s", result->message ? result->message : "");
    if (result->err != KAFKA_NONE)
        return;
    keep_text(client->id, sizeof client->id, result->member_id);
    client->epoch = result->epoch;
    if (!result->has_assignment)
        return;
    client->told = (struct holds){0};
    for (size_t t = 0; t < result->assignment_count; t++) {
        const struct topic_partitions *topic = &result->assignment[t];
        size_t index = (size_t)(topic->topic_id.bytes[0] - 1);
        client->told.life[index] = topic->topic_id.bytes[1];
        for (size_t p = 0; p < topic->count; p++)
            client->told.bits[index] |= UINT64_C(1) << topic->partitions[p];
    }
}

static inline size_t
holds_list(const struct holds *holds, struct topic_partitions topics[PLAY_TOPICS], int32_t partitions[PLAY_TOPICS][64])
{
    size_t count = 0;
    for (size_t t = 0; t < PLAY_TOPICS; t++) {
        size_t n = 0;
        for (int p = 0; p < 64; p++)
            if (holds->bits[t] >> p & 1)
                partitions[count][n++] = p;
        if (n == 0)
            continue;
        topics[count] = (struct topic_partitions){.topic_id = {{(uint8_t)(t + 1), holds->life[t]}}, .partitions = partitions[count], .count = n};
        count++;
    }
    return count;
}

/* A full request. `done` hears it: on_beaten, or something that loses it. */
static inline void
client_send(struct client *client, struct groups_broker *groups, int64_t now_ms, int32_t epoch, consumer_heartbeat_done done)
{
    struct topic_partitions owned[PLAY_TOPICS];
    int32_t partitions[PLAY_TOPICS][64];
    cairn_str topics[PLAY_TOPICS + 1] = {{0}};
    for (size_t i = 0; i < client->topic_count; i++)
        topics[i] = cairn_cstr(client->topics[i]);
    struct consumer_heartbeat heartbeat = {
        .group = cairn_cstr(client->group ? client->group : "g"), .member_id = cairn_cstr(client->id), .epoch = epoch,
        .instance_id = cairn_cstr(client->instance), .client_id = CAIRN_STR("c"), .rebalance_timeout_ms = 30000,
        .topics = topics, .topic_count = client->topic_count, .has_regex = client->regex != NULL,
        .regex = cairn_cstr(client->regex), .assignor = cairn_cstr(client->assignor),
        .owned = owned, .owned_count = holds_list(&client->owned, owned, partitions),
    };
    groups_consumer_heartbeat(groups, &heartbeat, now_ms, done, client);
}

/* Give up what it is not told to have, at once. True: it had something to give up. */
static inline bool
client_revoke(struct client *client)
{
    bool revoked = false;
    for (size_t t = 0; t < PLAY_TOPICS; t++) {
        uint64_t keep = client->owned.life[t] == client->told.life[t] ? client->told.bits[t] : 0;
        revoked |= (client->owned.bits[t] & ~keep) != 0;
        client->owned.bits[t] &= keep;
    }
    return revoked;
}

static inline void
client_apply(struct client *client)
{
    client_revoke(client);
    client->owned = client->told;
}

static inline void
client_beat(struct client *client, struct groups_broker *groups, int64_t now_ms)
{
    client_send(client, groups, now_ms, client->epoch, on_beaten);
    if (client->err == KAFKA_NONE)
        client_apply(client);
}

static inline int
client_count(const struct client *client)
{
    int count = 0;
    for (size_t t = 0; t < PLAY_TOPICS; t++)
        count += __builtin_popcountll(client->owned.bits[t]);
    return count;
}

#endif
