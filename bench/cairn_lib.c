/* cairn_lib.c: Cairn in this process, through include/cairn/ alone.
 *
 * Two ways to have n appends outstanding: n threads that block in cairn_append_all(), and one thread that
 * keeps n cairn_append_async() going. The completions of the second come on the commit thread; they only
 * push their slot onto a list that the driving thread empties, which is what an event loop would do. */
#include "cairn_lib.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_MAX 100

void
lib_stream_name(char to[32], uint64_t number)
{
    memcpy(to, "order-", 6);
    text_number(to + 6, number);
}

void
lib_tag_name(char to[32], uint64_t number)
{
    memcpy(to, "customer:", 9);
    text_number(to + 9, number);
}

bool
lib_open(const char *folder, cairn_store **ret)
{
    cairn_error error;
    cairn_options options = {.create = true};
    if (cairn_open(folder, &options, ret, &error) == CAIRN_OK)
        return true;
    failure("Cairn: opening %s: %s", folder, error.detail);
    return false;
}

/* ---- one append, as a request ------------------------------------------------------------ */

/* Everything that one client's next append points to. */
struct slot {
    struct slot *next; /* in the list of completed ones */
    struct driver *driver;
    const struct lib_load *load;
    unsigned client;
    uint64_t random, sent_ns;
    int64_t seen; /* the last position this client knows */
    cairn_err err;
    cairn_error error;
    char stream[32], tag[32];
    cairn_str tag_text;
    cairn_event events[EVENTS_MAX];
    cairn_write write;
    cairn_query_item item;
    cairn_condition condition;
    cairn_append_request request;
};

static uint64_t
next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return *state = x;
}

static void
slot_init(struct slot *slot, const struct lib_load *load, unsigned client)
{
    *slot = (struct slot){.load = load, .client = client, .random = (now_ns() << 8 | client) | 1};
    slot->seen = load->store != NULL ? (int64_t)cairn_end(load->store) - 1 : -1;
    memcpy(slot->stream, "c", 2);
    text_number(slot->stream + 1, client);
    strcat(slot->stream, "-1");
    memcpy(slot->tag, "account:", 9);
    text_number(slot->tag + 8, client);
    bool tagged = load->own_tag || load->tags > 0;
    for (unsigned i = 0; i < load->shape.events; i++)
        slot->events[i] = (cairn_event){.type = CAIRN_STR("OrderPlaced"),
                                        .data = {event_data(), DATA_SIZE},
                                        .tags = &slot->tag_text,
                                        .tag_count = tagged};
    slot->item = (cairn_query_item){.tags = &slot->tag_text, .tag_count = 1};
    slot->condition = (cairn_condition){.query = {&slot->item, 1}};
    slot->write = (cairn_write){
        .expected = CAIRN_ANY, .events = slot->events, .event_count = load->shape.events};
    slot->request = (cairn_append_request){.writes = &slot->write,
                                           .write_count = 1,
                                           .conditions = &slot->condition,
                                           .condition_count = load->condition};
}

static void
slot_prepare(struct slot *slot)
{
    const struct lib_load *load = slot->load;
    if (load->streams > 0)
        lib_stream_name(slot->stream, next_random(&slot->random) % load->streams);
    if (load->tags > 0) {
        lib_tag_name(slot->tag, next_random(&slot->random) % load->tags);
        slot->seen = load->store != NULL ? (int64_t)cairn_end(load->store) - 1 : -1;
    }
    slot->write.stream = cairn_cstr(slot->stream);
    slot->tag_text = cairn_cstr(slot->tag);
    slot->condition.after = slot->seen;
}

/* With random tags two clients may meet, and one of them is rightly refused. */
static bool
is_expected(const struct slot *slot, cairn_err err)
{
    return err == CAIRN_OK
           || (err == CAIRN_E_CONDITION && slot->load->tags > 0 && slot->load->condition);
}

/* ---- threads ----------------------------------------------------------------------------- */

static bool
append_blocking(void *context, unsigned client, const struct shape *shape)
{
    (void)shape;
    struct slot *slot = &((struct slot *)context)[client];
    cairn_at at;
    slot_prepare(slot);
    cairn_err err = cairn_append_all(slot->load->store, &slot->request, &at, &slot->error);
    if (err == CAIRN_OK)
        slot->seen = (int64_t)at.last_position;
    slot->err = err;
    return is_expected(slot, err);
}

