/* app/bus.h: the command bus: validate, authorise, load, decide, append, answer.
 *
 *   any thread: validate ─► queue of the worker that owns the stream
 *   worker:     known key? ─► state (cache, or snapshot + later events) ─► decide ─► append without waiting ─► next command
 *   commit:     durable ─► answer
 *
 * Commands on one stream are decided by one worker, in order, each on the state that the one before left, without waiting
 * for the disk in between: an append that has its place in the order (ret_sequenced) will be there or the log has failed, and
 * then every state is dropped. Races with other writers show as conflicts: the state is brought up to date and the command
 * decided again, retries_max times.
 *
 * Idempotency. A command with a key appends, in the same append, its answer to the system stream
 * "$command-<app>/<key>" under "no events yet"; a rejection appends the answer alone. The same key again reads
 * it. Answers are kept for seven days.
 *
 * Events get meta: the command's id and name, correlation, causation, actor; schema id; tags by the manifest's templates. */
#ifndef APP_BUS_H
#define APP_BUS_H

#include <app/manifest.h>

struct bus;
struct bus_app; /* a deployed version, reference counted: commands under way keep theirs */

struct bus_options {
    cairn_store *store;
    const cairn_apps_options *apps; /* limits, middleware, authorise, log; borrowed */
};
CAIRN_MUST_CHECK cairn_err bus_create(const struct bus_options *options, struct bus **ret, cairn_error *error);
/* Refuse new commands, finish those under way, stop. Every app must have been released before. */
void bus_free(struct bus *bus);
void bus_committed(struct bus *bus, uint64_t end);

/* What a version brings: deciders ready to use (Lua made, native found, webhook wrapped), schema ids of its events, in the
 * manifest's order. All borrowed until bus_app_release() was called as often as held and no command uses it; then `gone` is
 * called once with its context. */
struct bus_app_options {
    const struct app_manifest *manifest;
    const cairn_decider *const *deciders; /* one for each manifest decider */
    const uint32_t *schema_ids, *schema_versions; /* one for each manifest event; 0: none */
    event_upcast upcast;
    void *upcast_context;
    void (*gone)(void *context);
    void *context;
};
CAIRN_MUST_CHECK cairn_err bus_app_new(struct bus *bus, const struct bus_app_options *options, struct bus_app **ret,
                                       cairn_error *error);
void bus_app_release(struct bus_app *app);

/* See cairn_command_async(). `app` is held by the bus until done was called. */
CAIRN_MUST_CHECK cairn_err bus_submit(struct bus *bus, struct bus_app *app, const cairn_command *command,
                                      cairn_command_done done, void *context, cairn_error *error);

/* State as JSON at a revision (-1: now); does not disturb the cache. Blocks. */
CAIRN_MUST_CHECK cairn_err bus_state(struct bus *bus, struct bus_app *app, size_t decider, cairn_str stream,
                                     int64_t revision, cairn_sink sink, void *context, cairn_error *error);
/* Rebuild one aggregate from nothing and keep its snapshot; decide again what is recorded when `decisions`, and count what
 * differs into the report; with CAIRN_OK too the error tells the first difference. Decisions over several streams are left
 * to bus_replay_queries(). Blocks; several threads may call. */
struct bus_replay_counts {
    uint64_t events, commands, differing, failed;
    uint64_t left_out; /* decisions that cannot be taken again: the command's data was too large to be recorded, the app has no
                        * such command any more, or it is about another stream now */
};
CAIRN_MUST_CHECK cairn_err bus_replay_stream(struct bus *bus, struct bus_app *app, cairn_str stream, bool snapshot,
                                             bool decisions, struct bus_replay_counts *counts, cairn_error *error);
/* Decide again what deciders with a query decided, in the log's order, each on what the query finds before its first event.
 * Does nothing where the app has no such decider. Blocks. */
struct bus_replay_watch {
    bool (*go_on)(void *context, uint64_t done, uint64_t total); /* now and then; false: CAIRN_E_CLOSED. NULL: go on */
    void (*found)(void *context, cairn_str stream, const cairn_error *what); /* of each that differs or fails; or NULL */
    void *context;
};
CAIRN_MUST_CHECK cairn_err bus_replay_queries(struct bus *bus, struct bus_app *app, const struct bus_replay_watch *watch,
                                              struct bus_replay_counts *counts, cairn_error *error);

/* {"commands_total":…, by name and outcome, queue, cache hits …}: also for /metrics. */
struct bus_numbers {
    uint64_t accepted, rejected, invalid, denied, failed, conflicts, retries, repeated, waiting;
    uint64_t cache_hits, cache_misses, cache_bytes, cache_entries, snapshots_taken, snapshots_used, snapshots_dropped;
};
void bus_numbers(struct bus *bus, struct bus_numbers *ret);
/* Latency of commands that are over, and counts, as Prometheus text with labels app and command. */
void bus_metrics(struct bus *bus, struct buf *to);

/* A decider behind a webhook: POST {command, state, …}; see docs/webhook-deciders.md. Owned by the caller. */
CAIRN_MUST_CHECK cairn_err webhook_decider_make(const struct app_decider *spec, const cairn_apps_options *options,
                                                cairn_decider **ret, cairn_error *error);
void webhook_decider_free(cairn_decider *decider);
#endif
