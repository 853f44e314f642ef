/* Events for a projection: by a scan of the log or by the index, whichever is less work for what comes by.
 *
 * A scan costs the same for every event of the log, the index for every event found. Measured (600,000 events of 60 types
 * spread evenly, 200 bytes each, in memory): 75 ns an event passed against 230 ns an event found, so that they meet at one in
 * three; at one in sixty the index takes a fifth of the time. Where events are larger it is ahead sooner, where the disk is
 * cold later. So the feed counts how many it wants and changes its way of reading at windows' ends: below one in five it goes
 * by the index, above one in three it scans. At the log's end both cost next to nothing. */
#include "runner_int.h"

#include <base/error.h>

#define WINDOW 65536        /* positions between decisions */
#define FILTER_BELOW 5      /* wanted less than one in so many: by the index */
#define SCAN_ABOVE 3
#define LOOK_EVERY 4096      /* events passed: may we go on, and in the same way? */

void
feed_close(struct feed *feed)
{
    ahead_end(feed);
    cairn_reader_free(feed->reader);
    feed->reader = NULL;
    arena_free(&feed->arena);
}

/* What the store can leave out by itself: one category, the types, the tags. */
static cairn_err
open_reader(struct feed *feed, uint64_t from, cairn_error *error)
{
    const struct runner *runner = feed->runner;
    const struct projection *projection = runner->projection;
    cairn_query_item item = {.tags = projection->tags.items, .tag_count = projection->tags.count};
    cairn_read_options options = {.scope = runner->options.scope, .from = (int64_t)from, .end = feed->end};
    bool any = projection_name_has(&projection->types, CAIRN_STR("*"));
    if (!any) {
        item.types = projection->types.items;
        item.type_count = projection->types.count;
    }
    bool one = projection->categories.count == 1;
    feed->filterable = !any || one || item.tag_count > 0;
    feed->filtered = feed->filtered && feed->filterable;
    if (feed->filtered) {
        if (one)
            options.category = projection->categories.items[0];
        if (item.type_count + item.tag_count > 0)
            options.query = (cairn_query){&item, 1};
    }
    cairn_reader_free(feed->reader);
    feed->reader = NULL;
    feed->from = from;
    feed->matched = 0;
    cairn_err err = cairn_read_all(runner->options.store, &options, &feed->reader, error);
    if (err == CAIRN_E_LIMIT && feed->filtered) { /* more names than the store takes in one query */
        feed->filtered = false;
        options.category = (cairn_str){0};
        options.query = (cairn_query){0};
        err = cairn_read_all(runner->options.store, &options, &feed->reader, error);
    }
    return err;
}

cairn_err
feed_seek(struct feed *feed, uint64_t position, cairn_error *error)
{
    return open_reader(feed, position, error);
}

uint64_t
feed_position(const struct feed *feed)
{
    return feed->reader != NULL ? (uint64_t)cairn_reader_from(feed->reader) : feed->from;
}

static cairn_err
maybe_change(struct feed *feed, cairn_error *error)
{
    uint64_t position = feed_position(feed), passed = position - feed->from;
    if (!feed->filterable || passed < WINDOW)
        return CAIRN_OK;
    bool filtered = feed->filtered ? feed->matched < passed / SCAN_ABOVE : feed->matched < passed / FILTER_BELOW;
    bool change = filtered != feed->filtered;
    feed->filtered = filtered;
    if (change)
        return open_reader(feed, position, error);
    feed->from = position;
    feed->matched = 0;
    return CAIRN_OK;
}

cairn_err
feed_read(struct feed *feed, cairn_recorded *ret, const struct plan **ret_plan, cairn_err *ret_upcast, cairn_error *error)
{
    const struct runner *runner = feed->runner;
    cairn_err err = maybe_change(feed, error);
    for (unsigned passed = 1; err == CAIRN_OK; passed++) {
        err = cairn_reader_next(feed->reader, ret, error);
        if (err != CAIRN_OK)
            break;
        if (!projection_wants(runner->projection, ret)
            || (*ret_plan = projection_plan(runner->projection, ret->event.type)) == NULL) {
            if (passed % LOOK_EVERY != 0) /* a long way without any that is wanted */
                continue;
            if (feed->stop != NULL && atomic_load_explicit(feed->stop, memory_order_relaxed))
                return error_set(error, CAIRN_E_CLOSED, "the projection is stopping");
            err = maybe_change(feed, error);
            continue;
        }
        feed->matched++;
        *ret_upcast = CAIRN_OK;
        if (runner->options.upcast != NULL) {
            if (feed->arena.used_bytes > 0)
                arena_reset(&feed->arena);
            *ret_upcast = runner->options.upcast(runner->options.upcast_context, ret, &feed->arena, error);
        }
        return CAIRN_OK;
    }
    return err;
}

cairn_err
feed_next(struct feed *feed, cairn_recorded *ret, cairn_err *ret_upcast, cairn_error *error)
{
    if (feed->ahead != NULL)
        return ahead_next(feed, ret, ret_upcast, error);
    feed->slots = NULL;
    return feed_read(feed, ret, &feed->plan, ret_upcast, error);
}
