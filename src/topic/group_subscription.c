/* What the clients' own assignors tell each other is theirs, but for one thing: the topics of a subscription, which describing a
 * group and deleting offsets must know. This reads ConsumerProtocolSubscription (the schema of that name among Kafka's
 * message definitions): version int16; topics, an array of strings; then what does not matter here. Later versions only
 * add at the end. The bytes are anybody's: lengths are held against what is there. */
#include <topic/groups_int.h>

#define COMPARISONS_MAX 1000000

struct reader {
    const uint8_t *at, *end;
};

static bool
take16(struct reader *reader, int32_t *ret)
{
    if (reader->end - reader->at < 2)
        return false;
    *ret = (int16_t)(reader->at[0] << 8 | reader->at[1]);
    reader->at += 2;
    return true;
}

static bool
take32(struct reader *reader, int64_t *ret)
{
    if (reader->end - reader->at < 4)
        return false;
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 8 | reader->at[i];
    *ret = (int32_t)value;
    reader->at += 4;
    return true;
}

static bool
begin(cairn_str metadata, struct reader *ret, int64_t *ret_count)
{
    int32_t version;
    *ret = (struct reader){(const uint8_t *)metadata.data, (const uint8_t *)metadata.data + metadata.size};
    return metadata.size > 0 && take16(ret, &version) && version >= 0 && take32(ret, ret_count) && *ret_count >= 0
           && *ret_count <= (ret->end - ret->at) / 2;
}

static bool
take_topic(struct reader *reader, cairn_str *ret)
{
    int32_t size;
    if (!take16(reader, &size) || size < 0 || size > reader->end - reader->at)
        return false;
    *ret = (cairn_str){(const char *)reader->at, (size_t)size};
    reader->at += size;
    return true;
}

/* Whole before the first is visited: a torn subscription has no topics. */
bool
subscription_topics(cairn_str metadata, topic_name_visit visit, void *context)
{
    struct reader reader;
    int64_t count;
    cairn_str topic;
    if (!begin(metadata, &reader, &count))
        return false;
    struct reader start = reader;
    for (int64_t i = 0; i < count; i++)
        if (!take_topic(&reader, &topic))
            return false;
    for (int64_t i = 0; i < count; i++)
        if (!take_topic(&start, &topic) || !visit(context, topic))
            break;
    return true;
}

struct looking {
    cairn_str topic, in;
    bool found, missing;
};

static bool
is_it(void *context, cairn_str topic)
{
    struct looking *looking = context;
    looking->found |= cairn_str_equal(topic, looking->topic);
    return !looking->found;
}

bool
subscription_has(cairn_str metadata, cairn_str topic)
{
    struct looking looking = {.topic = topic};
    return subscription_topics(metadata, is_it, &looking) && looking.found;
}

static bool
is_in(void *context, cairn_str topic)
{
    struct looking *looking = context;
    looking->missing |= !subscription_has(looking->in, topic);
    return !looking->missing;
}

/* The same set, in whatever order. Each is looked for in the other: above a number of topics they count as different. */
bool
subscription_same_topics(cairn_str a, cairn_str b)
{
    struct looking of_a = {.in = b}, of_b = {.in = a};
    struct reader reader;
    int64_t count_a, count_b;
    if (!begin(a, &reader, &count_a) || !begin(b, &reader, &count_b) || (count_a + 1) * (count_b + 1) > COMPARISONS_MAX)
        return false;
    return subscription_topics(a, is_in, &of_a) && !of_a.missing && subscription_topics(b, is_in, &of_b) && !of_b.missing;
}
