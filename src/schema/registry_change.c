/* Writing for clients: register, delete, settings.
 *
 *   refresh ─► decide on what is there ─► one event, under the revision that was read ─┬─► refresh
 *      ▲                                                                               │
 *      └────────────────────────────────── CONFLICT: somebody was faster ◄─────────────┘
 *
 * Those who write here take turns (registry->writing); a conflict comes from an app's deployment or another process. */
#include <schema/registry_int.h>

#define TRIES_MAX 100

static cairn_err
no_memory(cairn_error *error)
{
    return error_set(error, CAIRN_E_NOMEM, "no memory for schemas");
}

/* CAIRN_E_CONFLICT: decide again. */
static cairn_err
append(struct schema_registry *registry, int64_t expected, const cairn_event *event, cairn_error *error)
{
    cairn_at at;
    cairn_write write = {.stream = CAIRN_STR(SCHEMA_STREAM), .expected = expected, .events = event, .event_count = 1};
    cairn_append_request request = {.scope = registry->scope, .writes = &write, .write_count = 1, .system = true};
    cairn_err err = cairn_append_all(registry->store, &request, &at, error);
    return err == CAIRN_OK ? schema_registry_refresh(registry, error) : err;
}

/* decide() fills in the event, or leaves its type empty: there is nothing to write. */
typedef cairn_err (*decide_call)(void *context, struct arena *arena, cairn_event *ret, cairn_error *error);

static cairn_err
change(struct schema_registry *registry, decide_call decide, void *context, cairn_error *error)
{
    cairn_err err = CAIRN_E_CONFLICT;
    struct arena arena = {0};
    pthread_mutex_lock(&registry->writing);
    for (int i = 0; i < TRIES_MAX && err == CAIRN_E_CONFLICT; i++) {
        int64_t expected;
        cairn_event event = {.data = {NULL, 0}};
        arena_reset(&arena);
        err = registry_begin(registry, &expected, error);
        if (err == CAIRN_OK)
            err = decide(context, &arena, &event, error);
        if (err == CAIRN_OK && event.type.size)
            err = append(registry, expected, &event, error);
    }
    pthread_mutex_unlock(&registry->writing);
    arena_free(&arena);
    return err;
}

static cairn_err
finish_event(struct buf *data, const char *type, struct arena *arena, cairn_event *ret, cairn_error *error)
{
    buf_put_char(data, '}');
    cairn_str copy = data->failed ? (cairn_str){NULL, 0} : arena_copy(arena, buf_str(data));
    buf_free(data);
    *ret = (cairn_event){.type = cairn_cstr(type), .data = copy};
    return copy.data ? CAIRN_OK : no_memory(error);
}

/* ---- what a request says */

struct asked {
    const struct schema_request *request;
    struct schema_compiled *schema;
    cairn_str canonical, text; /* text: to be kept; both in the arena */
    cairn_str metadata, rules; /* the request's, or those that it takes over */
    uint8_t digest[32];
    struct arena arena;
};

static cairn_err
put_form(const struct schema_compiled *schema, enum schema_form form, struct arena *arena, cairn_str *ret, cairn_error *error)
{
    struct buf text = {0};
    cairn_err err = schema_put(schema, form, &text, error);
    if (err == CAIRN_OK && !(*ret = arena_copy(arena, buf_str(&text))).data)
        err = no_memory(error);
    buf_free(&text);
    return err;
}

/* What the request says with that metadata and those rules. */
static cairn_err
digest_with(const struct asked *asked, cairn_str metadata, cairn_str rules, uint8_t ret[32], cairn_error *error)
{
    cairn_err err = registry_make_digest(cairn_cstr(schema_kind_name(asked->request->kind)), asked->canonical,
                                         asked->request->references, metadata, rules, ret);
    return err == CAIRN_OK ? CAIRN_OK : error_set(error, err, "references, metadata and ruleSet must be JSON");
}

