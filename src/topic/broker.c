/* The broker: opening, closing, ticking, and topics with their settings made ready for use.
 *
 * A view is kept for each topic that has been asked for. It is as of a count of changes that the store keeps; when that has gone
 * up, the definition's revision says whether the view still holds, so that a producer's batch costs a look-up and no parsing.
 *
 * Whoever appends counts a flight until its end has been told; closing waits for the last, since `done` belongs to others. */
#include "broker_int.h"

#include <os/wait.h>
#include <stdio.h>
#include <stdlib.h>

#define KIB 1024u
#define MIB (KIB * KIB)
#define VIEWS_MIN 256

/* ---- views ------------------------------------------------------------------------------------------------------------------- */

static void
view_free(struct view *view)
{
    cairn_topic_release(view->ref);
    free(view);
}

void
view_release(struct view *view)
{
    if (view && atomic_fetch_sub(&view->holders, 1) == 1)
        view_free(view);
}

static struct view **
slot_of(const struct views *views, cairn_str name)
{
    struct view **slot = &views->slots[hash64(name.data, name.size, 0) & (views->capacity - 1)];
    while (*slot && !cairn_str_equal((*slot)->topic->name, name))
        slot = &(*slot)->next;
    return slot;
}

/* Held by the table and by the caller. Takes over the reference. */
static struct view *
view_make(struct broker *broker, cairn_topic_ref *ref, uint64_t changes)
{
    struct view *view = calloc(1, sizeof *view);
    struct settings settings;
    if (!view) {
        cairn_topic_release(ref);
        return NULL;
    }
    atomic_init(&view->holders, 2);
    atomic_init(&view->changes, changes);
    view->ref = ref;
    view->topic = cairn_topic_of(ref);
    settings_read(view->topic->config, &settings);
    view->deletes = settings_lists(&settings, "cleanup.policy", "delete");
    view->batch_bytes_max = broker->options.message_max_bytes;
    bool by_default;
    if (broker_setting_get(broker, view->topic, "max.message.bytes", &by_default).data && !by_default)
        view->batch_bytes_max = (uint32_t)settings_number(&settings, "max.message.bytes");
    view->log_append_time = cairn_str_equal(settings_get(&settings, "message.timestamp.type"), CAIRN_STR("LogAppendTime"));
    view->before_max_ms = settings_number(&settings, "message.timestamp.before.max.ms");
    view->after_max_ms = settings_number(&settings, "message.timestamp.after.max.ms");
    view->retention_ms = view->deletes ? settings_number(&settings, "retention.ms") : -1;
    view->retention_bytes = view->deletes ? settings_number(&settings, "retention.bytes") : -1;
    view->value_subject = settings_get(&settings, "cairn.value.subject");
    return view;
}

/* Double the table, and leave out what has not been asked for since topics last changed: it may be deleted. */
static bool
views_grow(struct views *views, uint64_t changes)
{
    struct views larger = {.capacity = views->capacity ? views->capacity * 2 : VIEWS_MIN};
    larger.slots = calloc(larger.capacity, sizeof(struct view *));
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < views->capacity; i++)
        for (struct view *view = views->slots[i], *next; view; view = next) {
            next = view->next;
            view->next = NULL;
            if (atomic_load(&view->changes) == changes) {
                *slot_of(&larger, view->topic->name) = view;
                larger.count++;
            } else {
                view_release(view);
            }
        }
    free(views->slots);
    views->slots = larger.slots;
    views->capacity = larger.capacity;
    views->count = larger.count;
    return true;
}

/* The table's view of that name goes; under the lock. */
static void
views_drop(struct views *views, cairn_str name)
{
    struct view **slot = views->capacity ? slot_of(views, name) : NULL;
    if (slot && *slot) {
        struct view *view = *slot;
        *slot = view->next;
        views->count--;
        view_release(view);
    }
}

/* The definition is asked for anew. */
static enum kafka_err
view_renew(struct broker *broker, cairn_str name, struct view **ret)
{
    struct views *views = &broker->views;
    uint64_t changes = cairn_topics_changes(broker->store); /* before the look, so that what comes after it is seen later */
    cairn_topic_ref *ref = NULL;
    cairn_err found = cairn_topic_get(broker->store, broker->scope, name, &ref, NULL);
    enum kafka_err err = kafka_err_of(found);
    pthread_rwlock_wrlock(&views->lock);
    struct view *old = views->capacity ? *slot_of(views, name) : NULL;
    if (found != CAIRN_OK) {
        views_drop(views, name);
    } else if (old && cairn_topic_revision(old->ref) == cairn_topic_revision(ref) &&
               memcmp(&old->topic->id, &cairn_topic_of(ref)->id, sizeof(cairn_uuid)) == 0) {
        atomic_store(&old->changes, changes);
        atomic_fetch_add(&old->holders, 1);
        cairn_topic_release(ref);
        *ret = old;
    } else {
        views_drop(views, name);
        struct view *view = view_make(broker, ref, changes);
        bool room = view && (views->count < views->capacity || views_grow(views, changes));
        if (room) {
            *slot_of(views, name) = view;
            views->count++;
            *ret = view;
        } else {
            err = kafka_err_of(CAIRN_E_NOMEM);
            if (view)
                view_free(view);
        }
    }
    pthread_rwlock_unlock(&views->lock);
    return err;
}

