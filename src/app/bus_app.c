/* A deployed version on the bus: which deciders, their instances, and when nobody needs it any more.
 *
 *   held by its owner ──bus_app_release()──► each worker forgets its states of it ──► no command uses it ──► gone()
 *
 * A worker's instances are its own; other threads (states for people, replays) borrow from a list. */
#include "bus_int.h"

#include <stdio.h>

void
bus_app_hold(struct bus_app *app)
{
    atomic_fetch_add_explicit(&app->references, 1, memory_order_relaxed);
}

static unsigned
places(const struct bus *bus)
{
    return bus->worker_count + BUS_WEBHOOK_WORKERS;
}

static void
close_self(const struct bus_app *app, size_t decider, void *self)
{
    if (app->deciders[decider]->close != NULL)
        app->deciders[decider]->close(self);
}

static void
app_free(struct bus_app *app)
{
    for (struct spare *spare = app->spares, *next; spare != NULL; spare = next) {
        next = spare->next;
        close_self(app, spare->decider, spare->self);
        free(spare);
    }
    free(app->meters);
    free(app->forms);
    free(app->at_worker);
    free(app->retire);
    pthread_mutex_destroy(&app->spare_lock);
    free(app);
}

void
bus_app_drop(struct bus_app *app)
{
    if (atomic_fetch_sub_explicit(&app->references, 1, memory_order_acq_rel) != 1)
        return;
    void (*gone)(void *context) = app->gone;
    void *context = app->context;
    app_free(app); /* closes instances, which are the owner's deciders' */
    if (gone != NULL)
        gone(context);
}

/* "application/json; state=<hash>": another evolve, or earlier events read otherwise, another content type, and the
 * snapshot is not taken for ours. */
static void
make_form(const struct bus_app *app, size_t decider, char to[80])
{
    uint64_t upcasts = 0;
    for (size_t i = 0; i < app->manifest->event_count; i++) {
        const struct app_event *event = &app->manifest->events[i];
        if (event->upcasts != NULL)
            upcasts = hash64(event->type.data, event->type.size, upcasts ^ event->upcast_digest);
    }
    const cairn_str pieces[] = {app->manifest->name, CAIRN_STR("/"), app->manifest->deciders[decider].name, CAIRN_STR("/"),
                                app->deciders[decider]->fingerprint, {(const char *)&upcasts, sizeof upcasts}};
    uint8_t hash[32];
    char hex[33];
    sha256_pieces(pieces, upcasts != 0 ? 6 : 5, hash);
    format_hex(hash, 16, hex);
    snprintf(to, 80, "application/json; state=%s", hex);
}

