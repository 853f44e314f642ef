/* Access control lists: DescribeAcls, CreateAcls, DeleteAcls. They are kept, told of and deleted, but not enforced: who may do
 * what is decided when there are identities.
 *
 * Stored as events of the stream `$acls`: AclCreated and AclDeleted, each with the whole of it. In memory they are a list,
 * read when the server starts; afterwards changed under the lock, events first. */
#include <proto/kafka/calls_int.h>

#include <base/error.h>
#include <base/json.h>
#include <stdlib.h>

#define STREAM "$acls"
#define ACLS_MAX 10000u
#define CHANGE_MAX 1000u /* of one request */

/* Numbers are Kafka's (KIP-140, KIP-290); 0 is unknown, 1 any, in filters. */
static const char *const resources[] = {"", "", "topic", "group", "cluster", "transactional_id", "delegation_token", "user"};
static const char *const patterns[] = {"", "", "", "literal", "prefixed"};
static const char *const operations[] = {"",          "",        "all",
                                         "read",      "write",   "create",
                                         "delete",    "alter",   "describe",
                                         "cluster_action", "describe_configs", "alter_configs",
                                         "idempotent_write", "create_tokens", "describe_tokens",
                                         "two_phase_commit"};
static const char *const permissions[] = {"", "", "deny", "allow"};
#define COUNT(names) ((int8_t)(sizeof(names) / sizeof *(names)))
enum { ANY = 1, PATTERN_MATCH = 2, PATTERN_LITERAL = 3, PATTERN_PREFIXED = 4, RESOURCE_CLUSTER = 4 };

struct acl {
    int8_t resource, pattern, operation, permission;
    cairn_str name, principal, host; /* in `text` */
};
struct stored {
    struct acl acl;
    char text[];
};
struct acls {
    cairn_store *store;
    cairn_scope scope;
    pthread_mutex_t lock; /* what follows */
    struct stored **list;
    size_t count, room;
};

static bool
same(const struct acl *a, const struct acl *b)
{
    return a->resource == b->resource && a->pattern == b->pattern && a->operation == b->operation &&
           a->permission == b->permission && cairn_str_equal(a->name, b->name) && cairn_str_equal(a->principal, b->principal) &&
           cairn_str_equal(a->host, b->host);
}

/* ---- the list, under the lock -------------------------------------------------------------------------------------------- */

static size_t
index_of(const struct acls *acls, const struct acl *acl)
{
    size_t i = 0;
    while (i < acls->count && !same(&acls->list[i]->acl, acl))
        i++;
    return i;
}

static cairn_str
keep(char **to, cairn_str text)
{
    cairn_str kept = {*to, text.size};
    if (text.size)
        memcpy(*to, text.data, text.size);
    *to += text.size;
    return kept;
}

static bool
make_room(struct acls *acls, size_t more)
{
    size_t room = acls->room ? acls->room : 16;
    while (room < acls->count + more)
        room *= 2;
    struct stored **list = room == acls->room ? acls->list : realloc(acls->list, room * sizeof *list);
    if (!list)
        return false;
    acls->list = list;
    acls->room = room;
    return true;
}

static struct stored *
stored_new(const struct acl *acl)
{
    struct stored *stored = malloc(sizeof *stored + acl->name.size + acl->principal.size + acl->host.size + 1);
    if (!stored)
        return NULL;
    char *text = stored->text;
    stored->acl = *acl;
    stored->acl.name = keep(&text, acl->name);
    stored->acl.principal = keep(&text, acl->principal);
    stored->acl.host = keep(&text, acl->host);
    return stored;
}

static void
drop(struct acls *acls, size_t index)
{
    free(acls->list[index]);
    acls->list[index] = acls->list[--acls->count];
}

/* ---- events -------------------------------------------------------------------------------------------------------------- */

