/* Which calls there are, and what they have in common. */
#include <proto/kafka/calls_int.h>

#include <base/error.h>
#include <os/os.h>
#include <stdlib.h>
#include <store/store.h>

cairn_str
why_text(struct kafka_call *call, enum kafka_err err, const struct broker_why *why)
{
    cairn_str text = err == KAFKA_NONE || !why->text[0] ? error_text(err) : arena_copy(&call->arena, cairn_cstr(why->text));
    return err != KAFKA_NONE && !text.data ? error_text(err) : text;
}

int64_t
wall_ms(void)
{
    return os_now_us(os_real()) / 1000;
}

cairn_topic_ref *
find_topic(struct kafka_call *call, cairn_str name, enum kafka_err *ret)
{
    struct calls *calls = calls_of(call);
    cairn_topic_ref *ref = NULL;
    cairn_err err = cairn_topic_get(calls->store, calls->scope, name, &ref, NULL);
    *ret = err == CAIRN_OK                                        ? KAFKA_NONE
           : err == CAIRN_E_NOTFOUND || err == CAIRN_E_INVALID    ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                                                  : kafka_err_of(err);
    return err == CAIRN_OK ? ref : NULL;
}

enum kafka_err
check_partition(struct kafka_call *call, cairn_str name, int32_t partition)
{
    enum kafka_err err;
    cairn_topic_ref *ref = find_topic(call, name, &err);
    if (ref && (partition < 0 || (uint32_t)partition >= cairn_topic_of(ref)->partitions))
        err = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    cairn_topic_release(ref);
    return err;
}

/* Bits by the numbers of Kafka's operations: read 3, write 4, create 5, delete 6, alter 7, describe 8, cluster action 9,
 * describe configs 10, alter configs 11, idempotent write 12. */
int32_t
authorized(bool asked, enum authorized kind)
{
    static const int32_t bits[] = {
        [AUTHORIZED_TOPIC] = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11,
        [AUTHORIZED_GROUP] = 1 << 3 | 1 << 6 | 1 << 8,
        [AUTHORIZED_CLUSTER] = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12,
    };
    return asked ? bits[kind] : INT32_MIN;
}

/* ---- life ---------------------------------------------------------------------------------------------------------------- */

static void
calls_free(struct calls *calls)
{
    if (!calls)
        return;
    fetches_free(calls->fetches);
    acls_free(calls->acls);
    kafka_sasl_free(calls->own_sasl);
    free(calls);
}

static cairn_err
start(struct kafka_server *server, void **ret_state, cairn_error *error)
{
    const struct kafka_config *config = kafka_config_of(server);
    struct calls *calls = calloc(1, sizeof *calls);
    cairn_err err = calls ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (err == CAIRN_OK) {
        calls->server = server;
        calls->broker = config->broker;
        calls->groups = config->groups;
        calls->store = broker_store(config->broker);
        calls->scope = broker_scope(config->broker);
        err = fetches_new(calls, &calls->fetches, error);
    }
    if (err == CAIRN_OK)
        err = acls_new(calls->store, calls->scope, &calls->acls, error);
    if (err == CAIRN_OK && !config->sasl)
        err = kafka_sasl_new(calls->store, calls->scope, &(struct kafka_sasl_options){.mechanisms = ""}, &calls->own_sasl, error);
    if (err != CAIRN_OK) {
        calls_free(calls);
        return err;
    }
    calls->credentials = (config->sasl ? config->sasl : calls->own_sasl)->credentials;
    *ret_state = calls;
    return CAIRN_OK;
}

static void
stop(struct kafka_server *server)
{
    calls_free(kafka_state_of(server));
}

static bool
has_room(struct kafka_server *server)
{
    return store_has_room(((struct calls *)kafka_state_of(server))->store);
}

static void
tick(struct kafka_server *server, int64_t now_ms)
{
    struct calls *calls = kafka_state_of(server);
    groups_tick(calls->groups, now_ms);
    fetches_sweep(calls->fetches);
}

