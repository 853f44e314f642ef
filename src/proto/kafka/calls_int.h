/* proto/kafka/calls_int.h: what the handlers (calls_*.c) share: the server's state, and answers that many give. */
#ifndef PROTO_KAFKA_CALLS_INT_H
#define PROTO_KAFKA_CALLS_INT_H

#include <proto/kafka/calls.h>
#include <proto/kafka/kafka_int.h>
#include <proto/kafka/sasl.h>
#include <topic/broker.h>
#include <topic/groups.h>

/* One a server; kafka_state_of(). */
struct calls {
    struct kafka_server *server;
    struct broker *broker;
    struct groups_broker *groups;
    cairn_store *store;
    cairn_scope scope;
    struct fetches *fetches;         /* calls_wait.c */
    struct acls *acls;               /* calls_acls.c */
    struct credentials *credentials; /* credentials.c; config's, or its own */
    struct kafka_sasl *own_sasl;     /* where nobody has to log in */
};

static inline struct calls *
calls_of(const struct kafka_call *call)
{
    return kafka_state_of(call->server);
}

/* Text for an error that has no better one; {NULL, 0} for KAFKA_NONE. */
static inline cairn_str
error_text(enum kafka_err err)
{
    return err == KAFKA_NONE ? (cairn_str){0} : cairn_cstr(kafka_err_message(err));
}
/* `why` where it says something, copied; otherwise the error's own. */
cairn_str why_text(struct kafka_call *call, enum kafka_err err, const struct broker_why *why);
/* {NULL, 0} is null on the wire: what is empty and not null points somewhere. */
static inline cairn_str
not_null(cairn_str text)
{
    return text.data ? text : CAIRN_STR("");
}
static inline int64_t
clock_ms(void)
{
    return kafka_now_ms();
}
int64_t wall_ms(void);

/* A topic by its name. NULL: *ret says why. Released with cairn_topic_release(). */
cairn_topic_ref *find_topic(struct kafka_call *call, cairn_str name, enum kafka_err *ret);
/* Is there such a partition? */
enum kafka_err check_partition(struct kafka_call *call, cairn_str name, int32_t partition);
/* The leader's epoch is always 0: a client that knows a later one is ahead of us. */
static inline enum kafka_err
check_epoch(int32_t epoch)
{
    return epoch > 0 ? KAFKA_UNKNOWN_LEADER_EPOCH : KAFKA_NONE;
}
/* Everything that a resource of this kind allows (KIP-430), since ACLs are not enforced; INT32_MIN when it was not asked for. */
enum authorized { AUTHORIZED_TOPIC, AUTHORIZED_GROUP, AUTHORIZED_CLUSTER };
int32_t authorized(bool asked, enum authorized kind);

/* ---- handlers; those with (w) run on a pool thread ---------------------------------------------------------------------- */

