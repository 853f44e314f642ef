/* Users: their SCRAM credentials (KIP-554): DescribeUserScramCredentials, AlterUserScramCredentials; and DescribeClientQuotas. */
#include <proto/kafka/calls_int.h>

#include <openssl/crypto.h>

/* Kafka's numbers: 1 is SCRAM-SHA-256, 2 is SCRAM-SHA-512. */
static bool
mechanism_of(int8_t number, enum sasl_mechanism *ret)
{
    *ret = number == 2 ? SASL_SCRAM_SHA_512 : SASL_SCRAM_SHA_256;
    return number == 1 || number == 2;
}

/* ---- describing ---------------------------------------------------------------------------------------------------------- */

static bool
put_infos(struct kafka_call *call, const uint32_t iterations[2], struct kafka_describe_user_scram_credentials_response_result *to)
{
    to->credential_infos = KAFKA_LIST(call, describe_user_scram_credentials_response_credential_info, 2);
    for (int8_t i = 0; to->credential_infos && i < 2; i++)
        if (iterations[i] > 0)
            to->credential_infos[to->credential_infos_count++] =
                (struct kafka_describe_user_scram_credentials_response_credential_info){
                    .mechanism = (int8_t)(i + 1), .iterations = (int32_t)iterations[i]};
    return to->credential_infos != NULL;
}

struct describing {
    struct kafka_call *call;
    struct kafka_describe_user_scram_credentials_response out;
    size_t room;
    bool failed;
};

static bool
visit_user(void *context, cairn_str name, const uint32_t iterations[2])
{
    struct describing *describing = context;
    struct kafka_describe_user_scram_credentials_response *out = &describing->out;
    if ((size_t)out->results_count == describing->room) {
        size_t room = describing->room ? describing->room * 2 : 16;
        struct kafka_describe_user_scram_credentials_response_result *list =
            KAFKA_LIST(describing->call, describe_user_scram_credentials_response_result, room);
        if (!list) {
            describing->failed = true;
            return false;
        }
        if (out->results_count > 0)
            memcpy(list, out->results, (size_t)out->results_count * sizeof *list);
        out->results = list;
        describing->room = room;
    }
    struct kafka_describe_user_scram_credentials_response_result *to = &out->results[out->results_count++];
    to->user = arena_copy(&describing->call->arena, name);
    describing->failed = !to->user.data || !put_infos(describing->call, iterations, to);
    return !describing->failed;
}

static bool
describe_named(struct kafka_call *call, const struct kafka_describe_user_scram_credentials_request *in,
               struct kafka_describe_user_scram_credentials_response *out)
{
    struct sasl_users *users = credentials_users(calls_of(call)->credentials);
    bool fine;
    out->results = KAFKA_LIST(call, describe_user_scram_credentials_response_result, (size_t)in->users_count);
    fine = out->results != NULL;
    for (int32_t i = 0; fine && i < in->users_count; i++) {
        struct kafka_describe_user_scram_credentials_response_result *to = &out->results[out->results_count++];
        struct sasl_credential kept[2] = {{0}, {0}};
        (void)sasl_users_get(users, in->users[i].name, SASL_SCRAM_SHA_256, &kept[0]);
        (void)sasl_users_get(users, in->users[i].name, SASL_SCRAM_SHA_512, &kept[1]);
        uint32_t iterations[2] = {kept[0].iterations, kept[1].iterations};
        OPENSSL_cleanse(kept, sizeof kept);
        to->user = in->users[i].name;
        if (iterations[0] == 0 && iterations[1] == 0) {
            to->error_code = KAFKA_RESOURCE_NOT_FOUND;
            to->error_message = CAIRN_STR("There is no such user.");
        }
        fine = put_infos(call, iterations, to);
    }
    return fine;
}

void
answer_describe_user_scram_credentials(struct kafka_call *call)
{
    const struct kafka_describe_user_scram_credentials_request *in = KAFKA_REQUEST(call, describe_user_scram_credentials);
    struct describing describing = {.call = call};
    KAFKA_DEFAULTS(describe_user_scram_credentials_response, &describing.out);
    if (in->users_count > 0)
        describing.failed = !describe_named(call, in, &describing.out);
    else /* null or none: all */
        sasl_users_each(credentials_users(calls_of(call)->credentials), visit_user, &describing);
    if (describing.failed)
        kafka_no_memory(call);
    else
        kafka_respond(call, &describing.out);
}