const struct kafka_calls kafka_calls = {
    .handlers = {
        [KAFKA_API_PRODUCE] = {answer_produce, KAFKA_PIPELINED | KAFKA_NEEDS_ROOM},
        [KAFKA_API_FETCH] = {answer_fetch, 0},
        [KAFKA_API_LIST_OFFSETS] = {answer_list_offsets, KAFKA_WORK},
        [KAFKA_API_METADATA] = {answer_metadata, KAFKA_WORK},
        [KAFKA_API_OFFSET_COMMIT] = {answer_offset_commit, 0},
        [KAFKA_API_OFFSET_FETCH] = {answer_offset_fetch, KAFKA_WORK},
        [KAFKA_API_FIND_COORDINATOR] = {answer_find_coordinator, 0},
        [KAFKA_API_JOIN_GROUP] = {answer_join_group, KAFKA_WAITS},
        [KAFKA_API_HEARTBEAT] = {answer_heartbeat, 0},
        [KAFKA_API_LEAVE_GROUP] = {answer_leave_group, KAFKA_OVERTAKES},
        [KAFKA_API_SYNC_GROUP] = {answer_sync_group, KAFKA_WAITS},
        [KAFKA_API_DESCRIBE_GROUPS] = {answer_describe_groups, KAFKA_WORK},
        [KAFKA_API_LIST_GROUPS] = {answer_list_groups, KAFKA_WORK},
        [KAFKA_API_SASL_HANDSHAKE] = {answer_sasl_handshake, KAFKA_BEFORE_LOGIN},
        [KAFKA_API_API_VERSIONS] = {kafka_answer_api_versions, KAFKA_BEFORE_LOGIN},
        [KAFKA_API_CREATE_TOPICS] = {answer_create_topics, KAFKA_WORK},
        [KAFKA_API_DELETE_TOPICS] = {answer_delete_topics, KAFKA_WORK},
        [KAFKA_API_DELETE_RECORDS] = {answer_delete_records, KAFKA_WORK},
        [KAFKA_API_INIT_PRODUCER_ID] = {answer_init_producer_id, KAFKA_WORK},
        [KAFKA_API_OFFSET_FOR_LEADER_EPOCH] = {answer_offset_for_leader_epoch, KAFKA_WORK},
        [KAFKA_API_ADD_PARTITIONS_TO_TXN] = {answer_add_partitions_to_txn, KAFKA_WORK},
        [KAFKA_API_ADD_OFFSETS_TO_TXN] = {answer_add_offsets_to_txn, KAFKA_WORK},
        [KAFKA_API_END_TXN] = {answer_end_txn, KAFKA_WORK},
        [KAFKA_API_TXN_OFFSET_COMMIT] = {answer_txn_offset_commit, KAFKA_WORK},
        [KAFKA_API_DESCRIBE_ACLS] = {answer_describe_acls, KAFKA_WORK},
        [KAFKA_API_CREATE_ACLS] = {answer_create_acls, KAFKA_WORK},
        [KAFKA_API_DELETE_ACLS] = {answer_delete_acls, KAFKA_WORK},
        [KAFKA_API_DESCRIBE_CONFIGS] = {answer_describe_configs, KAFKA_WORK},
        [KAFKA_API_ALTER_CONFIGS] = {answer_alter_configs, KAFKA_WORK},
        [KAFKA_API_SASL_AUTHENTICATE] = {answer_sasl_authenticate, KAFKA_WORK | KAFKA_BEFORE_LOGIN},
        [KAFKA_API_CREATE_PARTITIONS] = {answer_create_partitions, KAFKA_WORK},
        [KAFKA_API_DELETE_GROUPS] = {answer_delete_groups, KAFKA_WORK},
        [KAFKA_API_INCREMENTAL_ALTER_CONFIGS] = {answer_incremental_alter_configs, KAFKA_WORK},
        [KAFKA_API_OFFSET_DELETE] = {answer_offset_delete, KAFKA_WORK},
        [KAFKA_API_DESCRIBE_CLIENT_QUOTAS] = {answer_describe_client_quotas, 0},
        [KAFKA_API_DESCRIBE_USER_SCRAM_CREDENTIALS] = {answer_describe_user_scram_credentials, KAFKA_WORK},
        [KAFKA_API_ALTER_USER_SCRAM_CREDENTIALS] = {answer_alter_user_scram_credentials, KAFKA_WORK},
        [KAFKA_API_DESCRIBE_CLUSTER] = {answer_describe_cluster, 0},
        [KAFKA_API_DESCRIBE_PRODUCERS] = {answer_describe_producers, KAFKA_WORK},
        [KAFKA_API_DESCRIBE_TRANSACTIONS] = {answer_describe_transactions, KAFKA_WORK},
        [KAFKA_API_LIST_TRANSACTIONS] = {answer_list_transactions, KAFKA_WORK},
        [KAFKA_API_CONSUMER_GROUP_HEARTBEAT] = {answer_consumer_group_heartbeat, 0},
        [KAFKA_API_CONSUMER_GROUP_DESCRIBE] = {answer_consumer_group_describe, KAFKA_WORK},
        [KAFKA_API_DESCRIBE_TOPIC_PARTITIONS] = {answer_describe_topic_partitions, KAFKA_WORK},
    },
    .start = start,
    .stop = stop,
    .has_room = has_room,
    .tick = tick,
    .session_end = sasl_session_end,
};