static cairn_err
read_request(struct schema_registry *registry, const struct schema_request *request, struct asked *asked,
             enum schema_refusal *ret_refusal, cairn_error *error)
{
    asked->request = request;
    asked->metadata = request->metadata;
    asked->rules = request->rules;
    cairn_err err = registry_compile(registry, request->kind, request->text, request->references, &asked->schema, error);
    if (err == CAIRN_OK)
        err = put_form(asked->schema, SCHEMA_CANONICAL, &asked->arena, &asked->canonical, error);
    if (err == CAIRN_OK)
        err = put_form(asked->schema, request->normalize ? SCHEMA_CANONICAL : SCHEMA_PLAIN, &asked->arena, &asked->text, error);
    if (err == CAIRN_OK)
        err = digest_with(asked, request->metadata, request->rules, asked->digest, error);
    if (err == CAIRN_E_INVALID || err == CAIRN_E_LIMIT)
        *ret_refusal = err == CAIRN_E_LIMIT ? SCHEMA_TOO_LARGE : SCHEMA_BAD_SCHEMA;
    return err;
}

/* Who says nothing about metadata or rules means those of the newest version: clients that register what they write with know
 * nothing of them. */
static cairn_err
take_over(struct schema_registry *registry, struct asked *asked, cairn_error *error)
{
    struct arena scratch = {0};
    struct schema_version *list;
    size_t count;
    asked->metadata = asked->request->metadata;
    asked->rules = asked->request->rules;
    cairn_err err = schema_registry_versions(registry, asked->request->subject, SCHEMA_VIEW_LIVE, &scratch, &list, &count);
    if (err != CAIRN_OK)
        return no_memory(error);
    if (count > 0 && asked->metadata.size == 0)
        asked->metadata = list[count - 1].metadata;
    if (count > 0 && asked->rules.size == 0)
        asked->rules = list[count - 1].rules;
    arena_free(&scratch);
    return digest_with(asked, asked->metadata, asked->rules, asked->digest, error);
}

static void
free_asked(struct asked *asked)
{
    schema_release(asked->schema);
    arena_free(&asked->arena);
}

/* The subject's newest version that says the same. */
static bool
find_same(struct schema_registry *registry, cairn_str subject, const uint8_t digest[32], bool deleted_too,
          struct schema_version *ret)
{
    bool found = false;
    pthread_rwlock_rdlock(&registry->lock);
    const struct subject *known = registry_subject(registry, subject);
    for (const struct entry *entry = known ? known->newest : NULL; entry && !found; entry = entry->before) {
        bool seen = entry->version.life == SCHEMA_LIVE || (deleted_too && entry->version.life == SCHEMA_HIDDEN);
        found = seen && entry->has_digest && memcmp(entry->version.digest, digest, 32) == 0;
        if (found)
            *ret = entry->version;
    }
    pthread_rwlock_unlock(&registry->lock);
    return found;
}

/* ---- compatibility */

static cairn_err
check_one_way(struct schema_outcome *outcome, uint32_t version, const struct schema_compiled *reader,
              const struct schema_compiled *writer, cairn_error *error)
{
    size_t before = schema_faults_kept(&outcome->faults);
    cairn_err err = schema_reads(reader, writer, &outcome->faults, error);
    for (size_t i = before; i < schema_faults_kept(&outcome->faults); i++)
        outcome->fault_versions[i] = version;
    if (err == CAIRN_E_INVALID)
        outcome->refusal = SCHEMA_INCOMPATIBLE;
    return err;
}

/* An earlier one that no longer compiles is not held against the new one. */
static cairn_err
check_version(struct schema_registry *registry, const struct asked *asked, const struct schema_version *earlier,
              struct schema_outcome *outcome, cairn_error *error)
{
    bool backward = outcome->level != COMPAT_FORWARD && outcome->level != COMPAT_FORWARD_TRANSITIVE;
    bool forward = outcome->level != COMPAT_BACKWARD && outcome->level != COMPAT_BACKWARD_TRANSITIVE;
    struct schema_compiled *there = NULL;
    cairn_err err = schema_registry_compiled(registry, earlier, &there, error);
    if (err == CAIRN_E_INVALID || err == CAIRN_E_LIMIT)
        return CAIRN_OK;
    cairn_err other = CAIRN_OK;
    if (err == CAIRN_OK && backward)
        err = check_one_way(outcome, earlier->version, asked->schema, there, error);
    if ((err == CAIRN_OK || err == CAIRN_E_INVALID) && forward)
        other = check_one_way(outcome, earlier->version, there, asked->schema, error);
    schema_release(there);
    return err == CAIRN_OK ? other : err;
}

