/* Planning for apps: what a deployment would write into "$schemas", in one append with its own events.
 *
 * A version of an app has an id of its own: where a client has registered the same schema under the app's subject with an id
 * that another subject had first, the app gets a new version. */
#include <schema/registry_int.h>

/* The same schema: as a value where it is JSON, else byte by byte. */
static cairn_err
same_text(cairn_str kind, cairn_str a, cairn_str b, struct arena *arena, bool *ret)
{
    int64_t steps = INT64_MAX;
    struct js_compare compare = {.arena = arena, .steps = &steps};
    struct json x, y;
    *ret = cairn_str_equal(a, b);
    if (*ret || !cairn_str_equal(kind, CAIRN_STR("JSON")) || json_check(a, &x, NULL) != CAIRN_OK ||
        json_check(b, &y, NULL) != CAIRN_OK)
        return CAIRN_OK;
    *ret = js_equal(&compare, x, y);
    return compare.nomem ? CAIRN_E_NOMEM : CAIRN_OK;
}

/* What the subject's newest version will be once the items before this one are written. */
static bool
newest_planned(struct schema_registry *registry, const struct schema_plan_item *items, size_t before, cairn_str subject,
               struct schema_version *ret)
{
    while (before-- > 0)
        if (cairn_str_equal(items[before].subject, subject)) {
            *ret = items[before].ret;
            return true;
        }
    return schema_registry_find(registry, subject, 0, ret);
}

static void
put_raw_member(struct buf *to, const char *name, cairn_str json)
{
    if (json.size == 0)
        return;
    json_put_name(to, name);
    json_put_compact(to, json);
}

cairn_err
registry_version_event(const struct schema_version *version, const uint8_t *digest, bool imported, struct arena *arena,
                       cairn_event *ret)
{
    struct buf data = {0};
    buf_put_char(&data, '{');
    json_put_u64_member(&data, "id", version->id);
    json_put_text_member(&data, "subject", version->subject);
    json_put_u64_member(&data, "version", version->version);
    json_put_text_member(&data, "kind", version->kind);
    json_put_text_member(&data, "text", version->text);
    put_raw_member(&data, "references", version->references);
    put_raw_member(&data, "metadata", version->metadata);
    put_raw_member(&data, "ruleSet", version->rules);
    if (digest) {
        char hex[65];
        format_hex(digest, 32, hex);
        json_put_text_member(&data, "digest", cairn_cstr(hex));
    }
    if (imported)
        json_put_bool_member(&data, "imported", true);
    buf_put_char(&data, '}');
    cairn_str copy = data.failed ? (cairn_str){NULL, 0} : arena_copy(arena, buf_str(&data));
    buf_free(&data);
    *ret = (cairn_event){.type = CAIRN_STR(EVENT_SCHEMA), .data = copy};
    return copy.data ? CAIRN_OK : CAIRN_E_NOMEM;
}

/* Planned ones are; of those that are there the first that got its id is. */
static bool
has_own_id(struct schema_registry *registry, const struct schema_version *version)
{
    struct schema_version first;
    return !schema_registry_by_id(registry, version->id, &first) ||
           (cairn_str_equal(first.subject, version->subject) && first.version == version->version);
}

static cairn_err
plan_item(struct schema_registry *registry, struct schema_plan_item *items, size_t index, uint32_t *next_id,
          struct arena *arena, cairn_event *ret_event)
{
    struct schema_plan_item *item = &items[index];
    struct schema_version newest = {.version = 0};
    bool same = false;
    cairn_err err = CAIRN_OK;
    struct schema_version known = {.version = 0};
    bool any = newest_planned(registry, items, index, item->subject, &newest);
    /* Going back to an earlier text goes back to its version: events written by it meanwhile are what they were then. */
    for (known = newest; any && !same && err == CAIRN_OK; any = schema_registry_find(registry, item->subject, known.version - 1, &known)) {
        if (cairn_str_equal(known.kind, item->kind) && known.references.size == 0 && has_own_id(registry, &known))
            err = same_text(item->kind, known.text, item->text, arena, &same);
        if (same || known.version <= 1)
            break;
    }
    if (err != CAIRN_OK)
        return err;
    item->ret_new = !same;
    item->ret = known;
    if (same)
        return CAIRN_OK;
    item->ret = (struct schema_version){.id = (*next_id)++, .version = newest.version + 1, .subject = item->subject,
                                        .kind = item->kind, .text = item->text};
    return registry_version_event(&item->ret, NULL, false, arena, ret_event);
}

cairn_err
schema_registry_plan(struct schema_registry *registry, struct schema_plan_item *items, size_t count, struct arena *arena,
                     cairn_write *ret_write, cairn_error *error)
{
    cairn_event *events = arena_alloc(arena, (count ? count : 1) * sizeof *events);
    size_t event_count = 0;
    cairn_err err = events ? CAIRN_OK : CAIRN_E_NOMEM;
    pthread_mutex_lock(&registry->refreshing); /* what was read and the revision belong together */
    int64_t revision = registry->revision;
    uint32_t next_id = schema_registry_id_max(registry) + 1;
    for (size_t i = 0; i < count && err == CAIRN_OK; i++) {
        err = plan_item(registry, items, i, &next_id, arena, &events[event_count]);
        if (err == CAIRN_OK)
            event_count += items[i].ret_new;
    }
    pthread_mutex_unlock(&registry->refreshing);
    if (err != CAIRN_OK)
        return error_set(error, err, "no memory for schemas");
    *ret_write = (cairn_write){.stream = CAIRN_STR(SCHEMA_STREAM), .expected = revision < 0 ? CAIRN_NONE : revision,
                               .events = events, .event_count = event_count};
    return CAIRN_OK;
}
