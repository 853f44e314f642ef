/* Pages of events, from a stream or from all.
 *
 * A short plain page is read on the loop; one that is long, filtered or bounded by a time goes to
 * the pool, and so does the rest of one that turns out to be large. A page also ends after
 * API_PAGE_BYTES_MAX, so that nobody's limit= decides about memory. */
#include <proto/http/api_int.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <proto/http/api_render.h>

#include <stdio.h>

struct page {
    cairn_reader *reader;
    enum api_form form;
    bool of_stream, backward;
    size_t limit, count;
    uint64_t since;  /* lower bound of position; forward reading begins there anyhow */
    bool nothing;    /* the bounds leave nothing to read */
    bool end;        /* nothing more now */
    int64_t next;    /* `from` of the next page; -1: none */
};

/* ---- what to read ----------------------------------------------------------------------------------- */

/* as_of and until become one exclusive bound on position. *ret_end: 0 when there is none. */
static cairn_err
read_bounds(struct api_call *call, struct page *page, uint64_t *ret_end, cairn_error *error)
{
    const struct api_value *as_of = &call->args.value[ARG_AS_OF];
    const struct api_value *until = &call->args.value[ARG_UNTIL];
    const struct api_value *since = &call->args.value[ARG_SINCE];
    uint64_t end = UINT64_MAX, at;
    cairn_err err;

    if (as_of->given && !as_of->is_time)
        end = (uint64_t)as_of->number;
    if (as_of->given && as_of->is_time) {
        if ((err = cairn_position_at(call->api->store, as_of->number, &at, error)) != CAIRN_OK)
            return err;
        end = at;
    }
    if (until->given) {
        if ((err = cairn_position_at(call->api->store, until->number - 1, &at, error)) != CAIRN_OK)
            return err;
        end = at < end ? at : end;
    }
    if (since->given) {
        if ((err = cairn_position_at(call->api->store, since->number - 1, &at, error)) != CAIRN_OK)
            return err;
        page->since = at;
    }
    page->nothing = end == 0;
    *ret_end = end == UINT64_MAX ? 0 : end;
    return CAIRN_OK;
}

/* Types and tags of the call as a query; category apart. */
static cairn_query
query_of(const struct api_call *call, cairn_query_item *item)
{
    *item = (cairn_query_item){call->args.types.items, call->args.types.count, call->args.tags.items,
                               call->args.tags.count};
    bool any = item->type_count > 0 || item->tag_count > 0;
    return (cairn_query){any ? item : NULL, any ? 1 : 0};
}

static cairn_err
open_page(struct api_call *call, struct page *page, cairn_error *error)
{
    const struct api_value *from = &call->args.value[page->of_stream ? ARG_FROM_REVISION : ARG_FROM_POSITION];
    cairn_query_item item;
    cairn_read_options options = {
        .direction = page->backward ? CAIRN_BACKWARD : CAIRN_FORWARD,
        .from = from->given ? from->number : page->backward ? CAIRN_FROM_END : CAIRN_FROM_START,
        .system = call->args.value[ARG_SYSTEM].number,
        .category = call->args.value[ARG_CATEGORY].text,
        .query = query_of(call, &item),
    };
    cairn_err err = read_bounds(call, page, &options.end, error);
    if (err != CAIRN_OK)
        return err;
    if (!page->backward && (uint64_t)options.from < page->since)
        options.from = (int64_t)page->since;
    page->next = page->backward ? -1 : options.from == CAIRN_FROM_END ? 0 : options.from;
    if (page->nothing)
        return CAIRN_OK;
    return page->of_stream
               ? cairn_read_stream(call->api->store, call->parts[0], &options, &page->reader, error)
               : cairn_read_all(call->api->store, &options, &page->reader, error);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static void
put_page_event(struct buf *to, const struct page *page, const cairn_recorded *event)
{
    switch (page->form) {
    case FORM_NDJSON:
        render_event_line(to, event);
        buf_put_char(to, '\n');
        break;
    case FORM_CLOUDEVENTS:
        if (page->count > 0)
            buf_put_char(to, ',');
        render_cloudevent(to, event);
        break;
    default:
        if (page->count > 0)
            buf_put_char(to, ',');
        render_event(to, event);
    }
}

/* Read until the page is full, the end is reached, or about budget_bytes have been written: then
 * *ret_more is true and another call goes on. */
static cairn_err
fill_page(struct page *page, struct buf *to, size_t budget_bytes, bool *ret_more, cairn_error *error)
{
    size_t begun = to->size;
    cairn_recorded event;
    *ret_more = false;
    page->end = page->nothing;
    while (!page->end) {
        if (to->size - begun >= budget_bytes && page->count < page->limit && to->size < API_PAGE_BYTES_MAX) {
            *ret_more = true;
            return CAIRN_OK;
        }
        cairn_err err = cairn_reader_next(page->reader, &event, error);
        if (err == CAIRN_OK && page->backward && event.position < page->since)
            err = CAIRN_E_END;
        if (err == CAIRN_E_END) {
            page->end = true;
            page->next = page->backward ? -1 : cairn_reader_from(page->reader);
            return CAIRN_OK;
        }
        if (err != CAIRN_OK)
            return err;
        if (page->count == page->limit || to->size >= API_PAGE_BYTES_MAX) {
            /* One too many: where the next page begins. */
            page->next = (int64_t)(page->of_stream ? event.revision : event.position);
            return CAIRN_OK;
        }
        put_page_event(to, page, &event);
        page->count++;
        if (to->failed)
            return error_set(error, CAIRN_E_NOMEM, "out of memory for the page; ask for fewer events");
    }
    return CAIRN_OK;
}

static void
begin_page(struct buf *to, const struct page *page)
{
    if (page->form == FORM_JSON)
        buf_put_str(to, CAIRN_STR("{\"events\":["));
    else if (page->form == FORM_CLOUDEVENTS)
        buf_put_char(to, '[');
}

static cairn_str
number_text(struct api_call *call, int64_t n)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%lld", (long long)n);
    return arena_copy(call->arena, (cairn_str){text, (size_t)size});
}