static bool
is_transitive(enum compat_level level)
{
    return level == COMPAT_BACKWARD_TRANSITIVE || level == COMPAT_FORWARD_TRANSITIVE || level == COMPAT_FULL_TRANSITIVE;
}

/* Against those that the level asks for, newest first; all are looked at, so that all faults are told. */
static cairn_err
check_earlier(struct schema_registry *registry, const struct asked *asked, uint32_t only, struct schema_outcome *outcome,
              cairn_error *error)
{
    struct arena scratch = {0};
    struct schema_version *list;
    size_t count;
    cairn_error why;
    bool refused = false;
    cairn_err err = schema_registry_versions(registry, asked->request->subject, SCHEMA_VIEW_LIVE, &scratch, &list, &count);
    if (err != CAIRN_OK)
        return no_memory(error);
    if (outcome->level == COMPAT_NONE)
        count = 0;
    for (size_t i = count; i-- > 0 && err == CAIRN_OK;) {
        if (only != 0 && list[i].version != only)
            continue;
        err = check_version(registry, asked, &list[i], outcome, refused ? &why : error);
        refused |= err == CAIRN_E_INVALID;
        if (err == CAIRN_E_INVALID)
            err = CAIRN_OK;
        if (only == 0 && !is_transitive(outcome->level))
            break;
    }
    arena_free(&scratch);
    return err == CAIRN_OK && refused ? CAIRN_E_INVALID : err;
}

cairn_err
schema_registry_compatible(struct schema_registry *registry, const struct schema_request *request, uint32_t version,
                           struct schema_outcome *outcome, cairn_error *error)
{
    struct asked asked = {.text = {NULL, 0}};
    outcome->refusal = 0;
    outcome->level = schema_registry_level(registry, request->subject);
    cairn_err err = read_request(registry, request, &asked, &outcome->refusal, error);
    if (err == CAIRN_OK)
        err = check_earlier(registry, &asked, version, outcome, error);
    free_asked(&asked);
    return err;
}

/* ---- registering */

struct registering {
    struct schema_registry *registry;
    const struct schema_request *request;
    struct schema_outcome *outcome;
    struct asked asked;
};

/* The id: of a schema that says the same, or the one asked for, or the next. */
static cairn_err
choose_id(struct registering *r, struct schema_version *version, cairn_error *error)
{
    struct schema_registry *registry = r->registry;
    struct entry *same = NULL, *there = NULL;
    uint32_t asked = r->request->id;
    bool clash = false;
    pthread_rwlock_rdlock(&registry->lock);
    if (asked == 0)
        same = registry_digest(registry, r->asked.digest);
    else
        there = registry_id(registry, asked);
    if (there) {
        clash = !there->has_digest || memcmp(there->version.digest, r->asked.digest, 32) != 0;
        same = there;
    }
    bool alive = false;
    for (const struct entry *entry = same ? registry_id(registry, same->version.id) : NULL; entry; entry = entry->next_same)
        alive |= entry->version.life != SCHEMA_GONE;
    if (same && (alive || asked)) {
        version->id = same->version.id;
        version->text = same->version.text; /* one id, one text */
    } else {
        version->id = asked ? asked : registry->id_max + 1;
    }
    pthread_rwlock_unlock(&registry->lock);
    if (!clash)
        return CAIRN_OK;
    r->outcome->refusal = SCHEMA_NOT_PERMITTED;
    return error_set(error, CAIRN_E_INVALID, "Overwrite new schema with id %u is not permitted.", asked);
}

