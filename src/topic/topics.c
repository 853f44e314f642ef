/* Topics: made, grown, changed, deleted.
 *
 * A definition is changed by reading it, and putting the changed one under its revision; when somebody else was quicker, again.
 * What is refused says why in a sentence, since these are calls of people. */
#include "broker_int.h"

#include <base/json.h>
#include <stdio.h>
#include <stdlib.h>

#define DELETE_TRIES 16 /* while others change the very topic */

static const int text_max = 100; /* of a name from outside, in a sentence */

static int
shown(cairn_str name)
{
    return name.size < (size_t)text_max ? (int)name.size : text_max;
}

static enum kafka_err
store_err(cairn_err err, const cairn_error *error, struct broker_why *why)
{
    why_set(why, "%s", error->detail);
    switch (err) {
    case CAIRN_E_INVALID: return KAFKA_INVALID_REQUEST;
    case CAIRN_E_LIMIT: return KAFKA_POLICY_VIOLATION;
    case CAIRN_E_CONFLICT: return KAFKA_REQUEST_TIMED_OUT; /* again and again somebody else was quicker */
    default: return kafka_err_of(err);
    }
}

static enum kafka_err
unknown_topic(cairn_str name, struct broker_why *why)
{
    why_set(why, "There is no topic '%.*s'.", shown(name), name.data);
    return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

/* ---- making ------------------------------------------------------------------------------------------------------------------ */

static enum kafka_err
check_spec(struct broker *broker, const struct broker_topic_spec *spec, cairn_topic *topic, struct broker_why *why)
{
    if (!topic_name_valid(spec->name)) {
        why_set(why, "'%.*s' is no name of a topic: 1 to 249 of letters, digits, '.', '_' and '-', and neither '.' nor '..'.",
                shown(spec->name), spec->name.data);
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    if (spec->partitions != -1 && (spec->partitions < 1 || spec->partitions > CAIRN_PARTITIONS_MAX)) {
        why_set(why, "%d is no number of partitions: 1 to %d, or -1 for the default.", spec->partitions, CAIRN_PARTITIONS_MAX);
        return KAFKA_INVALID_PARTITIONS;
    }
    *topic = (cairn_topic){.name = spec->name, .category = spec->category,
                           .partitions = spec->partitions == -1 ? broker->options.partitions : (uint32_t)spec->partitions};
    for (size_t i = 0; i < spec->config_count && topic->category.size == 0; i++)
        if (cairn_str_equal(spec->config[i].name, CAIRN_STR("cairn.category")))
            topic->category = spec->config[i].value;
    return KAFKA_NONE;
}

/* Its settings as the definition has them; the text is in `text`. */
static enum kafka_err
set_config(cairn_topic *topic, struct settings *settings, const struct broker_pair *pairs, size_t count, bool replace,
           struct arena *arena, struct buf *text, struct broker_why *why)
{
    char by_name[TOPIC_NAME_MAX];
    cairn_str category = topic->category.size ? topic->category : topic_category(topic->name, by_name);
    enum kafka_err err = settings_change(settings, pairs, count, replace, category, arena, why);
    if (err != KAFKA_NONE)
        return err;
    settings_write(settings, text);
    topic->config = buf_str(text);
    topic->compact = settings_lists(settings, "cleanup.policy", "compact");
    return text->failed ? kafka_err_of(CAIRN_E_NOMEM) : KAFKA_NONE;
}

enum kafka_err
broker_topic_create(struct broker *broker, const struct broker_topic_spec *spec, bool validate_only, cairn_topic_ref **ret,
                    struct broker_why *why)
{
    struct settings settings = {.values = {{NULL, 0}}};
    struct arena arena = {0};
    struct buf text = {0};
    cairn_topic topic;
    cairn_topic_ref *ref = NULL;
    cairn_error error;
    enum kafka_err err = check_spec(broker, spec, &topic, why);
    if (err != KAFKA_NONE)
        goto done;
    if (cairn_topic_get(broker->store, broker->scope, spec->name, &ref, NULL) == CAIRN_OK) {
        why_set(why, "There is a topic '%.*s' already.", shown(spec->name), spec->name.data);
        err = KAFKA_TOPIC_ALREADY_EXISTS;
        goto done;
    }
    err = set_config(&topic, &settings, spec->config, spec->config_count, true, &arena, &text, why);
    if (err != KAFKA_NONE || validate_only)
        goto done;
    cairn_err put = cairn_topic_put(broker->store, broker->scope, &topic, CAIRN_NONE, &ref, &error);
    if (put == CAIRN_E_CONFLICT) /* somebody else made it just now */
        put = CAIRN_E_EXISTS;
    if (put != CAIRN_OK) {
        err = store_err(put, &error, why);
        goto done;
    }
    if (ret) {
        *ret = ref;
        ref = NULL;
    }
done:
    cairn_topic_release(ref);
    arena_free(&arena);
    buf_free(&text);
    return err;
}

enum kafka_err
broker_topic_delete(struct broker *broker, cairn_str name, struct broker_why *why)
{
    cairn_error error;
    cairn_err err = cairn_topic_delete(broker->store, broker->scope, name, CAIRN_ANY, &error);
    if (err == CAIRN_E_NOTFOUND)
        return unknown_topic(name, why);
    return err == CAIRN_OK ? KAFKA_NONE : store_err(err, &error, why);
}

enum kafka_err
broker_topic_delete_id(struct broker *broker, const cairn_uuid *id, struct broker_why *why)
{
    cairn_error error = {0};
    cairn_err err = CAIRN_E_CONFLICT;
    for (unsigned tries = 0; tries < DELETE_TRIES && (err == CAIRN_E_CONFLICT || err == CAIRN_E_NOTFOUND); tries++) {
        cairn_topic_ref *ref;
        if (cairn_topic_by_id(broker->store, broker->scope, id, &ref, NULL) != CAIRN_OK) {
            why_set(why, "There is no topic of that id.");
            return KAFKA_UNKNOWN_TOPIC_ID;
        }
        int64_t revision = (int64_t)cairn_topic_revision(ref);
        err = cairn_topic_delete(broker->store, broker->scope, cairn_topic_of(ref)->name, revision, &error);
        cairn_topic_release(ref);
    }
    return err == CAIRN_OK ? KAFKA_NONE : store_err(err, &error, why);
}

/* ---- changing ---------------------------------------------------------------------------------------------------------------- */

/* What is to be done to a definition: changes *topic, with memory that lasts until `after`. */
struct change {
    enum kafka_err (*make)(struct change *change, cairn_topic *topic, struct broker_why *why);
    bool validate_only, nothing; /* nothing: it is so already */
    uint32_t partitions;
    const int64_t *starts;
    size_t start_count;
    uint64_t *new_starts;
    const cairn_uuid *id; /* NULL, or the topic's that it must still be */
    const struct broker_pair *pairs;
    size_t pair_count;
    bool replace;
    struct arena arena;
    struct buf text;
};

static enum kafka_err
change_once(struct broker *broker, cairn_str name, struct change *change, cairn_err *ret_put, struct broker_why *why)
{
    cairn_topic_ref *ref = NULL, *made = NULL;
    cairn_error error;
    *ret_put = CAIRN_OK;
    if (cairn_topic_get(broker->store, broker->scope, name, &ref, &error) != CAIRN_OK)
        return unknown_topic(name, why);
    cairn_topic topic = *cairn_topic_of(ref);
    change->nothing = false;
    buf_clear(&change->text);
    enum kafka_err err = KAFKA_NONE;
    if (change->id && memcmp(change->id, &topic.id, sizeof topic.id) != 0)
        err = unknown_topic(name, why);
    if (err == KAFKA_NONE)
        err = change->make(change, &topic, why);
    if (err == KAFKA_NONE && !change->validate_only && !change->nothing) {
        *ret_put = cairn_topic_put(broker->store, broker->scope, &topic, (int64_t)cairn_topic_revision(ref), &made, &error);
        if (*ret_put != CAIRN_OK)
            err = store_err(*ret_put, &error, why);
    }
    cairn_topic_release(made);
    cairn_topic_release(ref);
    return err;
}

static enum kafka_err
change_topic(struct broker *broker, cairn_str name, struct change *change, struct broker_why *why)
{
    cairn_err put;
    enum kafka_err err;
    int tries = 0;
    do
        err = change_once(broker, name, change, &put, why);
    while (put == CAIRN_E_CONFLICT && ++tries < CONFLICT_TRIES);
    free(change->new_starts);
    buf_free(&change->text);
    arena_free(&change->arena);
    return err;
}

/* A copy of the starts, one for each partition of `topic`. */
static bool
copy_starts(struct change *change, const cairn_topic *topic, uint32_t had)
{
    free(change->new_starts);
    change->new_starts = calloc(topic->partitions, sizeof *change->new_starts);
    if (!change->new_starts)
        return false;
    if (topic->starts)
        memcpy(change->new_starts, topic->starts, had * sizeof *topic->starts);
    return true;
}

static enum kafka_err
make_grown(struct change *change, cairn_topic *topic, struct broker_why *why)
{
    uint32_t had = topic->partitions;
    if (change->partitions <= had) {
        why_set(why, "The topic has %u partition%s, and they can only grow.", had, had == 1 ? "" : "s");
        return KAFKA_INVALID_PARTITIONS;
    }
    topic->partitions = change->partitions;
    if (!copy_starts(change, topic, had))
        return kafka_err_of(CAIRN_E_NOMEM);
    topic->starts = change->new_starts;
    return KAFKA_NONE;
}

enum kafka_err
broker_topic_grow(struct broker *broker, cairn_str name, int32_t partitions, bool validate_only, struct broker_why *why)
{
    if (partitions < 1 || partitions > CAIRN_PARTITIONS_MAX) {
        why_set(why, "%d is no number of partitions: 1 to %d.", partitions, CAIRN_PARTITIONS_MAX);
        return KAFKA_INVALID_PARTITIONS;
    }
    struct change change = {.make = make_grown, .validate_only = validate_only, .partitions = (uint32_t)partitions};
    return change_topic(broker, name, &change, why);
}

static enum kafka_err
make_configured(struct change *change, cairn_topic *topic, struct broker_why *why)
{
    struct settings settings;
    cairn_str before = topic->config;
    settings_read(topic->config, &settings);
    enum kafka_err err = set_config(topic, &settings, change->pairs, change->pair_count, change->replace, &change->arena,
                                    &change->text, why);
    change->nothing = err == KAFKA_NONE && cairn_str_equal(before, topic->config);
    return err;
}

enum kafka_err
broker_topic_configure(struct broker *broker, cairn_str name, const struct broker_pair *pairs, size_t count, bool replace,
                       bool validate_only, struct broker_why *why)
{
    struct change change = {.make = make_configured, .validate_only = validate_only, .pairs = pairs, .pair_count = count,
                            .replace = replace};
    return change_topic(broker, name, &change, why);
}

/* ---- what lies below an offset goes ------------------------------------------------------------------------------------------ */

static enum kafka_err
make_raised(struct change *change, cairn_topic *topic, struct broker_why *why)
{
    (void)why;
    if (!copy_starts(change, topic, topic->partitions))
        return kafka_err_of(CAIRN_E_NOMEM);
    change->nothing = true;
    for (size_t i = 0; i < change->start_count && i < topic->partitions; i++)
        if (change->starts[i] > 0 && (uint64_t)change->starts[i] > change->new_starts[i]) {
            change->new_starts[i] = (uint64_t)change->starts[i];
            change->nothing = false;
        }
    topic->starts = change->new_starts;
    return KAFKA_NONE;
}

enum kafka_err
starts_raise(struct broker *broker, cairn_str name, const cairn_uuid *id, const int64_t *starts, size_t count,
             struct broker_why *why)
{
    struct change change = {.make = make_raised, .id = id, .starts = starts, .start_count = count};
    return change_topic(broker, name, &change, why);
}

enum kafka_err
broker_delete_records(struct broker *broker, cairn_str name, uint32_t partition, int64_t offset, uint64_t *ret_low_watermark,
                      struct broker_why *why)
{
    struct view *view = NULL;
    int64_t *starts = NULL;
    cairn_partition_info info;
    cairn_error error;
    enum kafka_err err = view_get(broker, name, NULL, &view);
    if (err != KAFKA_NONE)
        return unknown_topic(name, why);
    const cairn_uuid id = view->topic->id;
    if (!view->deletes) {
        why_set(why, "Records are not deleted from a topic whose cleanup.policy does not say delete.");
        err = KAFKA_POLICY_VIOLATION;
        goto done;
    }
    cairn_err got = cairn_partition_get(broker->store, broker->scope, &id, partition, &info, &error);
    if (got != CAIRN_OK) {
        err = store_err(got, &error, why);
        goto done;
    }
    if (offset < -1 || (offset >= 0 && (uint64_t)offset > info.end)) {
        why_set(why, "The offset is beyond the end, which is %llu.", (unsigned long long)info.end);
        err = KAFKA_OFFSET_OUT_OF_RANGE;
        goto done;
    }
    starts = calloc((size_t)partition + 1, sizeof *starts);
    if (!starts) {
        err = kafka_err_of(CAIRN_E_NOMEM);
        goto done;
    }
    starts[partition] = offset == -1 ? (int64_t)info.end : offset;
    err = starts_raise(broker, name, &id, starts, (size_t)partition + 1, why);
    if (err == KAFKA_NONE)
        *ret_low_watermark = info.start > (uint64_t)starts[partition] ? info.start : (uint64_t)starts[partition];
done:
    free(starts);
    view_release(view);
    return err;
}