static cairn_str
acl_json(struct arena *arena, const struct acl *acl)
{
    struct buf text = {0};
    buf_put_char(&text, '{');
    json_put_text_member(&text, "resource", cairn_cstr(resources[acl->resource]));
    json_put_text_member(&text, "name", acl->name);
    json_put_text_member(&text, "pattern", cairn_cstr(patterns[acl->pattern]));
    json_put_text_member(&text, "principal", acl->principal);
    json_put_text_member(&text, "host", acl->host);
    json_put_text_member(&text, "operation", cairn_cstr(operations[acl->operation]));
    json_put_text_member(&text, "permission", cairn_cstr(permissions[acl->permission]));
    buf_put_char(&text, '}');
    cairn_str copy = text.failed ? (cairn_str){0} : arena_copy(arena, buf_str(&text));
    buf_free(&text);
    return copy;
}

static bool
get_name(struct json value, const char *member, const char *const *names, int8_t count, int8_t *ret)
{
    for (int8_t i = 2; i < count; i++)
        if (names[i][0] && json_string_is(json_get(value, member), names[i])) {
            *ret = i;
            return true;
        }
    return false;
}

static bool
read_acl(struct json value, struct arena *arena, struct acl *ret)
{
    ret->name = json_string(json_get(value, "name"), arena);
    ret->principal = json_string(json_get(value, "principal"), arena);
    ret->host = json_string(json_get(value, "host"), arena);
    return ret->name.data && ret->principal.data && ret->host.data &&
           get_name(value, "resource", resources, COUNT(resources), &ret->resource) &&
           get_name(value, "pattern", patterns, COUNT(patterns), &ret->pattern) &&
           get_name(value, "operation", operations, COUNT(operations), &ret->operation) &&
           get_name(value, "permission", permissions, COUNT(permissions), &ret->permission);
}

static cairn_err
apply(struct acls *acls, const cairn_recorded *event, cairn_error *error)
{
    struct arena arena = {.size_max = 4u << 20};
    struct json value;
    struct acl acl;
    cairn_err err = json_check(event->event.data, &value, error);
    if (err == CAIRN_OK && !read_acl(value, &arena, &acl))
        err = error_set(error, CAIRN_E_CORRUPT, "event %llu of " STREAM " is no access control list",
                        (unsigned long long)event->revision);
    if (err == CAIRN_OK) {
        size_t at = index_of(acls, &acl);
        bool created = cairn_str_equal(event->event.type, CAIRN_STR("AclCreated"));
        if (created && at == acls->count) {
            struct stored *stored = make_room(acls, 1) ? stored_new(&acl) : NULL;
            if (stored)
                acls->list[acls->count++] = stored;
            else
                err = error_set(error, CAIRN_E_NOMEM, "out of memory");
        } else if (!created && at < acls->count)
            drop(acls, at);
    }
    arena_free(&arena);
    return err;
}

cairn_err
acls_new(cairn_store *store, cairn_scope scope, struct acls **ret, cairn_error *error)
{
    struct acls *acls = calloc(1, sizeof *acls);
    cairn_read_options options = {.scope = scope, .system = true};
    cairn_reader *reader = NULL;
    cairn_recorded event;
    if (!acls)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    acls->store = store;
    acls->scope = scope;
    pthread_mutex_init(&acls->lock, NULL);
    cairn_err err = cairn_read_stream(store, CAIRN_STR(STREAM), &options, &reader, error);
    while (err == CAIRN_OK && (err = cairn_reader_next(reader, &event, error)) == CAIRN_OK)
        err = apply(acls, &event, error);
    cairn_reader_free(reader);
    if (err != CAIRN_E_END) {
        acls_free(acls);
        return err;
    }
    *ret = acls;
    return CAIRN_OK;
}

void
acls_free(struct acls *acls)
{
    if (!acls)
        return;
    for (size_t i = 0; i < acls->count; i++)
        free(acls->list[i]);
    free(acls->list);
    pthread_mutex_destroy(&acls->lock);
    free(acls);
}

