/* KIP-848, where the server assigns. */
#include <topic/groups_int.h>

void
groups_consumer_heartbeat(struct groups_broker *groups, const struct consumer_heartbeat *heartbeat, int64_t now_ms,
                          consumer_heartbeat_done done, void *context)
{
    (void)groups;
    (void)heartbeat;
    (void)now_ms;
    done(context, &(struct consumer_heartbeat_result){.err = KAFKA_UNSUPPORTED_VERSION});
}

void consumer_timer(struct turn *turn, struct timer *timer) { (void)turn; (void)timer; }
void consumer_clear(struct turn *turn) { (void)turn; }
void consumer_member_free(struct turn *turn, struct member *member) { (void)turn; (void)member; }
void consumer_group_free(struct kgroup *group) { (void)group; }
enum kafka_err consumer_may_commit(struct kgroup *group, cairn_str member_id, int32_t epoch) { (void)group; (void)member_id; (void)epoch; return KAFKA_UNKNOWN_MEMBER_ID; }
bool consumer_subscribed(struct kgroup *group, cairn_str topic) { (void)group; (void)topic; return false; }
const char *consumer_state(const struct kgroup *group) { (void)group; return "Empty"; }
enum kafka_err consumer_describe(struct kgroup *group, struct arena *arena, struct group_info *ret) { (void)group; (void)arena; (void)ret; return KAFKA_NONE; }
void topics_seen_release(struct topics_seen *seen) { (void)seen; }