static cairn_err
make_tables(struct bus *bus, struct bus_app *app, cairn_error *error)
{
    const struct app_manifest *manifest = app->manifest;
    app->meters = calloc(manifest->command_count + 1, sizeof *app->meters);
    app->forms = calloc(manifest->decider_count + 1, sizeof *app->forms);
    app->at_worker = calloc(places(bus), sizeof *app->at_worker);
    app->retire = calloc(places(bus), sizeof *app->retire);
    if (app->meters == NULL || app->forms == NULL || app->at_worker == NULL || app->retire == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the app");
    for (size_t i = 0; i < manifest->decider_count; i++)
        make_form(app, i, app->forms[i]);
    for (size_t i = 0; i < manifest->command_count; i++) {
        app->meters[i] = meter_of(bus, manifest->name, manifest->commands[i].name);
        if (app->meters[i] == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for the app");
    }
    return CAIRN_OK;
}

static cairn_err
start_webhooks(struct bus *bus, const struct app_manifest *manifest, cairn_error *error)
{
    bool wanted = false;
    for (size_t i = 0; i < manifest->decider_count; i++)
        wanted |= manifest->deciders[i].kind == APP_DECIDER_WEBHOOK;
    cairn_err err = CAIRN_OK;
    pthread_mutex_lock(&bus->lock);
    for (unsigned i = 0; wanted && !bus->webhooks && err == CAIRN_OK && i < BUS_WEBHOOK_WORKERS; i++)
        if (!bus->workers[bus->worker_count + i].started)
            err = worker_start(&bus->workers[bus->worker_count + i], bus, bus->worker_count + i, error);
    bus->webhooks |= wanted && err == CAIRN_OK;
    pthread_mutex_unlock(&bus->lock);
    return err;
}

cairn_err
bus_app_new(struct bus *bus, const struct bus_app_options *options, struct bus_app **ret, cairn_error *error)
{
    for (size_t i = 0; i < options->manifest->decider_count; i++)
        if (options->deciders[i] == NULL || options->deciders[i]->abi != CAIRN_DECIDER_ABI)
            return error_set(error, CAIRN_E_VERSION, "the decider %.*s was made for another version of Cairn",
                             (int)options->manifest->deciders[i].name.size, options->manifest->deciders[i].name.data);
    struct bus_app *app = calloc(1, sizeof *app);
    if (app == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the app");
    app->bus = bus;
    app->manifest = options->manifest;
    app->deciders = options->deciders;
    app->schema_ids = options->schema_ids;
    app->upcast = options->upcast;
    app->upcast_context = options->upcast_context;
    app->gone = options->gone;
    app->context = options->context;
    atomic_store(&app->references, 1);
    pthread_mutex_init(&app->spare_lock, NULL);
    cairn_err err = make_tables(bus, app, error);
    if (err == CAIRN_OK)
        err = start_webhooks(bus, options->manifest, error);
    if (err != CAIRN_OK) {
        app_free(app);
        return err;
    }
    *ret = app;
    return CAIRN_OK;
}

/* Every worker is told; each holds it until it has been. */
void
bus_app_release(struct bus_app *app)
{
    if (app == NULL)
        return;
    struct bus *bus = app->bus;
    pthread_mutex_lock(&bus->lock);
    unsigned count = bus->webhooks ? places(bus) : bus->worker_count;
    pthread_mutex_unlock(&bus->lock);
    for (unsigned i = 0; i < count; i++) {
        bus_app_hold(app);
        app->retire[i] = (struct op){.app = app, .worker = &bus->workers[i], .retire = true};
        worker_submit(&bus->workers[i], &app->retire[i]);
    }
    bus_app_drop(app);
}

/* ---- instances ------------------------------------------------------------------------------------- */

static cairn_err
open_self(const struct bus_app *app, size_t decider, void **ret, cairn_error *error)
{
    const cairn_decider *with = app->deciders[decider];
    if (with->open != NULL)
        return with->open(with->module, ret, error);
    *ret = with->module;
    return CAIRN_OK;
}

cairn_err
bus_app_self(struct bus_app *app, struct worker *worker, size_t decider, void **ret, cairn_error *error)
{
    struct worker_app *at = &app->at_worker[worker->index];
    if (at->selves == NULL) {
        size_t count = app->manifest->decider_count;
        at->selves = calloc(count, sizeof *at->selves + sizeof *at->open);
        if (at->selves == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for a decider");
        at->open = (bool *)(at->selves + count);
    }
    if (!at->open[decider]) {
        cairn_err err = open_self(app, decider, &at->selves[decider], error);
        if (err != CAIRN_OK)
            return err;
        at->open[decider] = true;
    }
    if (!at->holds) {
        bus_app_hold(app);
        at->holds = true;
    }
    *ret = at->selves[decider];
    return CAIRN_OK;
}

void
bus_app_leave(struct bus_app *app, struct worker *worker)
{
    struct worker_app *at = &app->at_worker[worker->index];
    assert(at->entries == 0);
    for (size_t i = 0; at->selves != NULL && i < app->manifest->decider_count; i++)
        if (at->open[i])
            close_self(app, i, at->selves[i]);
    free(at->selves);
    at->selves = NULL;
    if (at->holds) {
        at->holds = false;
        bus_app_drop(app);
    }
}

cairn_err
bus_app_borrow(struct bus_app *app, size_t decider, struct spare **ret, cairn_error *error)
{
    struct spare *spare = NULL;
    pthread_mutex_lock(&app->spare_lock);
    for (struct spare **at = &app->spares; *at != NULL && spare == NULL; at = &(*at)->next) {
        if ((*at)->decider == decider) {
            spare = *at;
            *at = spare->next;
            break;
        }
    }
    pthread_mutex_unlock(&app->spare_lock);
    if (spare == NULL) {
        spare = calloc(1, sizeof *spare);
        if (spare == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for a decider");
        spare->decider = decider;
        cairn_err err = open_self(app, decider, &spare->self, error);
        if (err != CAIRN_OK) {
            free(spare);
            return err;
        }
    }
    *ret = spare;
    return CAIRN_OK;
}

void
bus_app_give_back(struct bus_app *app, struct spare *spare)
{
    pthread_mutex_lock(&app->spare_lock);
    spare->next = app->spares;
    app->spares = spare;
    pthread_mutex_unlock(&app->spare_lock);
}

const struct app_event *
bus_app_event(const struct bus_app *app, cairn_str type)
{
    for (size_t i = 0; i < app->manifest->event_count; i++)
        if (cairn_str_equal(app->manifest->events[i].type, type))
            return &app->manifest->events[i];
    return NULL;
}