/* Under the lock. All of them in one append. */
static cairn_err
append(struct acls *acls, struct kafka_call *call, const char *type, struct stored *const *list, size_t count)
{
    cairn_event *events = arena_zalloc(&call->arena, count * sizeof *events);
    if (!events)
        return CAIRN_E_NOMEM;
    for (size_t i = 0; i < count; i++) {
        events[i].type = cairn_cstr(type);
        events[i].data = acl_json(&call->arena, &list[i]->acl);
        if (!events[i].data.data)
            return CAIRN_E_NOMEM;
    }
    cairn_write write = {CAIRN_STR(STREAM), CAIRN_ANY, events, count};
    cairn_append_request request = {.scope = acls->scope, .writes = &write, .write_count = 1, .system = true};
    cairn_at at;
    return cairn_append_all(acls->store, &request, &at, NULL);
}

/* ---- CreateAcls ---------------------------------------------------------------------------------------------------------- */

/* NULL, or what is wrong. */
static const char *
check_creation(const struct acl *acl)
{
    if (acl->resource <= ANY || acl->resource >= COUNT(resources))
        return "The kind of resource is unknown.";
    if (acl->pattern != PATTERN_LITERAL && acl->pattern != PATTERN_PREFIXED)
        return "The pattern is neither literal nor prefixed.";
    if (acl->operation <= ANY || acl->operation >= COUNT(operations))
        return "The operation is unknown.";
    if (acl->permission <= ANY || acl->permission >= COUNT(permissions))
        return "The permission is neither to allow nor to deny.";
    if (acl->name.size == 0)
        return "The resource has no name.";
    if (acl->resource == RESOURCE_CLUSTER && !cairn_str_equal(acl->name, CAIRN_STR("kafka-cluster")))
        return "The cluster's name is kafka-cluster.";
    if (acl->principal.size == 0 || !memchr(acl->principal.data, ':', acl->principal.size))
        return "The principal is not written as type and name, as in User:ann.";
    return acl->host.size == 0 ? "The host is empty." : NULL;
}

void
answer_create_acls(struct kafka_call *call)
{
    const struct kafka_create_acls_request *in = KAFKA_REQUEST(call, create_acls);
    struct acls *acls = calls_of(call)->acls;
    struct kafka_create_acls_response out;
    size_t count = (size_t)in->creations_count, added = 0;
    KAFKA_DEFAULTS(create_acls_response, &out);
    out.results = KAFKA_LIST(call, create_acls_response_result, count);
    struct stored **made = arena_alloc(&call->arena, (count + 1) * sizeof *made);
    bool *mine = arena_zalloc(&call->arena, count + 1);
    cairn_err err = CAIRN_OK;
    if (!out.results || !made || !mine) {
        kafka_no_memory(call);
        return;
    }
    out.results_count = (int32_t)count;
    pthread_mutex_lock(&acls->lock);
    for (size_t i = 0; err == CAIRN_OK && i < count; i++) {
        const struct kafka_create_acls_request_creation *asked = &in->creations[i];
        struct acl acl = {asked->resource_type, asked->resource_pattern_type, asked->operation, asked->permission_type,
                          asked->resource_name, asked->principal, asked->host};
        const char *wrong = check_creation(&acl);
        if (!wrong && (added >= CHANGE_MAX || acls->count + added >= ACLS_MAX))
            wrong = "There are too many access control lists.";
        if (wrong) {
            out.results[i].error_code = KAFKA_INVALID_REQUEST;
            out.results[i].error_message = cairn_cstr(wrong);
        } else if (index_of(acls, &acl) == acls->count) { /* twice is once */
            made[added] = stored_new(&acl);
            mine[i] = true;
            err = made[added] ? CAIRN_OK : CAIRN_E_NOMEM;
            added += err == CAIRN_OK;
        }
    }
    if (err == CAIRN_OK && added > 0 && !make_room(acls, added))
        err = CAIRN_E_NOMEM;
    if (err == CAIRN_OK && added > 0)
        err = append(acls, call, "AclCreated", made, added);
    for (size_t i = 0; i < added; i++)
        if (err == CAIRN_OK && index_of(acls, &made[i]->acl) == acls->count)
            acls->list[acls->count++] = made[i];
        else
            free(made[i]);
    pthread_mutex_unlock(&acls->lock);
    for (size_t i = 0; err != CAIRN_OK && i < count; i++)
        if (mine[i]) {
            out.results[i].error_code = (int16_t)kafka_err_of(err);
            out.results[i].error_message = error_text(kafka_err_of(err));
        }
    kafka_respond(call, &out);
}

