/* Queries over series: which position matches next?
 *
 * A query is an OR of items; an item is an AND of tags and of an OR of types; a category is ANDed to every item. Each
 * term is a sorted list of positions read from the index in small pieces, so the next match is found by
 * leapfrogging: each term in turn is moved to the furthest position any of them has reached, until all agree.
 * Nothing but the index is read. A plan belongs to one thread. */
#include "log_int.h"

#define TERM_BUFFER 64

struct term {
    struct hash128 key;
    struct series_head entries[TERM_BUFFER];
    size_t count, next;
    uint64_t from;   /* the buffer holds all entries from here (in reading direction) … */
    uint64_t end;    /* … that are below this */
    bool loaded;
};

/* An item: terms [first, first + any) are ORed, [first + any, first + any + all) are ANDed with that. */
struct item {
    size_t first, any, all;
};

struct query_plan {
    struct log *log;
    struct item *items;
    size_t item_count;
    struct term *terms;
    size_t term_count;
};

#define NO_POSITION UINT64_MAX

static size_t
terms_needed(cairn_str category, const cairn_query *query)
{
    size_t per_item = category.size > 0 ? 1 : 0, n = 0;
    for (size_t i = 0; i < query->item_count; i++)
        n += query->items[i].type_count + query->items[i].tag_count + per_item;
    return query->item_count == 0 ? per_item : n;
}

static void
add_term(struct query_plan *plan, enum key_kind kind, cairn_scope scope, cairn_str name)
{
    plan->terms[plan->term_count++].key = log_key(plan->log, kind, scope, name);
}

cairn_err
query_check(const cairn_query *query, cairn_error *error)
{
    if (terms_needed(CAIRN_STR("x"), query) > LOG_TERMS_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the query names too many types and tags; the limit is %d",
                         LOG_TERMS_MAX);
    for (size_t i = 0; i < query->item_count; i++) {
        const cairn_query_item *item = &query->items[i];
        for (size_t j = 0; j < item->type_count + item->tag_count; j++) {
            bool type = j < item->type_count;
            cairn_str name = type ? item->types[j] : item->tags[j - item->type_count];
            if (name.size == 0 || name.size > LOG_NAME_MAX)
                return error_set(error, name.size ? CAIRN_E_LIMIT : CAIRN_E_INVALID,
                                 "query[%zu].%s: a name has %zu bytes; 1 to %d are allowed", i,
                                 type ? "types" : "tags", name.size, LOG_NAME_MAX);
        }
        if (item->type_count + item->tag_count == 0)
            return error_set(error, CAIRN_E_INVALID, "query[%zu] has neither types nor tags", i);
    }
    return CAIRN_OK;
}

cairn_err
query_plan_new(struct log *log, cairn_scope scope, cairn_str category, const cairn_query *query,
               struct query_plan **ret, cairn_error *error)
{
    cairn_err err = query_check(query, error);
    if (err != CAIRN_OK)
        return err;
    size_t items = query->item_count > 0 ? query->item_count : 1;
    size_t terms = terms_needed(category, query);
    assert(terms > 0);
    struct query_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL || (plan->items = calloc(items, sizeof *plan->items)) == NULL
        || (plan->terms = calloc(terms, sizeof *plan->terms)) == NULL) {
        query_plan_free(plan);
        return error_set(error, CAIRN_E_NOMEM, "no memory for a query");
    }
    plan->log = log;
    plan->item_count = items;
    for (size_t i = 0; i < items; i++) {
        struct item *item = &plan->items[i];
        item->first = plan->term_count;
        if (i < query->item_count) {
            const cairn_query_item *from = &query->items[i];
            for (size_t j = 0; j < from->type_count; j++)
                add_term(plan, KEY_TYPE, scope, from->types[j]);
            item->any = from->type_count;
            for (size_t j = 0; j < from->tag_count; j++)
                add_term(plan, KEY_TAG, scope, from->tags[j]);
        }
        if (category.size > 0)
            add_term(plan, KEY_CATEGORY, scope, category);
        item->all = plan->term_count - item->first - item->any;
    }
    *ret = plan;
    return CAIRN_OK;
}

void
query_plan_free(struct query_plan *plan)
{
    if (plan == NULL)
        return;
    free(plan->items);
    free(plan->terms);
    free(plan);
}

/* The term's first position at or beyond `from` in reading direction; NO_POSITION when there is none. */
static cairn_err
term_seek(struct query_plan *plan, struct term *term, uint64_t from, uint64_t end, bool backward,
          uint64_t *ret, cairn_error *error)
{
    bool behind = backward ? from > term->from : from < term->from;
    if (!term->loaded || term->end != end || behind) {
        term->loaded = false;
        term->count = term->next = 0;
    }
    for (;;) {
        for (; term->next < term->count; term->next++) {
            uint64_t position = term->entries[term->next].position;
            if (backward ? position <= from : position >= from) {
                *ret = position;
                return CAIRN_OK;
            }
        }
        if (term->loaded && term->count < TERM_BUFFER) {
            *ret = NO_POSITION; /* the last piece was short: the series ends */
            return CAIRN_OK;
        }
        struct series_read read = {.key = term->key, .by = SERIES_BY_POSITION, .from = from,
                                   .backward = backward, .end = end};
        term->from = from;
        term->end = end;
        term->next = 0;
        term->loaded = true;
        cairn_err err = cairn_series_read(plan->log->series, &read, term->entries, TERM_BUFFER,
                                          &term->count, error);
        if (err != CAIRN_OK) {
            term->loaded = false;
            return err;
        }
    }
}