/* What JSON says after its events, the other forms say in headers. */
static cairn_err
end_page(struct api_call *call, const struct page *page, cairn_error *error)
{
    cairn_stream_info info = {.exists = page->count > 0};
    if (page->of_stream && page->count == 0) {
        cairn_err err = cairn_stream_info_get(call->api->store, 0, call->parts[0], &info, error);
        if (err != CAIRN_OK)
            return err;
    }
    if (page->form == FORM_JSON) {
        buf_put_str(call->out, CAIRN_STR("],\"next\":"));
        if (page->next < 0)
            buf_put_str(call->out, CAIRN_STR("null"));
        else
            json_put_i64(call->out, page->next);
        buf_put_str(call->out, page->end ? CAIRN_STR(",\"end\":true") : CAIRN_STR(",\"end\":false"));
        if (page->of_stream)
            buf_put_str(call->out, info.exists ? CAIRN_STR(",\"exists\":true") : CAIRN_STR(",\"exists\":false"));
        if (info.tombstoned)
            buf_put_str(call->out, CAIRN_STR(",\"tombstoned\":true"));
        buf_put_char(call->out, '}');
        return CAIRN_OK;
    }
    call->reply_type = page->form == FORM_NDJSON ? "application/x-ndjson" : "application/cloudevents-batch+json";
    if (page->form == FORM_CLOUDEVENTS)
        buf_put_char(call->out, ']');
    if (page->next >= 0)
        api_reply_field(call, "cairn-next", number_text(call, page->next));
    api_reply_field(call, "cairn-end", page->end ? CAIRN_STR("true") : CAIRN_STR("false"));
    if (page->of_stream)
        api_reply_field(call, "cairn-exists", info.exists ? CAIRN_STR("true") : CAIRN_STR("false"));
    return CAIRN_OK;
}

/* ---- on the loop or on the pool ----------------------------------------------------------------------- */

/* The rest of a page, whole: a handler for the pool. */
static cairn_err
finish_page(struct api_call *call, cairn_error *error)
{
    struct page *page = call->state;
    bool more = false;
    cairn_err err = CAIRN_OK;
    if (!page->reader)
        err = open_page(call, page, error);
    if (err == CAIRN_OK)
        err = fill_page(page, call->out, SIZE_MAX, &more, error);
    if (err == CAIRN_OK)
        err = end_page(call, page, error);
    cairn_reader_free(page->reader);
    page->reader = NULL;
    api_observe(&call->api->read_time, api_now_us() - call->start_us);
    return err;
}

static cairn_err
hand_to_pool(struct api_call *call, const struct page *page, cairn_error *error)
{
    struct api_call *kept = api_keep(call);
    struct page *copy = kept ? arena_alloc(&kept->own_arena, sizeof *copy) : NULL;
    cairn_err err = copy ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (err == CAIRN_OK) {
        *copy = *page;
        kept->state = copy;
        kept->own_out = *call->out; /* what is written so far moves along */
        *call->out = (struct buf){0};
        err = api_run_on_pool(kept, finish_page, error);
    }
    if (err != CAIRN_OK) {
        cairn_reader_free(page->reader);
        if (kept)
            api_release(kept);
    }
    return err;
}

static cairn_err
read_page(struct api_call *call, struct page *page, bool may_be_long, cairn_error *error)
{
    bool more = false;
    begin_page(call->out, page);
    if (may_be_long || page->limit > API_LIMIT_INLINE)
        return hand_to_pool(call, page, error);
    cairn_err err = open_page(call, page, error);
    if (err == CAIRN_OK)
        err = fill_page(page, call->out, API_PAGE_INLINE_BYTES, &more, error);
    if (err == CAIRN_OK && more)
        return hand_to_pool(call, page, error);
    if (err == CAIRN_OK)
        err = end_page(call, page, error);
    cairn_reader_free(page->reader);
    api_observe(&call->api->read_time, api_now_us() - call->start_us);
    if (err == CAIRN_OK)
        api_finish(call, CAIRN_OK, NULL);
    return err;
}

