/* Relays: topics that go to a Kafka, and topics of a Kafka that come here. A secret among a relay's settings is never shown: what was
 * given as {"env":"NAME"} is, since it is only a name. */
#include <proto/http/api_kafka.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <bus/relay.h>

#define HIDDEN "\u2022\u2022\u2022"

/* Whatever is called a password, a secret or a key in a PEM text. */
static bool
is_secret(cairn_str name)
{
    static const char *const words[] = {"password", "secret", "pem", "token"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (memmem(name.data, name.size, words[i], strlen(words[i])))
            return true;
    return false;
}

static void
put_client(struct buf *to, cairn_str client)
{
    struct json_walk walk = json_walk(json_trusted(client));
    struct json name, value;
    json_put_name(to, "client");
    buf_put_char(to, '{');
    while (json_next(&walk, &name, &value)) {
        json_put_comma(to);
        buf_put_str(to, name.raw);
        buf_put_char(to, ':');
        if (is_secret(name.raw) && value.type != JSON_OBJECT)
            buf_put_str(to, CAIRN_STR("\"" HIDDEN "\""));
        else
            buf_put_str(to, value.raw);
    }
    buf_put_char(to, '}');
}

static void
put_relay(struct buf *to, const struct relay_status *status)
{
    const struct relay_spec *spec = &status->spec;
    json_put_comma(to);
    buf_put_str(to, CAIRN_STR("{\"relay\":"));
    json_put_string(to, spec->name);
    json_put_text_member(to, "direction", spec->out ? CAIRN_STR("out") : CAIRN_STR("in"));
    json_put_text_member(to, "source", spec->source);
    json_put_text_member(to, "target", spec->target.size ? spec->target : spec->source);
    put_client(to, spec->client.size ? spec->client : CAIRN_STR("{}"));
    json_put_bool_member(to, "transactions", spec->transactions);
    json_put_bool_member(to, "paused", spec->paused);
    json_put_text_member(to, "state", cairn_cstr(status->state));
    json_put_text_member(to, "detail", cairn_cstr(status->detail));
    json_put_u64_member(to, "records_total", status->records_total);
    json_put_u64_member(to, "lag", status->lag);
    json_put_name(to, "last_time");
    if (status->last_time_us > 0)
        json_put_time(to, status->last_time_us);
    else
        buf_put_str(to, CAIRN_STR("null"));
    buf_put_char(to, '}');
}

static cairn_err
relays_of(struct api_call *call, struct relays **ret, cairn_error *error)
{
    *ret = call->api->config.relays;
    return *ret ? CAIRN_OK : error_set(error, CAIRN_E_UNSUPPORTED, "this server has no relays");
}

/* ---- looking --------------------------------------------------------------------------------------------------------------------- */

static bool
list_one(void *context, const struct relay_status *status)
{
    put_relay(context, status);
    return true;
}

cairn_err
api_relay_list(struct api_call *call, cairn_error *error)
{
    struct relays *relays;
    cairn_err err = relays_of(call, &relays, error);
    if (err != CAIRN_OK)
        return err;
    buf_put_str(call->out, CAIRN_STR("{\"relays\":["));
    relays_visit(relays, list_one, call->out);
    buf_put_str(call->out, CAIRN_STR("]}"));
    return CAIRN_OK;
}

struct finding {
    cairn_str name;
    struct buf *to;      /* where not NULL: the relay as JSON */
    struct arena *arena; /* where not NULL: for its settings */
    cairn_str client;
    bool found, paused;
};

static bool
find_one(void *context, const struct relay_status *status)
{
    struct finding *finding = context;
    if (!cairn_str_equal(finding->name, status->spec.name))
        return true;
    finding->found = true;
    finding->paused = status->spec.paused;
    if (finding->to)
        put_relay(finding->to, status);
    if (finding->arena && status->spec.client.size)
        finding->client = arena_copy(finding->arena, status->spec.client);
    return false;
}

cairn_err
api_relay_get(struct api_call *call, cairn_error *error)
{
    struct relays *relays;
    struct finding finding = {.name = call->parts[0], .to = call->out};
    cairn_err err = relays_of(call, &relays, error);
    if (err != CAIRN_OK)
        return err;
    relays_visit(relays, find_one, &finding);
    return finding.found ? CAIRN_OK
                         : error_set(error, CAIRN_E_NOTFOUND, "there is no relay '%.*s'",
                                     (int)(call->parts[0].size < 100 ? call->parts[0].size : 100), call->parts[0].data);
}

/* ---- making and changing ------------------------------------------------------------------------------------------------------------ */

/* A relay may be read, changed and put back: a secret that is sent as it is shown stays what it was. */
static cairn_err
restore_secrets(struct api_call *call, struct json client, cairn_str had, cairn_str *ret, cairn_error *error)
{
    struct json_walk walk = json_walk(client);
    struct json name, value, before = had.size ? json_trusted(had) : (struct json){0};
    struct buf text = {0};
    cairn_err err = CAIRN_OK;
    buf_put_char(&text, '{');
    while (err == CAIRN_OK && json_next(&walk, &name, &value)) {
        json_put_comma(&text);
        buf_put_str(&text, name.raw);
        buf_put_char(&text, ':');
        if (value.type == JSON_STRING && json_string_is(value, HIDDEN)) {
            cairn_str key = arena_copy(call->arena, json_string(name, call->arena)); /* with a NUL behind */
            value = key.data ? json_get(before, key.data) : (struct json){0};
            if (value.type == JSON_NONE)
                err = error_set(error, CAIRN_E_INVALID, "client: %.*s: what is shown as '" HIDDEN "' has to be given again",
                                (int)(name.raw.size < 100 ? name.raw.size : 100), name.raw.data);
        }
        buf_put_str(&text, value.raw);
    }
    buf_put_char(&text, '}');
    *ret = text.failed ? (cairn_str){0} : arena_copy(call->arena, buf_str(&text));
    buf_free(&text);
    if (err == CAIRN_OK && !ret->data)
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    return err;
}

cairn_err
api_relay_put(struct api_call *call, cairn_error *error)
{
    struct parse parse = {.arena = call->arena, .error = error};
    struct finding finding = {.name = call->parts[0], .arena = call->arena};
    struct relay_body body;
    struct relays *relays;
    cairn_str client = {0};
    cairn_err err = relays_of(call, &relays, error);
    if (err == CAIRN_OK)
        err = parse_relay(&parse, call->body, &body);
    call->malformed = parse.malformed;
    if (err != CAIRN_OK)
        return err;
    relays_visit(relays, find_one, &finding);
    err = restore_secrets(call, body.client, finding.client, &client, error);
    if (err != CAIRN_OK)
        return err;
    const struct relay_spec spec = {.name = call->parts[0],
                                    .out = body.out,
                                    .source = body.source,
                                    .target = body.target,
                                    .client = client,
                                    .transactions = body.transactions,
                                    .paused = body.has_paused ? body.paused : finding.paused};
    err = relay_put(relays, &spec, error);
    call->status = finding.found ? 200 : 201;
    return err == CAIRN_OK ? api_relay_get(call, error) : err;
}

static cairn_err
pause(struct api_call *call, bool paused, cairn_error *error)
{
    struct relays *relays;
    cairn_err err = relays_of(call, &relays, error);
    if (err == CAIRN_OK)
        err = relay_pause(relays, call->parts[0], paused, error);
    return err == CAIRN_OK ? api_relay_get(call, error) : err;
}

cairn_err
api_relay_pause(struct api_call *call, cairn_error *error)
{
    return pause(call, true, error);
}

cairn_err
api_relay_resume(struct api_call *call, cairn_error *error)
{
    return pause(call, false, error);
}

cairn_err
api_relay_delete(struct api_call *call, cairn_error *error)
{
    struct relays *relays;
    cairn_err err = relays_of(call, &relays, error);
    call->status = 204;
    return err == CAIRN_OK ? relay_delete(relays, call->parts[0], error) : err;
}
