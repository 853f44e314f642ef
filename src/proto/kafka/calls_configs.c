/* Settings: DescribeConfigs, AlterConfigs, IncrementalAlterConfigs. Topics have settings of their own; the broker's are told and
 * cannot be changed from here. */
#include <proto/kafka/calls_int.h>

#include <base/text.h>
#include <stdio.h>

/* KIP-226, KIP-569: kinds of resources, where a value comes from, what it is. */
enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };
enum { SOURCE_TOPIC = 1, SOURCE_STATIC = 4, SOURCE_DEFAULT = 5 };

static int8_t
type_code(const char *type)
{
    static const char *const types[] = {"", "boolean", "string", "int", "short", "long", "double", "list", "class", "password"};
    for (size_t i = 1; i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i]) == 0)
            return (int8_t)i;
    return 0;
}

static bool
is_asked(const struct kafka_describe_configs_request_resource *in, const char *name)
{
    if (in->configuration_keys_count < 0) /* null: all */
        return true;
    for (int32_t i = 0; i < in->configuration_keys_count; i++)
        if (cairn_str_equal(in->configuration_keys[i], cairn_cstr(name)))
            return true;
    return false;
}

static bool
put_synonyms(struct kafka_call *call, const struct broker_setting *setting, struct kafka_describe_configs_response_config *to)
{
    bool own = to->config_source == SOURCE_TOPIC;
    to->synonyms = KAFKA_LIST(call, describe_configs_response_synonym, 2);
    if (!to->synonyms)
        return false;
    if (own)
        to->synonyms[to->synonyms_count++] =
            (struct kafka_describe_configs_response_synonym){to->name, to->value, SOURCE_TOPIC};
    to->synonyms[to->synonyms_count++] =
        (struct kafka_describe_configs_response_synonym){
            to->name, broker_setting_default(calls_of(call)->broker, setting), SOURCE_DEFAULT};
    return true;
}

static bool
put_setting(struct kafka_call *call, const cairn_topic *topic, const struct broker_setting *setting,
            struct kafka_describe_configs_response_config *to)
{
    const struct kafka_describe_configs_request *in = KAFKA_REQUEST(call, describe_configs);
    bool otherwise;
    cairn_str value = broker_setting_get(calls_of(call)->broker, topic, setting->name, &otherwise);
    to->name = cairn_cstr(setting->name);
    to->value = arena_copy(&call->arena, value);
    to->is_default = otherwise;
    to->config_source = otherwise ? SOURCE_DEFAULT : SOURCE_TOPIC;
    to->config_type = type_code(setting->type);
    to->documentation = in->include_documentation ? cairn_cstr(setting->doc) : (cairn_str){0};
    return to->value.data && (!in->include_synonyms || put_synonyms(call, setting, to));
}

static bool
describe_topic(struct kafka_call *call, const struct kafka_describe_configs_request_resource *in,
               struct kafka_describe_configs_response_result *to)
{
    size_t count;
    const struct broker_setting *settings = broker_settings(&count);
    enum kafka_err err;
    cairn_topic_ref *ref = find_topic(call, in->resource_name, &err);
    to->error_code = (int16_t)err;
    to->error_message = error_text(err);
    if (!ref)
        return true;
    to->configs = KAFKA_LIST(call, describe_configs_response_config, count);
    bool fine = to->configs != NULL;
    for (size_t i = 0; fine && i < count; i++)
        if (is_asked(in, settings[i].name))
            fine = put_setting(call, cairn_topic_of(ref), &settings[i], &to->configs[to->configs_count++]);
    cairn_topic_release(ref);
    return fine;
}

static bool
describe_broker(struct kafka_call *call, const struct kafka_describe_configs_request_resource *in,
                struct kafka_describe_configs_response_result *to)
{
    char listeners[320], node[16];
    cairn_str host;
    int32_t port;
    uint64_t id;
    if (in->resource_name.size > 0 && (!parse_u64(in->resource_name, &id) || id != KAFKA_NODE_ID)) {
        to->error_code = KAFKA_INVALID_REQUEST;
        to->error_message = CAIRN_STR("There is no such broker.");
        return true;
    }
    kafka_advertised(call, &host, &port);
    snprintf(node, sizeof node, "%d", KAFKA_NODE_ID);
    bool v6 = memchr(host.data, ':', host.size) != NULL;
    snprintf(listeners, sizeof listeners, "%s://%s%.*s%s:%d", call->session->tls ? "SSL" : "PLAINTEXT", v6 ? "[" : "", (int)host.size,
             host.data, v6 ? "]" : "", port);
    const struct {
        const char *name, *type, *value;
    } known[] = {
        {"broker.id", "int", node},
        {"node.id", "int", node},
        {"advertised.listeners", "string", listeners},
        {"default.replication.factor", "int", "1"},
        {"offsets.topic.replication.factor", "short", "1"},
        {"transaction.state.log.replication.factor", "short", "1"},
        {"min.insync.replicas", "int", "1"},
        {"auto.create.topics.enable", "boolean", broker_auto_creates(calls_of(call)->broker) ? "true" : "false"},
    };
    size_t count = in->resource_name.size > 0 ? sizeof known / sizeof *known : 0; /* "": defaults of all brokers: none are set */
    to->configs = KAFKA_LIST(call, describe_configs_response_config, count);
    for (size_t i = 0; to->configs && i < count; i++) {
        if (!is_asked(in, known[i].name))
            continue;
        struct kafka_describe_configs_response_config *config = &to->configs[to->configs_count++];
        config->name = cairn_cstr(known[i].name);
        config->value = arena_copy(&call->arena, cairn_cstr(known[i].value));
        config->read_only = true;
        config->config_source = SOURCE_STATIC;
        config->config_type = type_code(known[i].type);
        if (!config->value.data)
            return false;
    }
    return to->configs != NULL;
}