/* ---- following ------------------------------------------------------------------------------------------ */

static cairn_err
refuse_when_following(struct api_call *call, cairn_error *error)
{
    static const enum api_arg refused[] = {ARG_LIMIT, ARG_AS_OF, ARG_UNTIL};
    call->malformed = true;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (call->args.value[refused[i]].given)
            return error_set(error, CAIRN_E_INVALID, "parameter '%s' does not go with text/event-stream",
                             api_arg_specs[refused[i]].name);
    if (call->args.value[ARG_DIRECTION].number == CAIRN_BACKWARD)
        return error_set(error, CAIRN_E_INVALID,
                         "parameter 'direction': only forward goes with text/event-stream");
    call->malformed = false;
    return CAIRN_OK;
}

/* Where to begin: after Last-Event-ID (a client that comes back sends it with the same URL), else from=,
 * else since=. */
static cairn_err
follow_from(struct api_call *call, bool of_stream, int64_t *ret_from, cairn_error *error)
{
    const struct api_value *from = &call->args.value[of_stream ? ARG_FROM_REVISION : ARG_FROM_POSITION];
    const struct api_value *since = &call->args.value[ARG_SINCE];
    uint64_t last, at = 0;
    if (call->last_event_id.size > 0) {
        call->malformed = true;
        if (!parse_u64(call->last_event_id, &last) || last >= INT64_MAX - 1)
            return error_set(error, CAIRN_E_INVALID, "header last-event-id: '%.*s' is not a whole number",
                             (int)(call->last_event_id.size < 60 ? call->last_event_id.size : 60),
                             call->last_event_id.data);
        call->malformed = false;
        *ret_from = (int64_t)last + 1;
        return CAIRN_OK;
    }
    if (since->given) {
        cairn_err err = cairn_position_at(call->api->store, since->number - 1, &at, error);
        if (err != CAIRN_OK)
            return err;
    }
    *ret_from = from->number > (int64_t)at ? from->number : (int64_t)at;
    return CAIRN_OK;
}

static cairn_err
follow(struct api_call *call, bool of_stream, cairn_error *error)
{
    struct follow_options options = {
        .of_stream = of_stream,
        .system = call->args.value[ARG_SYSTEM].number,
        .stream = of_stream ? call->parts[0] : (cairn_str){0},
        .category = call->args.value[ARG_CATEGORY].text,
        .types = call->args.types.items,
        .type_count = call->args.types.count,
        .tags = call->args.tags.items,
        .tag_count = call->args.tags.count,
    };
    cairn_err err = refuse_when_following(call, error);
    if (err == CAIRN_OK)
        err = follow_from(call, of_stream, &options.from, error);
    return err == CAIRN_OK ? api_follow(call, &options, error) : err;
}

/* ---- handlers ---------------------------------------------------------------------------------------------- */

static cairn_err
refuse_accept(struct api_call *call)
{
    cairn_error error = {0};
    error_set(&error, CAIRN_E_UNSUPPORTED,
              "accept '%.*s' names none of application/json, application/x-ndjson, "
              "application/cloudevents-batch+json, text/event-stream",
              (int)(call->accept.size < 100 ? call->accept.size : 100), call->accept.data);
    api_count(call, 406);
    problem_send(call->x, &problem_not_acceptable, &error, NULL);
    return CAIRN_OK;
}

static cairn_err
read_events(struct api_call *call, bool of_stream, cairn_error *error)
{
    static const enum api_form offered[] = {FORM_JSON, FORM_NDJSON, FORM_CLOUDEVENTS, FORM_SSE};
    const struct api_value *value = call->args.value;
    struct page page = {
        .form = api_negotiate(call->accept, offered, sizeof offered / sizeof *offered),
        .of_stream = of_stream,
        .backward = value[ARG_DIRECTION].number == CAIRN_BACKWARD,
        .limit = (size_t)value[ARG_LIMIT].number,
    };
    if (page.form == FORM_NONE)
        return refuse_accept(call);
    if (page.form == FORM_SSE)
        return follow(call, of_stream, error);
    bool may_be_long = value[ARG_CATEGORY].given || value[ARG_TYPE].given || value[ARG_TAG].given ||
                       value[ARG_SINCE].given || value[ARG_UNTIL].given || value[ARG_AS_OF].is_time;
    return read_page(call, &page, may_be_long, error);
}

cairn_err
api_read_stream(struct api_call *call, cairn_error *error)
{
    return read_events(call, true, error);
}

cairn_err
api_read_all(struct api_call *call, cairn_error *error)
{
    return read_events(call, false, error);
}