static cairn_err
choose_version(struct registering *r, struct schema_version *version, cairn_error *error)
{
    uint32_t newest = schema_registry_newest(r->registry, version->subject);
    version->version = r->request->version ? r->request->version : newest + 1;
    if (version->version > newest)
        return CAIRN_OK;
    r->outcome->refusal = SCHEMA_BAD_VERSION;
    return error_set(error, CAIRN_E_INVALID, "version %u of the subject is taken, or below those that are; the next is %u",
                     version->version, newest + 1);
}

static cairn_err
may_register(struct registering *r, bool *ret_import, cairn_error *error)
{
    enum schema_mode mode = schema_registry_effective_mode(r->registry, r->request->subject);
    cairn_str subject = r->request->subject;
    *ret_import = mode == SCHEMA_IMPORT;
    r->outcome->refusal = SCHEMA_NOT_PERMITTED;
    if (mode == SCHEMA_READONLY || mode == SCHEMA_READONLY_OVERRIDE)
        return error_set(error, CAIRN_E_INVALID, "Subject %.*s is in read-only mode", (int)subject.size, subject.data);
    if (!*ret_import && (r->request->id || r->request->version > 0) &&
        (r->request->id || r->request->version != schema_registry_newest(r->registry, subject) + 1))
        return error_set(error, CAIRN_E_INVALID, "Subject %.*s is not in import mode", (int)subject.size, subject.data);
    if (*ret_import && !r->request->id)
        return error_set(error, CAIRN_E_INVALID, "Subject %.*s is in import mode: the id must be given", (int)subject.size,
                         subject.data);
    r->outcome->refusal = 0;
    return CAIRN_OK;
}

static cairn_err
decide_register(void *context, struct arena *arena, cairn_event *ret, cairn_error *error)
{
    struct registering *r = context;
    struct schema_registry *registry = r->registry;
    bool import;
    r->outcome->faults.count = 0;
    cairn_err err = take_over(registry, &r->asked, error);
    if (err != CAIRN_OK)
        return err;
    if (find_same(registry, r->request->subject, r->asked.digest, false, &r->outcome->version) &&
        (r->request->id == 0 || r->request->id == r->outcome->version.id))
        return CAIRN_OK;
    err = may_register(r, &import, error);
    if (err != CAIRN_OK)
        return err;
    r->outcome->level = import ? COMPAT_NONE : schema_registry_level(registry, r->request->subject);
    err = check_earlier(registry, &r->asked, 0, r->outcome, error);
    struct schema_version version = {.subject = r->request->subject, .kind = cairn_cstr(schema_kind_name(r->request->kind)),
                                     .text = r->asked.text, .references = r->request->references,
                                     .metadata = r->asked.metadata, .rules = r->asked.rules};
    if (err == CAIRN_OK)
        err = choose_id(r, &version, error);
    if (err == CAIRN_OK)
        err = choose_version(r, &version, error);
    if (err == CAIRN_OK && registry_version_event(&version, r->asked.digest, import, arena, ret) != CAIRN_OK)
        err = no_memory(error);
    r->outcome->version = version;
    return err;
}

cairn_err
schema_registry_register(struct schema_registry *registry, const struct schema_request *request, struct schema_outcome *outcome,
                         cairn_error *error)
{
    struct registering r = {.registry = registry, .request = request, .outcome = outcome};
    outcome->refusal = 0;
    cairn_err err = read_request(registry, request, &r.asked, &outcome->refusal, error);
    if (err == CAIRN_OK)
        err = change(registry, decide_register, &r, error);
    if (err == CAIRN_E_LIMIT && outcome->refusal == 0)
        outcome->refusal = SCHEMA_TOO_LARGE;
    if (err == CAIRN_OK && !schema_registry_find(registry, request->subject, outcome->version.version, &outcome->version))
        err = error_set(error, CAIRN_E_CORRUPT, "what was registered is not there");
    free_asked(&r.asked);
    return err;
}