void answer_metadata(struct kafka_call *call);                  /* calls_metadata.c (w) */
void answer_describe_topic_partitions(struct kafka_call *call); /* (w) */
void answer_describe_cluster(struct kafka_call *call);
void answer_find_coordinator(struct kafka_call *call);
void answer_create_topics(struct kafka_call *call);             /* calls_topics.c (w) */
void answer_delete_topics(struct kafka_call *call);             /* (w) */
void answer_create_partitions(struct kafka_call *call);         /* (w) */
void answer_delete_records(struct kafka_call *call);            /* (w) */
void answer_describe_configs(struct kafka_call *call);          /* calls_configs.c (w) */
void answer_alter_configs(struct kafka_call *call);             /* (w) */
void answer_incremental_alter_configs(struct kafka_call *call); /* (w) */
void answer_produce(struct kafka_call *call);                   /* calls_produce.c; goes on on a pool thread itself */
void answer_fetch(struct kafka_call *call);                     /* calls_fetch.c; goes on on a pool thread itself */
void answer_list_offsets(struct kafka_call *call);              /* calls_offsets.c (w) */
void answer_offset_for_leader_epoch(struct kafka_call *call);   /* (w) */
void answer_init_producer_id(struct kafka_call *call);          /* calls_transactions.c (w) */
void answer_add_partitions_to_txn(struct kafka_call *call);     /* (w) */
void answer_add_offsets_to_txn(struct kafka_call *call);        /* (w) */
void answer_end_txn(struct kafka_call *call);                   /* (w) */
void answer_txn_offset_commit(struct kafka_call *call);         /* (w) */
void answer_describe_producers(struct kafka_call *call);        /* calls_producers.c (w) */
void answer_describe_transactions(struct kafka_call *call);     /* (w) */
void answer_list_transactions(struct kafka_call *call);         /* (w) */
void answer_join_group(struct kafka_call *call);                /* calls_groups.c */
void answer_sync_group(struct kafka_call *call);
void answer_heartbeat(struct kafka_call *call);
void answer_leave_group(struct kafka_call *call);
void answer_consumer_group_heartbeat(struct kafka_call *call);
void answer_offset_commit(struct kafka_call *call);             /* calls_group_offsets.c */
void answer_offset_fetch(struct kafka_call *call);              /* (w) */
void answer_offset_delete(struct kafka_call *call);             /* (w) */
void answer_describe_groups(struct kafka_call *call);           /* calls_group_admin.c (w) */
void answer_list_groups(struct kafka_call *call);               /* (w) */
void answer_delete_groups(struct kafka_call *call);             /* (w) */
void answer_consumer_group_describe(struct kafka_call *call);   /* (w) */
void answer_describe_acls(struct kafka_call *call);             /* calls_acls.c (w) */
void answer_create_acls(struct kafka_call *call);               /* (w) */
void answer_delete_acls(struct kafka_call *call);               /* (w) */
void answer_describe_client_quotas(struct kafka_call *call);          /* calls_users.c */
void answer_describe_user_scram_credentials(struct kafka_call *call); /* calls_users.c (w) */
void answer_alter_user_scram_credentials(struct kafka_call *call);    /* (w) */
void answer_sasl_handshake(struct kafka_call *call);            /* calls_sasl.c */
void answer_sasl_authenticate(struct kafka_call *call);         /* (w) */
void sasl_session_end(struct kafka_session *session);

/* ---- state of its own ------------------------------------------------------------------------------------------------------ */

/* Waiting fetches and the memory of all (calls_wait.c). */
CAIRN_MUST_CHECK cairn_err fetches_new(struct calls *calls, struct fetches **ret, cairn_error *error);
void fetches_free(struct fetches *fetches);
/* This partition has so many more records: wake who waits for it. Once for each record; any thread; nothing much when nobody waits. */
void fetches_moved(struct fetches *fetches, const cairn_uuid *topic_id, uint32_t partition, uint64_t records);
/* Look at all partitions that are waited for. Any thread. */
void fetches_sweep(struct fetches *fetches);

CAIRN_MUST_CHECK cairn_err acls_new(cairn_store *store, cairn_scope scope, struct acls **ret, cairn_error *error);
void acls_free(struct acls *acls);

/* SCRAM credentials in the store (credentials.c). users: of those in the file and those in the store. */
struct kafka_sasl {
    struct sasl_rules rules;
    struct sasl_keys *keys;
    struct credentials *credentials;
    int64_t session_max_ms;
    char issuer[256], audience[256];
};
struct credentials;
/* login: somebody will have to log in, so what tells users apart from others is kept. */
CAIRN_MUST_CHECK cairn_err credentials_open(cairn_store *store, cairn_scope scope, bool login, struct credentials **ret,
                                            cairn_error *error);
void credentials_free(struct credentials *credentials);
struct sasl_users *credentials_users(struct credentials *credentials);
/* Durable on return. iterations 0 deletes. As sasl_users_put(); CAIRN_E_NOTFOUND: nothing to delete. */
CAIRN_MUST_CHECK cairn_err credentials_put(struct credentials *credentials, cairn_str name, enum sasl_mechanism mechanism,
                                           const struct sasl_credential *credential, cairn_error *error);

#endif