void
answer_describe_configs(struct kafka_call *call)
{
    const struct kafka_describe_configs_request *in = KAFKA_REQUEST(call, describe_configs);
    struct kafka_describe_configs_response out;
    KAFKA_DEFAULTS(describe_configs_response, &out);
    out.results = KAFKA_LIST(call, describe_configs_response_result, (size_t)in->resources_count);
    bool fine = out.results != NULL;
    for (int32_t i = 0; fine && i < in->resources_count; i++) {
        const struct kafka_describe_configs_request_resource *asked = &in->resources[i];
        struct kafka_describe_configs_response_result *to = &out.results[out.results_count++];
        to->resource_type = asked->resource_type;
        to->resource_name = asked->resource_name;
        if (asked->resource_type == RESOURCE_TOPIC)
            fine = describe_topic(call, asked, to);
        else if (asked->resource_type == RESOURCE_BROKER)
            fine = describe_broker(call, asked, to);
        else {
            to->error_code = KAFKA_INVALID_REQUEST;
            to->error_message = CAIRN_STR("Topics and brokers have settings; nothing else does.");
        }
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

/* ---- changing ------------------------------------------------------------------------------------------------------------ */

static enum kafka_err
change(struct kafka_call *call, int8_t type, cairn_str name, const struct broker_pair *pairs, size_t count, bool replace,
       bool validate_only, cairn_str *ret_message)
{
    struct broker_why why = {{0}};
    if (type != RESOURCE_TOPIC) {
        *ret_message = type == RESOURCE_BROKER ? CAIRN_STR("The broker's settings are in the server's configuration.")
                                               : CAIRN_STR("Only topics have settings that can be changed.");
        return KAFKA_INVALID_REQUEST;
    }
    for (size_t i = 0; i < count; i++)
        if (!pairs[i].value.data && pairs[i].op != PAIR_DELETE) {
            *ret_message = CAIRN_STR("A setting has no value.");
            return KAFKA_INVALID_CONFIG;
        }
    enum kafka_err err = broker_topic_configure(calls_of(call)->broker, name, pairs, count, replace, validate_only, &why);
    *ret_message = why_text(call, err, &why);
    return err;
}

void
answer_alter_configs(struct kafka_call *call)
{
    const struct kafka_alter_configs_request *in = KAFKA_REQUEST(call, alter_configs);
    struct kafka_alter_configs_response out;
    KAFKA_DEFAULTS(alter_configs_response, &out);
    out.responses = KAFKA_LIST(call, alter_configs_response_response, (size_t)in->resources_count);
    bool fine = out.responses != NULL;
    for (int32_t i = 0; fine && i < in->resources_count; i++) {
        const struct kafka_alter_configs_request_resource *asked = &in->resources[i];
        struct kafka_alter_configs_response_response *to = &out.responses[out.responses_count++];
        struct broker_pair *pairs = arena_alloc(&call->arena, ((size_t)asked->configs_count + 1) * sizeof *pairs);
        fine = pairs != NULL;
        for (int32_t n = 0; fine && n < asked->configs_count; n++)
            pairs[n] = (struct broker_pair){asked->configs[n].name, asked->configs[n].value,
                                            asked->configs[n].value.data ? PAIR_SET : PAIR_DELETE};
        to->resource_type = asked->resource_type;
        to->resource_name = asked->resource_name;
        if (fine)
            to->error_code = (int16_t)change(call, asked->resource_type, asked->resource_name, pairs,
                                             (size_t)asked->configs_count, true, in->validate_only, &to->error_message);
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

void
answer_incremental_alter_configs(struct kafka_call *call)
{
    const struct kafka_incremental_alter_configs_request *in = KAFKA_REQUEST(call, incremental_alter_configs);
    struct kafka_incremental_alter_configs_response out;
    KAFKA_DEFAULTS(incremental_alter_configs_response, &out);
    out.responses = KAFKA_LIST(call, incremental_alter_configs_response_response, (size_t)in->resources_count);
    bool fine = out.responses != NULL;
    for (int32_t i = 0; fine && i < in->resources_count; i++) {
        const struct kafka_incremental_alter_configs_request_resource *asked = &in->resources[i];
        struct kafka_incremental_alter_configs_response_response *to = &out.responses[out.responses_count++];
        struct broker_pair *pairs = arena_alloc(&call->arena, ((size_t)asked->configs_count + 1) * sizeof *pairs);
        bool known = true;
        fine = pairs != NULL;
        for (int32_t n = 0; fine && n < asked->configs_count; n++) {
            int8_t op = asked->configs[n].config_operation; /* KIP-339: the numbers are those of the enum */
            known &= op >= PAIR_SET && op <= PAIR_SUBTRACT;
            pairs[n] = (struct broker_pair){asked->configs[n].name, asked->configs[n].value, known ? op : PAIR_SET};
        }
        to->resource_type = asked->resource_type;
        to->resource_name = asked->resource_name;
        if (fine && !known) {
            to->error_code = KAFKA_INVALID_REQUEST;
            to->error_message = CAIRN_STR("There is no such operation on a setting.");
        } else if (fine)
            to->error_code = (int16_t)change(call, asked->resource_type, asked->resource_name, pairs,
                                             (size_t)asked->configs_count, false, in->validate_only, &to->error_message);
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}