enum kafka_err
view_get(struct broker *broker, cairn_str name, const cairn_uuid *id, struct view **ret)
{
    struct views *views = &broker->views;
    struct view *view = NULL;
    cairn_topic_ref *ref = NULL;
    enum kafka_err err = KAFKA_NONE;
    if (name.size == 0) {
        if (cairn_topic_by_id(broker->store, broker->scope, id, &ref, NULL) != CAIRN_OK)
            return KAFKA_UNKNOWN_TOPIC_ID;
        name = cairn_topic_of(ref)->name;
    }
    uint64_t changes = cairn_topics_changes(broker->store);
    pthread_rwlock_rdlock(&views->lock);
    view = views->capacity ? *slot_of(views, name) : NULL;
    if (view && atomic_load(&view->changes) != changes)
        view = NULL;
    if (view)
        atomic_fetch_add(&view->holders, 1);
    pthread_rwlock_unlock(&views->lock);
    if (!view)
        err = view_renew(broker, name, &view);
    cairn_topic_release(ref);
    if (err == KAFKA_NONE)
        *ret = view;
    return err;
}

static void
views_free(struct views *views)
{
    for (size_t i = 0; i < views->capacity; i++)
        for (struct view *view = views->slots[i], *next; view; view = next) {
            next = view->next;
            view_release(view);
        }
    free(views->slots);
    pthread_rwlock_destroy(&views->lock);
}

/* ---- flights ----------------------------------------------------------------------------------------------------------------- */

void
flight_begins(struct broker *broker)
{
    atomic_fetch_add(&broker->flights, 1);
}

void
flight_ends(struct broker *broker)
{
    _Atomic uint32_t *flights = &broker->flights;
    if (atomic_fetch_sub(flights, 1) == 1)
        os_wake(flights, INT32_MAX); /* an address is all that is used of it by now */
}

/* ---- opening and closing ----------------------------------------------------------------------------------------------------- */

static void
fill_options(struct broker_options *options)
{
    if (options->partitions == 0)
        options->partitions = 1;
    if (options->message_max_bytes == 0)
        options->message_max_bytes = MIB + 12;
    if (options->transactions_bytes == 0)
        options->transactions_bytes = UINT64_C(256) * MIB;
    if (options->transaction_bytes == 0)
        options->transaction_bytes = 32 * MIB;
    if (options->transaction_timeout_max_ms == 0)
        options->transaction_timeout_max_ms = 15 * 60 * 1000;
    if (options->producers_max == 0)
        options->producers_max = 100000;
}

cairn_err
broker_open(cairn_store *store, const struct broker_options *options, struct broker **ret, cairn_error *error)
{
    struct broker *broker = calloc(1, sizeof *broker);
    if (!broker)
        return error_set(error, CAIRN_E_NOMEM, "no memory for topics");
    broker->store = store;
    if (options)
        broker->options = *options;
    broker->scope = broker->options.scope;
    fill_options(&broker->options);
    snprintf(broker->message_max_text, sizeof broker->message_max_text, "%u", broker->options.message_max_bytes);
    pthread_rwlock_init(&broker->views.lock, NULL);
    pthread_mutex_init(&broker->tick_lock, NULL);
    cairn_err err = producers_open(broker);
    if (err == CAIRN_OK)
        err = transactions_open(broker);
    if (err != CAIRN_OK) {
        broker_close(broker);
        return error_set(error, err, "no memory for topics");
    }
    *ret = broker;
    return CAIRN_OK;
}

void
broker_close(struct broker *broker)
{
    if (!broker)
        return;
    for (uint32_t flights; (flights = atomic_load(&broker->flights)) > 0;)
        os_wait(&broker->flights, flights, UINT64_MAX);
    retention_close(broker);
    transactions_close(broker);
    producers_close(broker);
    views_free(&broker->views);
    pthread_mutex_destroy(&broker->tick_lock);
    free(broker);
}

cairn_store *
broker_store(struct broker *broker)
{
    return broker->store;
}

bool
broker_auto_creates(const struct broker *broker)
{
    return !broker->options.no_auto_create;
}

cairn_scope
broker_scope(const struct broker *broker)
{
    return broker->scope;
}

void
broker_tick(struct broker *broker, int64_t now_us)
{
    if (pthread_mutex_trylock(&broker->tick_lock) != 0)
        return; /* the one before is still at it */
    transactions_tick(broker, now_us);
    retention_tick(broker, now_us);
    pthread_mutex_unlock(&broker->tick_lock);
}

void
broker_stats(struct broker *broker, struct broker_stats *ret)
{
    *ret = (struct broker_stats){
        .records_in = atomic_load(&broker->records_in),
        .bytes_in = atomic_load(&broker->bytes_in),
        .batches_in = atomic_load(&broker->batches_in),
        .duplicates = atomic_load(&broker->duplicates),
        .out_of_order = atomic_load(&broker->out_of_order),
    };
    transactions_stats(broker, ret);
}