static uint64_t
nearer(uint64_t a, uint64_t b, bool backward)
{
    if (a == NO_POSITION || b == NO_POSITION)
        return a == NO_POSITION ? b : a;
    return (a < b) != backward ? a : b;
}

static cairn_err
item_seek(struct query_plan *plan, const struct item *item, uint64_t from, uint64_t end,
          bool backward, uint64_t *ret, cairn_error *error)
{
    struct term *any = plan->terms + item->first, *all = any + item->any;
    uint64_t target = from;
    for (;;) {
        uint64_t reached = target;
        cairn_err err;
        for (size_t i = 0; i < item->all; i++) {
            err = term_seek(plan, &all[i], reached, end, backward, &reached, error);
            if (err != CAIRN_OK || reached == NO_POSITION) {
                *ret = NO_POSITION;
                return err;
            }
        }
        if (item->any > 0) {
            uint64_t nearest = NO_POSITION;
            for (size_t i = 0; i < item->any; i++) {
                uint64_t at;
                err = term_seek(plan, &any[i], reached, end, backward, &at, error);
                if (err != CAIRN_OK)
                    return err;
                nearest = nearer(nearest, at, backward);
            }
            reached = nearest;
        }
        /* All agree when nobody moved on from where the round began, or when there is but one term. */
        if (reached == NO_POSITION || reached == target || item->all + (item->any > 0) == 1) {
            *ret = reached;
            return CAIRN_OK;
        }
        target = reached;
    }
}

cairn_err
query_seek(struct query_plan *plan, uint64_t from, uint64_t end, bool backward,
           uint64_t *ret_position, cairn_error *error)
{
    uint64_t nearest = NO_POSITION;
    for (size_t i = 0; i < plan->item_count; i++) {
        uint64_t at;
        cairn_err err = item_seek(plan, &plan->items[i], from, end, backward, &at, error);
        if (err != CAIRN_OK)
            return err;
        nearest = nearer(nearest, at, backward);
    }
    if (nearest == NO_POSITION)
        return CAIRN_E_END;
    *ret_position = nearest;
    return CAIRN_OK;
}

/* ---- conditions, in the writer ------------------------------------------------------------- */

/* Can the series hold a position at or after `low`? By heads in memory alone. */
static enum head_says
ask_head(struct log *log, struct hash128 key, uint64_t low, struct hash128 *ret_unknown)
{
    struct series_head head;
    switch (cairn_series_known(log->series, key, &head)) {
    case SERIES_ABSENT:
        return HEAD_NONE;
    case SERIES_PRESENT:
        return head.position < low ? HEAD_NONE : HEAD_MAYBE;
    default:
        /* Not in the tables, so its last entry, if any, is in the runs: before flushed_end. */
        if (cairn_series_flushed_end(log->series) <= low)
            return HEAD_NONE;
        *ret_unknown = key;
        return HEAD_UNKNOWN;
    }
}

cairn_err
query_warm_heads(struct log *log, cairn_scope scope, const cairn_query *query, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; i < query->item_count; i++) {
        const cairn_query_item *item = &query->items[i];
        for (size_t j = 0; err == CAIRN_OK && j < item->tag_count; j++)
            err = cairn_series_warm(log->series, log_key(log, KEY_TAG, scope, item->tags[j]), error);
        for (size_t j = 0; err == CAIRN_OK && j < item->type_count; j++)
            err = cairn_series_warm(log->series, log_key(log, KEY_TYPE, scope, item->types[j]), error);
    }
    return err;
}

/* An item cannot match when one of its tags has nothing new, or none of its types has. */
static enum head_says
ask_item(struct log *log, cairn_scope scope, const cairn_query_item *item, uint64_t low,
         struct hash128 *ret_unknown)
{
    enum head_says tags = HEAD_MAYBE;
    for (size_t i = 0; i < item->tag_count; i++) {
        enum head_says says = ask_head(log, log_key(log, KEY_TAG, scope, item->tags[i]), low,
                                       ret_unknown);
        if (says == HEAD_NONE)
            return HEAD_NONE;
        if (says == HEAD_UNKNOWN)
            tags = HEAD_UNKNOWN;
    }
    enum head_says types = item->type_count > 0 ? HEAD_NONE : HEAD_MAYBE;
    for (size_t i = 0; i < item->type_count && types == HEAD_NONE; i++)
        types = ask_head(log, log_key(log, KEY_TYPE, scope, item->types[i]), low, ret_unknown);
    if (types == HEAD_NONE)
        return HEAD_NONE;
    return tags == HEAD_UNKNOWN || types == HEAD_UNKNOWN ? HEAD_UNKNOWN : HEAD_MAYBE;
}

enum head_says
query_ask_heads(struct log *log, cairn_scope scope, const cairn_query *query, uint64_t low,
                struct hash128 *ret_unknown)
{
    if (low >= log->next_position)
        return HEAD_NONE;
    if (query->item_count == 0)
        return log->last_plain_end <= low ? HEAD_NONE : HEAD_MAYBE;
    enum head_says answer = HEAD_NONE;
    for (size_t i = 0; i < query->item_count; i++) {
        enum head_says says = ask_item(log, scope, &query->items[i], low, ret_unknown);
        if (says == HEAD_UNKNOWN)
            return HEAD_UNKNOWN;
        if (says == HEAD_MAYBE)
            answer = HEAD_MAYBE;
    }
    return answer;
}