/* Metadata and rules that the request does not mention are whatever the version has. */
static cairn_err
find_said(struct schema_registry *registry, const struct asked *asked, bool deleted_too, struct schema_outcome *outcome,
          cairn_error *error)
{
    struct arena scratch = {0};
    struct schema_version *list;
    uint8_t digest[32];
    size_t count;
    cairn_str subject = asked->request->subject;
    cairn_err err = schema_registry_versions(registry, subject, deleted_too ? SCHEMA_VIEW_DELETED_TOO : SCHEMA_VIEW_LIVE,
                                             &scratch, &list, &count);
    if (err != CAIRN_OK)
        return no_memory(error);
    bool found = find_same(registry, subject, asked->digest, deleted_too, &outcome->version);
    for (size_t i = count; i-- > 0 && !found && err == CAIRN_OK;) {
        err = digest_with(asked, asked->metadata.size ? asked->metadata : list[i].metadata,
                          asked->rules.size ? asked->rules : list[i].rules, digest, error);
        found = err == CAIRN_OK && memcmp(digest, list[i].digest, sizeof digest) == 0;
        if (found)
            outcome->version = list[i];
    }
    arena_free(&scratch);
    if (err != CAIRN_OK || found)
        return err;
    outcome->refusal = count ? SCHEMA_NO_SCHEMA : SCHEMA_NO_SUBJECT;
    return count ? error_set(error, CAIRN_E_NOTFOUND, "Schema not found")
                 : error_set(error, CAIRN_E_NOTFOUND, "Subject '%.*s' not found.", (int)subject.size, subject.data);
}

cairn_err
schema_registry_lookup(struct schema_registry *registry, const struct schema_request *request, bool deleted_too,
                       struct schema_outcome *outcome, cairn_error *error)
{
    struct asked asked = {.text = {NULL, 0}};
    struct schema_version any;
    outcome->refusal = 0;
    if (!schema_registry_find(registry, request->subject, 0, &any)) {
        outcome->refusal = SCHEMA_NO_SUBJECT;
        return error_set(error, CAIRN_E_NOTFOUND, "Subject '%.*s' not found.", (int)request->subject.size, request->subject.data);
    }
    cairn_err err = read_request(registry, request, &asked, &outcome->refusal, error);
    if (err == CAIRN_OK)
        err = find_said(registry, &asked, deleted_too, outcome, error);
    free_asked(&asked);
    return err;
}

/* ---- deleting */

struct deleting {
    struct schema_registry *registry;
    cairn_str subject;
    uint32_t version;
    bool permanent;
    struct arena *arena;
    uint32_t *versions;
    size_t count;
    enum schema_refusal *refusal;
};

static bool
refers_to(const struct schema_version *version, cairn_str subject, uint32_t wanted, struct arena *scratch)
{
    struct json list;
    struct schema_reference reference;
    if (version->references.size == 0 || json_check(version->references, &list, NULL) != CAIRN_OK)
        return false;
    for (struct json_walk walk = json_walk(list); schema_reference_next(&walk, scratch, &reference);)
        if (cairn_str_equal(reference.subject, subject) && (reference.version == wanted || reference.version == UINT32_MAX))
            return true;
    return false;
}

static cairn_err
check_referred(struct deleting *d, uint32_t version, cairn_error *error)
{
    struct arena scratch = {0};
    struct schema_version *list;
    size_t count;
    cairn_err err = schema_registry_select(d->registry, SCHEMA_VIEW_LIVE, NULL, NULL, &scratch, &list, &count);
    for (size_t i = 0; i < count && err == CAIRN_OK; i++)
        if (refers_to(&list[i], d->subject, version, &scratch)) {
            *d->refusal = SCHEMA_REFERRED_TO;
            err = error_set(error, CAIRN_E_INVALID,
                            "One or more references exist to the schema {subject=%.*s,version=%u}", (int)d->subject.size,
                            d->subject.data, version);
        }
    arena_free(&scratch);
    return err;
}

