/* Events of earlier schema versions, read as the newest. The schema id that an event carries says which version wrote it;
 * an event without one (written by somebody else's append) counts as the newest. */
#include <app/apps_int.h>

#include <base/error.h>
#include <base/hash.h>

cairn_err
app_code_upcast(void *context, cairn_recorded *event, struct arena *arena, cairn_error *error)
{
    const struct app_code *code = context;
    uint32_t id = event->event.schema_id;
    if (id == 0)
        return CAIRN_OK;
    const struct app_manifest *manifest = code->manifest;
    for (size_t i = 0; i < manifest->event_count; i++) {
        const struct app_event *known = &manifest->events[i];
        if (code->schema_ids[i] == id)
            return CAIRN_OK; /* newest: what nearly every event is */
        if (known->upcasts == NULL || !cairn_str_equal(known->type, event->event.type))
            continue;
        struct schema_version written;
        if (!schema_registry_by_id(code->apps->registry, id, &written)
            || written.version >= code->schema_versions[i])
            return CAIRN_OK;
        cairn_str app = manifest->name, subject = written.subject;
        if (subject.size <= app.size || memcmp(subject.data, app.data, app.size) != 0 || subject.data[app.size] != '.')
            return CAIRN_OK; /* another app's event of the same name */
        return upcast_apply(known->upcasts, known->type, written.version, code->schema_versions[i], event->event.data,
                            arena, &event->event.data, error);
    }
    return CAIRN_OK;
}

static bool
listens_to(const struct projection *projection, cairn_str type)
{
    cairn_str name;
    for (size_t i = 0; projection_type(projection, i, &name); i++)
        if (cairn_str_equal(name, CAIRN_STR("*")) || cairn_str_equal(name, type))
            return true;
    return false;
}

uint64_t
app_code_salt(const struct app_code *code, const struct projection *projection)
{
    uint64_t salt = 0;
    for (size_t i = 0; i < code->manifest->event_count; i++) {
        const struct app_event *event = &code->manifest->events[i];
        if (event->upcasts == NULL || !listens_to(projection, event->type))
            continue;
        const uint64_t part[2] = {event->upcast_digest, code->schema_versions[i]};
        salt = hash64(part, sizeof part, salt + hash64(event->type.data, event->type.size, 0));
    }
    return salt;
}
