/* server/kafka.h: what Kafka's clients and the schema registry's need, opened and closed together: broker, groups, who may log in, relays, the two
 * doors. */
#ifndef SERVER_KAFKA_H
#define SERVER_KAFKA_H

#include <cairn/cairn.h>
#include <server/config.h>

struct broker;
struct buf;
struct groups_broker;
struct relays;
struct kafka_side;

/* Broker, groups and relays are there whether or not the doors are open: the HTTP API is about them too. */
CAIRN_MUST_CHECK cairn_err kafka_side_open(const struct server_config *config, cairn_store *store, struct kafka_side **ret,
                                           cairn_error *error);
/* Open the doors that the configuration names. */
CAIRN_MUST_CHECK cairn_err kafka_side_listen(struct kafka_side *side, cairn_error *error);
/* Close the doors: calls under way are answered for up to grace_ms. */
void kafka_side_stop(struct kafka_side *side, unsigned grace_ms);
/* NULL is fine. */
void kafka_side_close(struct kafka_side *side);

struct broker *kafka_side_broker(struct kafka_side *side);
struct groups_broker *kafka_side_groups(struct kafka_side *side);
struct relays *kafka_side_relays(struct kafka_side *side);
/* Lines for /metrics about Kafka's door (struct api_config, api.h); context is the struct kafka_side. */
void kafka_side_metrics(void *context, struct buf *to);
/* "127.0.0.1:9092", "http://127.0.0.1:8081"; "" where the door is shut. Borrowed until close. */
const char *kafka_side_address(const struct kafka_side *side);
const char *kafka_side_registry_url(const struct kafka_side *side);

#endif