static cairn_err
refuse(struct deleting *d, enum schema_refusal refusal, cairn_error *error, const char *what)
{
    *d->refusal = refusal;
    if (d->version)
        return error_set(error, CAIRN_E_NOTFOUND, "Subject '%.*s' Version %u %s", (int)d->subject.size, d->subject.data,
                         d->version, what);
    return error_set(error, CAIRN_E_NOTFOUND, "Subject '%.*s' %s", (int)d->subject.size, d->subject.data, what);
}

/* Which of the versions it concerns; those that are not in the right state are left alone, unless one was named. */
static cairn_err
pick_versions(struct deleting *d, cairn_error *error)
{
    struct schema_version *list;
    size_t count, live = 0, hidden = 0;
    cairn_err err = schema_registry_versions(d->registry, d->subject, SCHEMA_VIEW_DELETED_TOO, d->arena, &list, &count);
    if (err != CAIRN_OK || !(d->versions = arena_alloc(d->arena, (count + 1) * sizeof *d->versions)))
        return no_memory(error);
    d->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (d->version && list[i].version != d->version)
            continue;
        live += list[i].life == SCHEMA_LIVE;
        hidden += list[i].life == SCHEMA_HIDDEN;
        if ((list[i].life == SCHEMA_HIDDEN) == d->permanent)
            d->versions[d->count++] = list[i].version;
    }
    if (count == 0)
        return d->version = 0, refuse(d, SCHEMA_NO_SUBJECT, error, "not found.");
    if (live + hidden == 0) {
        *d->refusal = SCHEMA_NO_VERSION;
        return error_set(error, CAIRN_E_NOTFOUND, "Version %u not found.", d->version);
    }
    if (d->permanent && live > 0)
        return refuse(d, d->version ? SCHEMA_VERSION_NOT_HIDDEN : SCHEMA_SUBJECT_NOT_HIDDEN, error,
                      "was not deleted first before being permanently deleted");
    if (!d->permanent && live == 0)
        return refuse(d, d->version ? SCHEMA_VERSION_HIDDEN : SCHEMA_SUBJECT_HIDDEN, error,
                      "was soft deleted. Set permanent=true to delete permanently");
    return CAIRN_OK;
}

static cairn_err
decide_delete(void *context, struct arena *arena, cairn_event *ret, cairn_error *error)
{
    struct deleting *d = context;
    enum schema_mode mode = schema_registry_effective_mode(d->registry, d->subject);
    if (mode == SCHEMA_READONLY || mode == SCHEMA_READONLY_OVERRIDE) {
        *d->refusal = SCHEMA_NOT_PERMITTED;
        return error_set(error, CAIRN_E_INVALID, "Subject %.*s is in read-only mode", (int)d->subject.size, d->subject.data);
    }
    cairn_err err = pick_versions(d, error);
    for (size_t i = 0; i < d->count && err == CAIRN_OK; i++)
        err = check_referred(d, d->versions[i], error);
    if (err != CAIRN_OK)
        return err;
    struct buf data = {0};
    buf_put_char(&data, '{');
    json_put_text_member(&data, "subject", d->subject);
    json_put_u64_member(&data, "version", d->version);
    json_put_bool_member(&data, "permanent", d->permanent);
    return finish_event(&data, EVENT_DELETED, arena, ret, error);
}

cairn_err
schema_registry_delete(struct schema_registry *registry, cairn_str subject, uint32_t version, bool permanent,
                       struct arena *arena, uint32_t **ret_versions, size_t *ret_count, enum schema_refusal *ret_refusal,
                       cairn_error *error)
{
    struct deleting d = {.registry = registry, .subject = subject, .version = version, .permanent = permanent,
                         .arena = arena, .refusal = ret_refusal};
    *ret_refusal = 0;
    cairn_err err = change(registry, decide_delete, &d, error);
    *ret_versions = d.versions;
    *ret_count = d.count;
    return err;
}

/* ---- settings */

