/* The table of Kafka's error codes: name and sentence of each, and what the store's answers are in them. */
#include "kafka_error.h"

static const struct {
    enum kafka_err err;
    const char *name, *message;
} table[] = {
    {KAFKA_UNKNOWN_SERVER_ERROR, "UNKNOWN_SERVER_ERROR", "The server met something that it has no better word for."},
    {KAFKA_NONE, "NONE", "No error."},
    {KAFKA_OFFSET_OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE", "The offset is below the first or beyond the last of the partition."},
    {KAFKA_CORRUPT_MESSAGE, "CORRUPT_MESSAGE", "The bytes of the batch are not what its checksum says."},
    {KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "UNKNOWN_TOPIC_OR_PARTITION", "There is no such topic or partition."},
    {KAFKA_NOT_LEADER_OR_FOLLOWER, "NOT_LEADER_OR_FOLLOWER", "This server does not have the partition now."},
    {KAFKA_REQUEST_TIMED_OUT, "REQUEST_TIMED_OUT", "It was not done in time."},
    {KAFKA_MESSAGE_TOO_LARGE, "MESSAGE_TOO_LARGE", "The batch is larger than the topic takes (max.message.bytes)."},
    {KAFKA_OFFSET_METADATA_TOO_LARGE, "OFFSET_METADATA_TOO_LARGE", "The metadata of an offset is too large."},
    {KAFKA_COORDINATOR_LOAD_IN_PROGRESS, "COORDINATOR_LOAD_IN_PROGRESS", "The coordinator is loading; try again."},
    {KAFKA_COORDINATOR_NOT_AVAILABLE, "COORDINATOR_NOT_AVAILABLE", "The coordinator is not available now."},
    {KAFKA_NOT_COORDINATOR, "NOT_COORDINATOR", "This server does not coordinate that."},
    {KAFKA_INVALID_TOPIC_EXCEPTION, "INVALID_TOPIC_EXCEPTION", "A topic cannot have that name."},
    {KAFKA_RECORD_LIST_TOO_LARGE, "RECORD_LIST_TOO_LARGE", "There is more in it than one append holds."},
    {KAFKA_INVALID_REQUIRED_ACKS, "INVALID_REQUIRED_ACKS", "acks is neither 0, 1 nor -1."},
    {KAFKA_ILLEGAL_GENERATION, "ILLEGAL_GENERATION", "The generation is not the group's."},
    {KAFKA_INCONSISTENT_GROUP_PROTOCOL, "INCONSISTENT_GROUP_PROTOCOL", "The member has no protocol in common with the group."},
    {KAFKA_INVALID_GROUP_ID, "INVALID_GROUP_ID", "A group cannot have that id."},
    {KAFKA_UNKNOWN_MEMBER_ID, "UNKNOWN_MEMBER_ID", "The group has no such member."},
    {KAFKA_INVALID_SESSION_TIMEOUT, "INVALID_SESSION_TIMEOUT", "The session timeout is not within the server's bounds."},
    {KAFKA_REBALANCE_IN_PROGRESS, "REBALANCE_IN_PROGRESS", "The group is rebalancing: join again."},
    {KAFKA_INVALID_COMMIT_OFFSET_SIZE, "INVALID_COMMIT_OFFSET_SIZE", "The offsets to commit are too large."},
    {KAFKA_TOPIC_AUTHORIZATION_FAILED, "TOPIC_AUTHORIZATION_FAILED", "Not allowed on this topic."},
    {KAFKA_GROUP_AUTHORIZATION_FAILED, "GROUP_AUTHORIZATION_FAILED", "Not allowed on this group."},
    {KAFKA_CLUSTER_AUTHORIZATION_FAILED, "CLUSTER_AUTHORIZATION_FAILED", "Not allowed on this server."},
    {KAFKA_INVALID_TIMESTAMP, "INVALID_TIMESTAMP", "A record's timestamp is out of the range that the topic takes."},
    {KAFKA_UNSUPPORTED_SASL_MECHANISM, "UNSUPPORTED_SASL_MECHANISM", "The server does not have this SASL mechanism."},
    {KAFKA_ILLEGAL_SASL_STATE, "ILLEGAL_SASL_STATE", "This call is not allowed in this state of authentication."},
    {KAFKA_UNSUPPORTED_VERSION, "UNSUPPORTED_VERSION", "The server does not have this version of the call."},
    {KAFKA_TOPIC_ALREADY_EXISTS, "TOPIC_ALREADY_EXISTS", "There is a topic of that name, or one of that category."},
    {KAFKA_INVALID_PARTITIONS, "INVALID_PARTITIONS", "The number of partitions is not possible."},
    {KAFKA_INVALID_REPLICATION_FACTOR, "INVALID_REPLICATION_FACTOR", "There is one server, so the replication factor is 1."},
    {KAFKA_INVALID_REPLICA_ASSIGNMENT, "INVALID_REPLICA_ASSIGNMENT", "Replicas are assigned to servers that are not there."},
    {KAFKA_INVALID_CONFIG, "INVALID_CONFIG", "A setting is unknown, or its value is not possible."},
    {KAFKA_NOT_CONTROLLER, "NOT_CONTROLLER", "This server is not the controller."},
    {KAFKA_INVALID_REQUEST, "INVALID_REQUEST", "The request contradicts itself, or lacks something."},
    {KAFKA_UNSUPPORTED_FOR_MESSAGE_FORMAT, "UNSUPPORTED_FOR_MESSAGE_FORMAT", "The format of the records does not allow that."},
    {KAFKA_POLICY_VIOLATION, "POLICY_VIOLATION", "A limit of the server does not allow that."},
    {KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER, "OUT_OF_ORDER_SEQUENCE_NUMBER", "The batch is not the producer's next one: one is missing before it."},
    {KAFKA_DUPLICATE_SEQUENCE_NUMBER, "DUPLICATE_SEQUENCE_NUMBER", "The producer has sent this batch before."},
    {KAFKA_INVALID_PRODUCER_EPOCH, "INVALID_PRODUCER_EPOCH", "A newer instance of the producer has taken over."},
    {KAFKA_INVALID_TXN_STATE, "INVALID_TXN_STATE", "The transaction is not in a state in which that is possible."},
    {KAFKA_INVALID_PRODUCER_ID_MAPPING, "INVALID_PRODUCER_ID_MAPPING", "The producer id is not that of the transactional id, or its transaction is no longer known."},
    {KAFKA_INVALID_TRANSACTION_TIMEOUT, "INVALID_TRANSACTION_TIMEOUT", "The transaction timeout is not within the server's bounds."},
    {KAFKA_CONCURRENT_TRANSACTIONS, "CONCURRENT_TRANSACTIONS", "The transaction is just changing: try again."},
    {KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "Not allowed with this transactional id."},
    {KAFKA_SECURITY_DISABLED, "SECURITY_DISABLED", "The server has no access control."},
    {KAFKA_OPERATION_NOT_ATTEMPTED, "OPERATION_NOT_ATTEMPTED", "It was not tried, because another part of the request was refused."},
    {KAFKA_STORAGE_ERROR, "KAFKA_STORAGE_ERROR", "The disk is full or has failed; nothing was written."},
    {KAFKA_SASL_AUTHENTICATION_FAILED, "SASL_AUTHENTICATION_FAILED", "Authentication failed."},
    {KAFKA_UNKNOWN_PRODUCER_ID, "UNKNOWN_PRODUCER_ID", "The producer id is unknown."},
    {KAFKA_NON_EMPTY_GROUP, "NON_EMPTY_GROUP", "The group has members."},
    {KAFKA_GROUP_ID_NOT_FOUND, "GROUP_ID_NOT_FOUND", "There is no such group."},
    {KAFKA_FETCH_SESSION_ID_NOT_FOUND, "FETCH_SESSION_ID_NOT_FOUND", "There is no such fetch session."},
    {KAFKA_INVALID_FETCH_SESSION_EPOCH, "INVALID_FETCH_SESSION_EPOCH", "The epoch is not that of the fetch session."},
    {KAFKA_FENCED_LEADER_EPOCH, "FENCED_LEADER_EPOCH", "The leader epoch is older than the server's."},
    {KAFKA_UNKNOWN_LEADER_EPOCH, "UNKNOWN_LEADER_EPOCH", "The leader epoch is newer than the server's."},
    {KAFKA_UNSUPPORTED_COMPRESSION_TYPE, "UNSUPPORTED_COMPRESSION_TYPE", "The codec is unknown, or not allowed in this version of the call."},
    {KAFKA_STALE_BROKER_EPOCH, "STALE_BROKER_EPOCH", "The server's epoch has changed."},
    {KAFKA_OFFSET_NOT_AVAILABLE, "OFFSET_NOT_AVAILABLE", "The offset is not known yet: try again."},
    {KAFKA_MEMBER_ID_REQUIRED, "MEMBER_ID_REQUIRED", "Join again with the member id that the answer bears."},
    {KAFKA_GROUP_MAX_SIZE_REACHED, "GROUP_MAX_SIZE_REACHED", "The group has as many members as are allowed."},
    {KAFKA_FENCED_INSTANCE_ID, "FENCED_INSTANCE_ID", "Another member has this instance id now."},
    {KAFKA_GROUP_SUBSCRIBED_TO_TOPIC, "GROUP_SUBSCRIBED_TO_TOPIC", "Members of the group are subscribed to the topic."},
    {KAFKA_INVALID_RECORD, "INVALID_RECORD", "A record or batch is not as it must be."},
    {KAFKA_UNSTABLE_OFFSET_COMMIT, "UNSTABLE_OFFSET_COMMIT", "A transaction with offsets of the group is open: try again."},
    {KAFKA_THROTTLING_QUOTA_EXCEEDED, "THROTTLING_QUOTA_EXCEEDED", "More than is allowed in this time."},
    {KAFKA_PRODUCER_FENCED, "PRODUCER_FENCED", "A newer producer with the same transactional id has taken over."},
    {KAFKA_RESOURCE_NOT_FOUND, "RESOURCE_NOT_FOUND", "There is no such thing."},
    {KAFKA_DUPLICATE_RESOURCE, "DUPLICATE_RESOURCE", "The request names a thing twice."},
    {KAFKA_UNACCEPTABLE_CREDENTIAL, "UNACCEPTABLE_CREDENTIAL", "The credential is not acceptable."},
    {KAFKA_UNKNOWN_TOPIC_ID, "UNKNOWN_TOPIC_ID", "There is no topic with that id."},
    {KAFKA_FENCED_MEMBER_EPOCH, "FENCED_MEMBER_EPOCH", "The member's epoch is not the group's: join again."},
    {KAFKA_UNRELEASED_INSTANCE_ID, "UNRELEASED_INSTANCE_ID", "Another member has this instance id still."},
    {KAFKA_UNSUPPORTED_ASSIGNOR, "UNSUPPORTED_ASSIGNOR", "The server does not have this assignor."},
    {KAFKA_STALE_MEMBER_EPOCH, "STALE_MEMBER_EPOCH", "The member's epoch is old: send a heartbeat first."},
    {KAFKA_TRANSACTION_ABORTABLE, "TRANSACTION_ABORTABLE", "The transaction must be aborted."},
};

#define COUNT (sizeof table / sizeof *table)

const char *
kafka_err_name(enum kafka_err err)
{
    for (size_t i = 0; i < COUNT; i++)
        if (table[i].err == err)
            return table[i].name;
    return table[0].name;
}

const char *
kafka_err_message(enum kafka_err err)
{
    for (size_t i = 0; i < COUNT; i++)
        if (table[i].err == err)
            return table[i].message;
    return table[0].message;
}

/* Retriable for clients where trying again may help: REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR and NOT_LEADER_OR_FOLLOWER are. */
enum kafka_err
kafka_err_of(cairn_err err)
{
    switch (err) {
    case CAIRN_OK: return KAFKA_NONE;
    case CAIRN_E_INVALID: return KAFKA_INVALID_REQUEST;
    case CAIRN_E_LIMIT: return KAFKA_POLICY_VIOLATION;
    case CAIRN_E_NOTFOUND: return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    case CAIRN_E_EXISTS: return KAFKA_TOPIC_ALREADY_EXISTS;
    case CAIRN_E_DENIED: return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    case CAIRN_E_IO:
    case CAIRN_E_NOSPACE:
    case CAIRN_E_CORRUPT:
    case CAIRN_E_READONLY: return KAFKA_STORAGE_ERROR;
    case CAIRN_E_NOMEM:
    case CAIRN_E_BUSY:
    case CAIRN_E_TIMEOUT: return KAFKA_REQUEST_TIMED_OUT;
    case CAIRN_E_CLOSED: return KAFKA_NOT_LEADER_OR_FOLLOWER;
    case CAIRN_E_UNSUPPORTED: return KAFKA_UNSUPPORTED_VERSION;
    default: return KAFKA_UNKNOWN_SERVER_ERROR;
    }
}