/* ---- filters ------------------------------------------------------------------------------------------------------------- */

struct filter {
    int8_t resource, pattern, operation, permission;
    cairn_str name, principal, host; /* data NULL: any */
};

static bool
name_fits(const struct filter *filter, const struct acl *acl)
{
    if (!filter->name.data || cairn_str_equal(filter->name, acl->name))
        return filter->pattern == ANY || filter->pattern == PATTERN_MATCH || filter->pattern == acl->pattern;
    if (filter->pattern != PATTERN_MATCH)
        return false;
    if (acl->pattern == PATTERN_LITERAL)
        return cairn_str_equal(acl->name, CAIRN_STR("*"));
    return acl->name.size <= filter->name.size && memcmp(acl->name.data, filter->name.data, acl->name.size) == 0;
}

static bool
fits(const struct filter *filter, const struct acl *acl)
{
    return (filter->resource == ANY || filter->resource == acl->resource) &&
           (filter->operation == ANY || filter->operation == acl->operation) &&
           (filter->permission == ANY || filter->permission == acl->permission) &&
           (!filter->principal.data || cairn_str_equal(filter->principal, acl->principal)) &&
           (!filter->host.data || cairn_str_equal(filter->host, acl->host)) && name_fits(filter, acl);
}

static bool
filter_known(const struct filter *filter)
{
    return filter->resource >= ANY && filter->resource < COUNT(resources) && filter->pattern >= ANY &&
           filter->pattern < COUNT(patterns) && filter->operation >= ANY && filter->operation < COUNT(operations) &&
           filter->permission >= ANY && filter->permission < COUNT(permissions);
}

static bool
copy_acl(struct kafka_call *call, const struct acl *from, struct acl *to)
{
    *to = *from;
    to->name = arena_copy(&call->arena, from->name);
    to->principal = arena_copy(&call->arena, from->principal);
    to->host = arena_copy(&call->arena, from->host);
    return to->name.data && to->principal.data && to->host.data;
}

/* ---- DescribeAcls -------------------------------------------------------------------------------------------------------- */

static int
by_resource(const void *a, const void *b)
{
    const struct acl *x = a, *y = b;
    if (x->resource != y->resource)
        return x->resource - y->resource;
    if (x->pattern != y->pattern)
        return x->pattern - y->pattern;
    return cairn_str_order(x->name, y->name);
}

static bool
put_resources(struct kafka_call *call, struct acl *list, size_t count, struct kafka_describe_acls_response *out)
{
    struct kafka_describe_acls_response_acl *all = KAFKA_LIST(call, describe_acls_response_acl, count);
    out->resources = KAFKA_LIST(call, describe_acls_response_resource, count);
    if (!all || !out->resources)
        return false;
    if (count > 0)
        qsort(list, count, sizeof *list, by_resource);
    for (size_t i = 0; i < count; i++) {
        struct kafka_describe_acls_response_resource *to = out->resources + out->resources_count;
        if (i == 0 || by_resource(&list[i - 1], &list[i]) != 0) {
            to->resource_type = list[i].resource;
            to->resource_name = list[i].name;
            to->pattern_type = list[i].pattern;
            to->acls = all + i;
            out->resources_count++;
        } else
            to--;
        all[i].principal = list[i].principal;
        all[i].host = list[i].host;
        all[i].operation = list[i].operation;
        all[i].permission_type = list[i].permission;
        to->acls_count++;
    }
    return true;
}