struct setting {
    struct schema_registry *registry;
    cairn_str subject, config;
    enum schema_mode mode;
    bool force;
    enum schema_refusal *refusal;
};

static cairn_err
decide_config(void *context, struct arena *arena, cairn_event *ret, cairn_error *error)
{
    struct setting *s = context;
    cairn_str there;
    bool any = schema_registry_config(s->registry, s->subject, &there);
    if (s->config.size == 0 && !any && s->subject.size) {
        *s->refusal = SCHEMA_NO_CONFIG;
        return error_set(error, CAIRN_E_NOTFOUND, "Subject '%.*s' does not have subject-level compatibility configured",
                         (int)s->subject.size, s->subject.data);
    }
    if (any ? cairn_str_equal(there, s->config) : s->config.size == 0)
        return CAIRN_OK;
    struct buf data = {0};
    buf_put_char(&data, '{');
    json_put_text_member(&data, "subject", s->subject);
    json_put_name(&data, "config");
    if (s->config.size)
        json_put_compact(&data, s->config);
    else
        buf_put_str(&data, CAIRN_STR("null"));
    return finish_event(&data, EVENT_CONFIG, arena, ret, error);
}

cairn_err
schema_registry_set_config(struct schema_registry *registry, cairn_str subject, cairn_str config,
                           enum schema_refusal *ret_refusal, cairn_error *error)
{
    struct setting setting = {.registry = registry, .subject = subject, .config = config, .refusal = ret_refusal};
    struct json value;
    *ret_refusal = 0;
    if (config.size) {
        cairn_err err = json_check(config, &value, error);
        if (err == CAIRN_OK && value.type != JSON_OBJECT)
            err = error_set(error, CAIRN_E_INVALID, "settings must be an object");
        if (err != CAIRN_OK)
            return err;
    }
    return change(registry, decide_config, &setting, error);
}

static cairn_err
decide_mode(void *context, struct arena *arena, cairn_event *ret, cairn_error *error)
{
    struct setting *s = context;
    enum schema_mode there = schema_registry_mode(s->registry, s->subject);
    if (s->mode == SCHEMA_MODE_UNSET && there == SCHEMA_MODE_UNSET && s->subject.size) {
        *s->refusal = SCHEMA_NO_MODE;
        return error_set(error, CAIRN_E_NOTFOUND, "Subject '%.*s' does not have subject-level mode configured",
                         (int)s->subject.size, s->subject.data);
    }
    if (s->mode == SCHEMA_IMPORT && there != SCHEMA_IMPORT && !s->force) {
        struct schema_version *list;
        size_t count;
        cairn_err err = s->subject.size
                            ? schema_registry_versions(s->registry, s->subject, SCHEMA_VIEW_LIVE, arena, &list, &count)
                            : schema_registry_select(s->registry, SCHEMA_VIEW_LIVE, NULL, NULL, arena, &list, &count);
        if (err != CAIRN_OK)
            return no_memory(error);
        if (count > 0) {
            *s->refusal = SCHEMA_NOT_PERMITTED;
            return error_set(error, CAIRN_E_INVALID, "Cannot import since found existing subjects");
        }
    }
    if (s->mode == there)
        return CAIRN_OK;
    struct buf data = {0};
    buf_put_char(&data, '{');
    json_put_text_member(&data, "subject", s->subject);
    if (s->mode == SCHEMA_MODE_UNSET)
        buf_put_str(&data, CAIRN_STR(",\"mode\":null"));
    else
        json_put_text_member(&data, "mode", cairn_cstr(schema_mode_name(s->mode)));
    return finish_event(&data, EVENT_MODE, arena, ret, error);
}

cairn_err
schema_registry_set_mode(struct schema_registry *registry, cairn_str subject, enum schema_mode mode, bool force,
                         enum schema_refusal *ret_refusal, cairn_error *error)
{
    struct setting setting = {.registry = registry, .subject = subject, .mode = mode, .force = force, .refusal = ret_refusal};
    *ret_refusal = 0;
    return change(registry, decide_mode, &setting, error);
}
