/* Groups on a broker: its store, its scope, its topics. */
#include <topic/groups_int.h>

static uint64_t
changes(void *context)
{
    return cairn_topics_changes(broker_store(context));
}

static cairn_err
visit_topics(void *context, cairn_topic_visit visit, void *visit_context)
{
    return cairn_topics(broker_store(context), broker_scope(context), visit, visit_context, NULL);
}

cairn_err
groups_open(struct broker *broker, const struct groups_options *options, struct groups_broker **ret, cairn_error *error)
{
    struct groups_topics topics = {changes, visit_topics, broker};
    return groups_new_on(broker_store(broker), broker_scope(broker), &topics, options, ret, error);
}
