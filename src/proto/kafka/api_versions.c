/* ApiVersions: what this server understands. Told from the tables, so that it cannot be untrue: a message is there when it has a
 * handler. Clients choose for each message the highest version that both sides have. */
#include <proto/kafka/kafka_int.h>

/* What the client says of itself, for lists and logs; Kafka holds names to these letters too (KIP-511). Cut at `room`. */
static bool
copy_name(char *to, size_t room, cairn_str name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && ((c != '-' && c != '.') || i == 0 || i + 1 == name.size))
            return false;
    }
    size_t size = name.size < room ? name.size : room - 1;
    memcpy(to, name.data, size);
    to[size] = '\0';
    return size > 0;
}

static bool
keep_software(struct kafka_call *call)
{
    const struct kafka_api_versions_request *in = KAFKA_REQUEST(call, api_versions);
    struct kafka_session *session = call->session;
    return call->version < 3 ||
           (copy_name(session->software_name, sizeof session->software_name, in->client_software_name) &&
            copy_name(session->software_version, sizeof session->software_version, in->client_software_version));
}

void
kafka_answer_api_versions(struct kafka_call *call)
{
    const struct kafka_handler *handlers = kafka_config_of(call->server)->calls->handlers;
    struct kafka_api_versions_response_api_key keys[KAFKA_KEYS];
    struct kafka_api_versions_response out;
    KAFKA_DEFAULTS(api_versions_response, &out);
    if (!keep_software(call)) {
        out.error_code = KAFKA_INVALID_REQUEST;
        kafka_respond(call, &out);
        return;
    }
    out.api_keys = keys;
    for (int16_t key = 0; key < KAFKA_KEYS; key++) {
        const struct kafka_message *message = kafka_message_of(key);
        if (message && handlers[key].run)
            keys[out.api_keys_count++] =
                (struct kafka_api_versions_response_api_key){key, message->advertised, message->last};
    }
    kafka_respond(call, &out);
}