/* ---- altering ------------------------------------------------------------------------------------------------------------ */

static enum kafka_err
alter(struct kafka_call *call, cairn_str name, int8_t number, const struct sasl_credential *credential, cairn_str *ret_message)
{
    enum sasl_mechanism mechanism;
    cairn_error error = {0};
    if (!mechanism_of(number, &mechanism)) {
        *ret_message = CAIRN_STR("The mechanism is neither SCRAM-SHA-256 nor SCRAM-SHA-512.");
        return KAFKA_UNSUPPORTED_SASL_MECHANISM;
    }
    cairn_err err = credentials_put(calls_of(call)->credentials, name, mechanism, credential, &error);
    if (err == CAIRN_OK)
        return KAFKA_NONE;
    *ret_message = arena_copy(&call->arena, cairn_cstr(error.detail));
    return err == CAIRN_E_NOTFOUND                           ? KAFKA_RESOURCE_NOT_FOUND
           : err == CAIRN_E_INVALID || err == CAIRN_E_READONLY ? KAFKA_UNACCEPTABLE_CREDENTIAL
                                                             : kafka_err_of(err);
}

static enum kafka_err
upsert(struct kafka_call *call, const struct kafka_alter_user_scram_credentials_request_upsertion *in, cairn_str *ret_message)
{
    struct sasl_credential credential = {0};
    enum sasl_mechanism mechanism;
    if (!mechanism_of(in->mechanism, &mechanism))
        return alter(call, in->name, in->mechanism, &credential, ret_message);
    size_t size = mechanism == SASL_SCRAM_SHA_512 ? 64 : 32;
    if (in->iterations < (int32_t)SASL_ITERATIONS_MIN || in->iterations > (int32_t)SASL_ITERATIONS_MAX) {
        *ret_message = CAIRN_STR("Iterations are 4096 to 16384.");
        return KAFKA_UNACCEPTABLE_CREDENTIAL;
    }
    if (in->name.size == 0 || in->name.size > SASL_NAME_MAX || in->salt.size == 0 || in->salt.size > SASL_SALT_MAX ||
        in->salted_password.size != size) {
        *ret_message = CAIRN_STR("Name, salt or salted password has a size that cannot be.");
        return KAFKA_UNACCEPTABLE_CREDENTIAL;
    }
    if (!sasl_derive_salted(mechanism, in->salted_password, in->salt, (uint32_t)in->iterations, &credential))
        return KAFKA_UNKNOWN_SERVER_ERROR;
    enum kafka_err err = alter(call, in->name, in->mechanism, &credential, ret_message);
    OPENSSL_cleanse(&credential, sizeof credential);
    return err;
}

void
answer_alter_user_scram_credentials(struct kafka_call *call)
{
    const struct kafka_alter_user_scram_credentials_request *in = KAFKA_REQUEST(call, alter_user_scram_credentials);
    struct kafka_alter_user_scram_credentials_response out;
    size_t count = (size_t)in->deletions_count + (size_t)in->upsertions_count;
    KAFKA_DEFAULTS(alter_user_scram_credentials_response, &out);
    out.results = KAFKA_LIST(call, alter_user_scram_credentials_response_result, count);
    if (!out.results) {
        kafka_no_memory(call);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct kafka_alter_user_scram_credentials_response_result *to = &out.results[out.results_count++];
        struct sasl_credential none = {0};
        size_t upserted = i - (size_t)in->deletions_count;
        enum kafka_err err;
        if (i < (size_t)in->deletions_count) {
            to->user = in->deletions[i].name;
            err = alter(call, to->user, in->deletions[i].mechanism, &none, &to->error_message);
        } else {
            to->user = in->upsertions[upserted].name;
            err = upsert(call, &in->upsertions[upserted], &to->error_message);
        }
        to->error_code = (int16_t)err;
        if (err != KAFKA_NONE && !to->error_message.data)
            to->error_message = error_text(err);
    }
    kafka_respond(call, &out);
}

/* ---- quotas ------------------------------------------------------------------------------------------------------------------ */

/* There are none: which admin tools want to hear before they show anything of a user. */
void
answer_describe_client_quotas(struct kafka_call *call)
{
    struct kafka_describe_client_quotas_response out;
    KAFKA_DEFAULTS(describe_client_quotas_response, &out);
    out.entries_count = 0;
    kafka_respond(call, &out);
}