/* What one append came to in the log, batches' overhead included. */
static double
log_bytes_per_append(const cairn_stats *before, const cairn_stats *after)
{
    uint64_t appends = after->appends_total - before->appends_total;
    return appends > 0
               ? (double)(after->batch_bytes_total - before->batch_bytes_total) / (double)appends
               : 0;
}

bool
lib_run_threads(const struct lib_load *load, struct sample *ret)
{
    unsigned clients = load->shape.clients;
    struct slot *slots = calloc(clients, sizeof *slots);
    if (slots == NULL)
        return false;
    for (unsigned i = 0; i < clients; i++)
        slot_init(&slots[i], load, i);
    cairn_stats before, after;
    cairn_stats_get(load->store, &before);
    bool ok = threads_run(append_blocking, slots, &load->shape, ret);
    cairn_stats_get(load->store, &after);
    ret->log_bytes = log_bytes_per_append(&before, &after);
    for (unsigned i = 0; !ok && i < clients; i++)
        if (!is_expected(&slots[i], slots[i].err))
            failure("Cairn: append: %s", slots[i].error.detail);
    free(slots);
    return ok;
}

/* ---- asynchronous ------------------------------------------------------------------------ */

struct driver {
    _Atomic(struct slot *) done; /* pushed by the commit thread, emptied by the driver */
    int wake;                    /* eventfd, written when `done` becomes non-empty */
    struct null_store *null;
    struct histogram *histogram;
    unsigned outstanding;
    bool failed;
};

static void
completed(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    struct slot *slot = context;
    struct driver *driver = slot->driver;
    int wake = driver->wake; /* once the slot is on the list, the driver may be gone */
    slot->err = err;
    if (err == CAIRN_OK)
        slot->seen = (int64_t)at->last_position;
    else
        slot->error = *error;
    struct slot *head = atomic_load_explicit(&driver->done, memory_order_relaxed);
    do
        slot->next = head;
    while (!atomic_compare_exchange_weak_explicit(&driver->done, &head, slot, memory_order_release,
                                                  memory_order_relaxed));
    uint64_t one = 1;
    if (head == NULL && write(wake, &one, sizeof one) < 0)
        abort(); /* an eventfd that counts to 2^64 does not refuse */
}

/* A store that keeps nothing: a thread answers whatever has been handed over, in batches. */
struct null_store {
    pthread_t thread;
    _Atomic(struct slot *) handed;
    int wake;
    _Atomic bool stop;
};

static void *
null_commit(void *context)
{
    struct null_store *null = context;
    const cairn_at at = {0};
    uint64_t count;
    while (!atomic_load(&null->stop)) {
        struct slot *slot = atomic_exchange(&null->handed, NULL);
        if (slot == NULL && read(null->wake, &count, sizeof count) < 0)
            break;
        while (slot != NULL) {
            struct slot *next = slot->next;
            completed(slot, CAIRN_OK, &at, NULL);
            slot = next;
        }
    }
    return NULL;
}

static void
null_hand_over(struct null_store *null, struct slot *slot)
{
    struct slot *head = atomic_load(&null->handed);
    do
        slot->next = head;
    while (!atomic_compare_exchange_weak(&null->handed, &head, slot));
    uint64_t one = 1;
    if (head == NULL && write(null->wake, &one, sizeof one) < 0)
        abort();
}

static bool
submit(struct driver *driver, struct slot *slot)
{
    slot_prepare(slot);
    slot->sent_ns = now_ns();
    if (driver->null != NULL) {
        null_hand_over(driver->null, slot);
    } else {
        cairn_err err
            = cairn_append_async(slot->load->store, &slot->request, completed, slot, &slot->error);
        if (err != CAIRN_OK) {
            failure("Cairn: asynchronous append: %s", slot->error.detail);
            return false;
        }
    }
    driver->outstanding++;
    return true;
}

static struct slot *
take_completed(struct driver *driver)
{
    for (;;) {
        struct slot *slot = atomic_exchange_explicit(&driver->done, NULL, memory_order_acquire);
        uint64_t count;
        if (slot != NULL)
            return slot;
        if (read(driver->wake, &count, sizeof count) < 0 && errno != EINTR)
            return NULL;
    }
}

/* Account for one completion; false when it should not have failed. */
static bool
account(struct driver *driver, struct slot *slot, uint64_t now)
{
    driver->outstanding--;
    if (!is_expected(slot, slot->err)) {
        failure("Cairn: asynchronous append: %s", slot->error.detail);
        return false;
    }
    histogram_add(driver->histogram, now - slot->sent_ns);
    return true;
}