void
answer_describe_acls(struct kafka_call *call)
{
    const struct kafka_describe_acls_request *in = KAFKA_REQUEST(call, describe_acls);
    struct acls *acls = calls_of(call)->acls;
    struct filter filter = {in->resource_type_filter, in->pattern_type_filter, in->operation, in->permission_type,
                            in->resource_name_filter, in->principal_filter, in->host_filter};
    struct kafka_describe_acls_response out;
    size_t count = 0;
    KAFKA_DEFAULTS(describe_acls_response, &out);
    if (!filter_known(&filter)) {
        out.error_code = KAFKA_INVALID_REQUEST;
        out.error_message = CAIRN_STR("The filter has a number that is unknown.");
        kafka_respond(call, &out);
        return;
    }
    pthread_mutex_lock(&acls->lock);
    struct acl *list = arena_alloc(&call->arena, (acls->count + 1) * sizeof *list);
    bool fine = list != NULL;
    for (size_t i = 0; fine && i < acls->count; i++)
        if (fits(&filter, &acls->list[i]->acl))
            fine = copy_acl(call, &acls->list[i]->acl, &list[count++]);
    pthread_mutex_unlock(&acls->lock);
    if (fine && put_resources(call, list, count, &out))
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

/* ---- DeleteAcls ---------------------------------------------------------------------------------------------------------- */

/* Under the lock: what one filter takes away. */
static cairn_err
delete_matching(struct acls *acls, struct kafka_call *call, const struct filter *filter,
                struct kafka_delete_acls_response_filter_result *to)
{
    struct stored **matching = arena_alloc(&call->arena, (acls->count + 1) * sizeof *matching);
    size_t count = 0;
    cairn_err err = matching ? CAIRN_OK : CAIRN_E_NOMEM;
    for (size_t i = 0; matching && i < acls->count && count < CHANGE_MAX; i++)
        if (fits(filter, &acls->list[i]->acl))
            matching[count++] = acls->list[i];
    to->matching_acls = KAFKA_LIST(call, delete_acls_response_matching_acl, count);
    if (!to->matching_acls)
        err = CAIRN_E_NOMEM;
    for (size_t i = 0; err == CAIRN_OK && i < count; i++) {
        struct kafka_delete_acls_response_matching_acl *out = &to->matching_acls[i];
        struct acl acl;
        if (!copy_acl(call, &matching[i]->acl, &acl))
            err = CAIRN_E_NOMEM;
        out->resource_type = acl.resource;
        out->resource_name = acl.name;
        out->pattern_type = acl.pattern;
        out->principal = acl.principal;
        out->host = acl.host;
        out->operation = acl.operation;
        out->permission_type = acl.permission;
    }
    if (err == CAIRN_OK && count > 0)
        err = append(acls, call, "AclDeleted", matching, count);
    if (err != CAIRN_OK)
        return err;
    to->matching_acls_count = (int32_t)count;
    for (size_t i = 0; i < count; i++)
        drop(acls, index_of(acls, &matching[i]->acl));
    return CAIRN_OK;
}

void
answer_delete_acls(struct kafka_call *call)
{
    const struct kafka_delete_acls_request *in = KAFKA_REQUEST(call, delete_acls);
    struct acls *acls = calls_of(call)->acls;
    struct kafka_delete_acls_response out;
    KAFKA_DEFAULTS(delete_acls_response, &out);
    out.filter_results = KAFKA_LIST(call, delete_acls_response_filter_result, (size_t)in->filters_count);
    if (!out.filter_results) {
        kafka_no_memory(call);
        return;
    }
    pthread_mutex_lock(&acls->lock);
    for (int32_t i = 0; i < in->filters_count; i++) {
        const struct kafka_delete_acls_request_filter *asked = &in->filters[i];
        struct kafka_delete_acls_response_filter_result *to = &out.filter_results[out.filter_results_count++];
        struct filter filter = {asked->resource_type_filter, asked->pattern_type_filter, asked->operation, asked->permission_type,
                                asked->resource_name_filter, asked->principal_filter, asked->host_filter};
        enum kafka_err err = KAFKA_INVALID_REQUEST;
        if (filter_known(&filter)) {
            cairn_err done = delete_matching(acls, call, &filter, to);
            err = done == CAIRN_OK ? KAFKA_NONE : kafka_err_of(done);
        }
        to->error_code = (int16_t)err;
        to->error_message = error_text(err);
    }
    pthread_mutex_unlock(&acls->lock);
    kafka_respond(call, &out);
}