static bool
drive(struct driver *driver, struct slot *slots, const struct shape *shape, struct sample *ret)
{
    bool ok = true;
    double cpu = cpu_self_s();
    uint64_t begin = now_ns(), until = begin + (uint64_t)(shape->seconds * 1e9), now = begin;
    for (unsigned i = 0; ok && i < shape->clients; i++)
        ok = submit(driver, &slots[i]);
    while (ok && now < until) {
        struct slot *slot = take_completed(driver);
        now = now_ns();
        while (slot != NULL) {
            struct slot *next = slot->next; /* submit() links it elsewhere */
            ok = account(driver, slot, now) && ok;
            ok = ok && submit(driver, slot);
            slot = next;
        }
    }
    *ret = (struct sample){.appends = driver->histogram->total,
                           .seconds = (double)(now - begin) / 1e9};
    ret->client_cores = (cpu_self_s() - cpu) / ret->seconds;
    ret->p50_us = histogram_us(driver->histogram, 0.5);
    ret->p99_us = histogram_us(driver->histogram, 0.99);
    while (driver->outstanding > 0) /* their slots are ours to free only then */
        for (struct slot *slot = take_completed(driver); slot != NULL; slot = slot->next)
            driver->outstanding--;
    return ok && ret->appends > 0;
}

static bool
run_async(const struct lib_load *load, struct null_store *null, struct sample *ret)
{
    unsigned clients = load->shape.clients;
    static int wake
        = -1; /* never closed: the last completion may write to it after its driver has returned */
    if (wake < 0)
        wake = eventfd(0, EFD_CLOEXEC);
    struct driver driver = {.null = null, .wake = wake};
    struct slot *slots = calloc(clients, sizeof *slots);
    driver.histogram = calloc(1, sizeof *driver.histogram);
    bool ok = slots != NULL && driver.histogram != NULL && driver.wake >= 0;
    for (unsigned i = 0; ok && i < clients; i++) {
        slot_init(&slots[i], load, i);
        slots[i].driver = &driver;
    }
    ok = ok && drive(&driver, slots, &load->shape, ret);
    free(slots);
    free(driver.histogram);
    return ok;
}

bool
lib_run_async(const struct lib_load *load, struct sample *ret)
{
    cairn_stats before, after;
    cairn_stats_get(load->store, &before);
    bool ok = run_async(load, NULL, ret);
    cairn_stats_get(load->store, &after);
    ret->log_bytes = log_bytes_per_append(&before, &after);
    return ok;
}

bool
lib_run_null(const struct shape *shape, struct sample *ret)
{
    struct null_store null = {.wake = eventfd(0, EFD_CLOEXEC)};
    struct lib_load load = {.shape = *shape};
    uint64_t one = 1;
    if (null.wake < 0 || pthread_create(&null.thread, NULL, null_commit, &null) != 0)
        return false;
    bool ok = run_async(&load, &null, ret);
    atomic_store(&null.stop, true);
    ok = write(null.wake, &one, sizeof one) == sizeof one && ok;
    pthread_join(null.thread, NULL);
    close(null.wake);
    return ok;
}

/* ---- contenders -------------------------------------------------------------------------- */

static cairn_store *shared; /* both contenders append to one store */
static unsigned users;

static bool
cairn_lib_open(struct contender *self, const struct settings *settings)
{
    (void)self;
    char folder[512];
    snprintf(folder, sizeof folder, "%s/cairn-lib", settings->dir);
    if (shared == NULL && !lib_open(folder, &shared))
        return false;
    users++;
    return true;
}

static bool
cairn_lib_run(struct contender *self, const struct shape *shape, struct sample *ret)
{
    struct lib_load load = {.store = shared, .shape = *shape};
    return self == &CAIRN_THREADS ? lib_run_threads(&load, ret) : lib_run_async(&load, ret);
}

static void
cairn_lib_close(struct contender *self)
{
    (void)self;
    if (--users == 0) {
        cairn_close(shared);
        shared = NULL;
    }
}

struct contender CAIRN_THREADS = {.key = "cairn_threads",
                                  .label = "Cairn, in-process, blocking threads",
                                  .open = cairn_lib_open,
                                  .run = cairn_lib_run,
                                  .close = cairn_lib_close};
struct contender CAIRN_ASYNC = {.key = "cairn_async",
                                .label = "Cairn, in-process, asynchronous",
                                .open = cairn_lib_open,
                                .run = cairn_lib_run,
                                .close = cairn_lib_close};
